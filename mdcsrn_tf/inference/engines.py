"""What runs the network on a batch of tiles: TensorFlow from a `.keras` file or a SavedModel, or OpenVINO."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mdcsrn_tf.errors import UserError, first_line
from mdcsrn_tf.inference import room
from mdcsrn_tf.inference.device import choose_device, choose_precision
from mdcsrn_tf.inference.engine import Engine, read_metadata
from mdcsrn_tf.inference.openvino_engine import OpenVinoEngine
from mdcsrn_tf.inference.settings import INT8, ApplyTiles, Settings, check_running
from mdcsrn_tf.models.files import ModelCard, card_of, load_model, read_card, with_precision
from mdcsrn_tf.models.forest import is_forest
from mdcsrn_tf.models.graph import Graph
from mdcsrn_tf.models.networks import load_network
from mdcsrn_tf.models.sizes import feature_channels, seamless_margin, size_multiple
from mdcsrn_tf.weights import find_model

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class KerasEngine(Engine):
    """A `.keras` file, run by TensorFlow."""

    def __init__(self, path: Path, bn: str, precision: str):
        network, card = load_network(path)
        from mdcsrn_tf.inference.sliding import sliding_form

        super().__init__(card, bn, seamless_margin(network))
        self.feature_channels, self.multiple = feature_channels(network), size_multiple(network)
        self.overhead = room.TENSORFLOW_OVERHEAD
        self._network = _function_of(network, bn, "bfloat16" if precision == "bfloat16" else "float32")
        if bn == "moving" and self.runs_on_processor():
            self.sliding = sliding_form(self._network)

    def _build(self, tile: tuple[int, ...], batch: int) -> ApplyTiles:
        import tensorflow as tf

        shape = tf.TensorSpec((batch, *tile, 1), tf.float32)
        function = tf.function(self._network, input_signature=[shape], autograph=False).get_concrete_function()
        return lambda tiles: function(tf.constant(tiles[..., np.newaxis])).numpy()[..., 0]


def _function_of(network: Graph | keras.Model, bn: str, precision: str) -> Callable[[tf.Tensor], tf.Tensor]:
    if isinstance(network, Graph):
        from mdcsrn_tf.inference.fused import FusedNetwork

        return FusedNetwork(network, bn, precision)
    from mdcsrn_tf.inference.plain import network_of

    return network_of(with_precision(network, "float32"), bn)  # by layers of ours, where they compute the same


class SliceEngine(Engine):
    """What works slice by slice: it takes slices of any size, so nothing is built for a shape."""

    # Here `feature_channels` are those that it holds at its fullest moment, `overhead` is TensorFlow's.
    channels: int  # slices that it sees at a time

    def apply(self, slices: np.ndarray) -> np.ndarray:
        """float32 [batch, h, w, channels in] to [batch, h, w, channels out]."""
        raise NotImplementedError


class SliceNetworkEngine(SliceEngine):
    """A slice network, run by TensorFlow as Keras wrote it: from a `.keras` file or an exported folder."""

    def __init__(self, path: Path, bn: str):
        if path.is_dir():
            card, metadata = read_metadata(path)
            self.channels, self.multiple = metadata["channels"], metadata["size_multiple"]
            radius, live = metadata["receptive_field_radius"], metadata.get("live_channels")
            self._loaded = _load_saved_model(path)
            self._network = lambda slices: self._loaded.signatures["serving_default"](tiles=slices)["tiles"]
        else:
            model, card = load_model(path)
            import tensorflow as tf

            from mdcsrn_tf.inference.plain import PlainNetwork
            from mdcsrn_tf.models.sizes import live_channels, receptive_field_radius

            self.channels, self.multiple = model.input_shape[-1], size_multiple(model)
            radius, live = receptive_field_radius(model), live_channels(model)
            self._network = tf.function(PlainNetwork(model, bn), autograph=False, reduce_retracing=True)
        super().__init__(card, bn, radius)
        self.feature_channels, self.overhead = live, room.TENSORFLOW_OVERHEAD

    def apply(self, slices: np.ndarray) -> np.ndarray:
        """float32 [batch, h, w, channels in] to [batch, h, w, channels out]."""
        import tensorflow as tf

        return self._network(tf.constant(slices)).numpy()


class ForestEngine(SliceEngine):
    """A random forest on slices, run by NumPy."""

    channels = 1

    def __init__(self, path: Path, bn: str):
        from mdcsrn_tf.models.forest import LIVE_CHANNELS, RADIUS, load_forest

        forest, card = load_forest(path)
        super().__init__(card_of(path, card), bn, RADIUS)
        self.feature_channels, self.overhead = LIVE_CHANNELS, room.FOREST_OVERHEAD
        self._forest = forest

    def runs_on_processor(self) -> bool:
        """Always: it is NumPy's."""
        return True

    def apply(self, slices: np.ndarray) -> np.ndarray:
        """float32 [batch, h, w, 1] to the same."""
        return self._forest.apply(slices)


class SavedModelEngine(Engine):
    """A folder written by mdcsrn-export, run by TensorFlow."""

    def __init__(self, path: Path, bn: str):
        card, metadata = read_metadata(path)
        super().__init__(card, bn, metadata["seamless_margin"])
        self.feature_channels, self.multiple = metadata.get("feature_channels"), metadata["size_multiple"]
        self.overhead = room.TENSORFLOW_OVERHEAD
        self._loaded = _load_saved_model(path)
        self._serve = self._loaded.signatures["serving_default"]

    def _build(self, tile: tuple[int, ...], batch: int) -> ApplyTiles:
        import tensorflow as tf

        def apply(tiles: np.ndarray) -> np.ndarray:
            outputs = self._serve(tiles=tf.constant(tiles[..., np.newaxis]))
            return next(iter(outputs.values())).numpy()[..., 0]

        return apply


def load_engine(model: str | os.PathLike[str] | None, settings: Settings) -> Engine:
    """The engine for a model and settings; the last two are kept, so that a second volume does not load them again."""
    check_running(settings)
    path = find_model(model)
    refuse_unfit(path, settings)
    bn = _statistics_mode(path, settings)
    choose_device(settings.device, settings.engine)
    if settings.engine == "tensorflow":
        choose_precision(settings.precision)
    stamp = max((p.stat().st_mtime_ns for p in [path, *path.glob("*.pb")]), default=0)
    return _load(path.resolve(), stamp, bn, settings.precision, settings.engine)


def refuse_unfit(path: Path, settings: Settings) -> None:
    """UserError for an engine or a precision that a model of that kind is not run by."""
    engine, precision = settings.engine, settings.precision
    if read_any_card(path).planes:
        if engine != "tensorflow" or precision in ("bfloat16", INT8):
            raise UserError(f"{path} works slice by slice: take --engine=tensorflow and --precision=float32.")
    elif engine == "tensorflow" and path.is_dir() and precision != "float32":
        raise UserError(f"A SavedModel computes in float32; for --precision={precision} name the .keras file.")


@lru_cache(maxsize=2)  # thick slices with interpolated planes go through two
def _load(path: Path, stamp: int, bn: str, precision: str, engine: str) -> Engine:
    if read_any_card(path).planes:
        return ForestEngine(path, bn) if is_forest(path) else SliceNetworkEngine(path, bn)
    if engine == "openvino":
        return OpenVinoEngine(path, bn, precision)
    if path.is_dir():
        return SavedModelEngine(path, bn)
    return KerasEngine(path, bn, precision)


def read_any_card(path: Path) -> ModelCard:
    """The card of a `.keras` file, of a forest or of an exported folder."""
    if is_forest(path) and path.is_file():
        from mdcsrn_tf.models.forest import forest_card_text

        return card_of(path, forest_card_text(path))
    return read_metadata(path)[0] if path.is_dir() else read_card(path)


def _load_saved_model(path: Path) -> Any:
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(path))
        _ = loaded.signatures["serving_default"]
    except Exception as error:  # TensorFlow's readers raise a dozen types
        raise UserError(f"{path} is a damaged SavedModel ({first_line(error)}); export it again.") from error
    return loaded


def _statistics_mode(path: Path, settings: Settings) -> str:
    card = read_any_card(path)
    bn = settings.bn or ("moving" if settings.seamless else card.bn)
    if settings.seamless and bn != "moving":
        raise UserError("--seamless uses the moving statistics; leave out --bn=batch.")
    if path.is_dir() and bn != card.bn:
        raise UserError(f"{path} was exported with --bn={card.bn}; export it again with --bn={bn}, or name the .keras.")
    return bn
