"""A network run layer by layer as Keras wrote it: for what `FusedNetwork` does not know, of any rank."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.fused import FusedNetwork
from mdcsrn_tf.models.files import is_plain_norm
from mdcsrn_tf.models.graph_of_keras import why_no_graph
from mdcsrn_tf.models.layers import moving_statistics_kept

if TYPE_CHECKING:
    import keras


def network_of(
    model: keras.Model, bn: str, precision: str = "float32", compiled: bool = True
) -> Callable[[tf.Tensor], tf.Tensor]:
    """The function from tiles to tiles that runs `model`: the fast one where it can, else Keras's own layers.

    `model` is as `models.files.load_model` gives it. Where it is the slow one, a line on standard error says why.
    """
    reason = why_no_graph(model)
    if reason is None:
        return FusedNetwork(model, bn, precision, compiled)
    if len(model.inputs[0].shape) == 5:
        print(f"warning: {model.name} runs as Keras wrote it, slower and in float32: {reason}.", file=sys.stderr)
    return PlainNetwork(model, bn)


class PlainNetwork:
    """`network(tiles)`: float32 [batch, ..., channels] to the same; to be traced by a `tf.function`.

    With `bn="batch"` each tile is normalised by its own statistics, whatever the batch; nothing else of the network
    behaves as in training.
    """

    def __init__(self, model: keras.Model, bn: str):
        self.model = model
        self.bn = bn
        if bn == "batch":
            self._check_norms()

    def __call__(self, tiles: tf.Tensor) -> tf.Tensor:
        """Run the network; with the tiles' own statistics, one tile at a time."""
        if self.bn == "moving":
            return self.model(tiles, training=False)
        if tiles.shape[0] == 1:
            return self._by_own_statistics(tiles)
        return tf.map_fn(lambda tile: self._by_own_statistics(tile[tf.newaxis])[0], tiles, parallel_iterations=1)

    def _by_own_statistics(self, tile: tf.Tensor) -> tf.Tensor:
        values: dict[int, Any] = {id(self.model.inputs[0]): tile}
        with moving_statistics_kept():
            for layer in self.model.layers[1:]:
                several = isinstance(layer.input, list)
                inputs = [values[id(tensor)] for tensor in (layer.input if several else [layer.input])]
                options = {"training": True} if is_plain_norm(layer) else {}
                values[id(layer.output)] = layer(inputs if several else inputs[0], **options)
        return values[id(self.model.outputs[0])]

    def _check_norms(self) -> None:
        """Refuse where a normalisation is out of reach: inside another model, used twice, or of another kind."""
        import keras

        for layer in self.model.layers:
            norm = isinstance(layer, keras.layers.BatchNormalization) and not is_plain_norm(layer)
            if norm or isinstance(layer, keras.Model) or len(layer._inbound_nodes) > 1:
                raise UserError(
                    f"{self.model.name} cannot be normalised by each tile's own statistics, because of its layer "
                    f"{layer.name}; say --bn=moving."
                )
