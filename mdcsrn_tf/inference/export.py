"""A trained network as a SavedModel that needs nothing but TensorFlow.

Two signatures:

- `serving_default`: `tiles`, float32 [batch, D, H, W, 1], normalised, any size that the network takes -> `tiles`, the
  same shape. With `bn="batch"` each tile is normalised by its own statistics, whatever the batch.
- `super_resolve`: `volume`, float32 [D, H, W], scanner units, interpolated to the target grid, the degraded axes
  first as the metadata's `axes` say -> `volume`, the same shape and units. Normalisation, what lies beyond the ends,
  tiling and merging (tile and margin of the model card) happen inside the graph.

A network on slices has the first signature alone, with `tiles` [batch, H, W, slices in] -> [batch, H, W, slices out].

The metadata (model card, mode of the batch normalisation, versions) lies in `assets.extra/mdcsrn.json`.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdcsrn_tf import __version__
from mdcsrn_tf.errors import UserError, first_line
from mdcsrn_tf.files import replace_when_done
from mdcsrn_tf.inference import tiling
from mdcsrn_tf.inference.continuation import REACH, extended_in_graph
from mdcsrn_tf.models.files import ModelCard, load_model
from mdcsrn_tf.models.forest import is_forest
from mdcsrn_tf.models.sizes import (
    feature_channels,
    live_channels,
    receptive_field_radius,
    seamless_margin,
    size_multiple,
)
from mdcsrn_tf.scans import head
from mdcsrn_tf.scans.normalisation import (
    ABOVE_MEAN,
    DEVIATION_OVER_LEVEL,
    FORMER_NAMES,
    LARGEST_UNDERSHOOT,
    RINGING,
)

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

METADATA = Path("assets.extra", "mdcsrn.json")
_MEMBERS = re.compile(
    r"assets|assets\.extra|assets\.extra/mdcsrn\.json|fingerprint\.pb|saved_model\.pb|"
    r"variables|variables/variables\.(index|data-\d{5}-of-\d{5})"
)


def export(
    model_path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    bn: str | None = None,
    whole_volumes: bool = True,
) -> None:
    """Write the SavedModel of a `.keras` file, whole or not at all; `bn` overrides the card's mode."""
    if is_forest(model_path):
        raise UserError(
            f"{model_path} is a forest, no network: mdcsrn-infer runs it by NumPy as it is, on any machine."
        )
    model, card = load_model(model_path)
    import tensorflow as tf

    card = replace(card, bn=bn or card.bn)
    module, signatures = _graph(model, card, whole_volumes)
    try:
        with replace_when_done(folder) as partial:
            tf.saved_model.save(module, str(partial), signatures=signatures)
            (partial / METADATA).parent.mkdir()
            text = json.dumps(_metadata(model, card), indent=2, sort_keys=True) + "\n"
            (partial / METADATA).write_text(text, encoding="utf-8")
    except (OSError, tf.errors.OpError) as error:
        raise UserError(f"{folder} cannot be written ({first_line(error)}); check the folder and its disk.") from error


def _graph(model: keras.Model, card: ModelCard, whole_volumes: bool) -> tuple[tf.Module, dict[str, Any]]:
    """What is saved, and its signatures."""
    import tensorflow as tf

    from mdcsrn_tf.inference.plain import network_of

    *sides, channels = model.inputs[0].shape[1:]
    on_volumes = len(sides) == 3
    if on_volumes:
        tiling.check_tile(card.tile, card.margin)
    module = tf.Module()
    # A network that runs layer by layer reads the Keras model's own variables: saving needs to find them in the module.
    module.weights = [variable.value for variable in model.variables]
    network = network_of(model, card.bn, compiled=False)
    shape = [None, *(None for _ in sides), channels]
    module.network = tf.function(network, input_signature=[tf.TensorSpec(shape)], autograph=False)
    signatures = {"serving_default": _tiles_signature(module.network, shape)}
    if whole_volumes and on_volumes:
        signatures["super_resolve"] = _volume_signature(module.network, card, size_multiple(model))
    return module, signatures


def _metadata(model: keras.Model, card: ModelCard) -> dict[str, Any]:
    """What lies beside the graph."""
    import keras
    import tensorflow as tf

    return {
        "card": card.to_json(),
        "receptive_field_radius": receptive_field_radius(model),
        "seamless_margin": seamless_margin(model),
        "feature_channels": feature_channels(model),
        "live_channels": live_channels(model) if len(model.inputs[0].shape) == 4 else None,
        "channels": model.inputs[0].shape[-1],
        "size_multiple": size_multiple(model),
        "versions": {"mdcsrn_tf": __version__, "tensorflow": tf.__version__, "keras": keras.__version__},
    }


def is_export_alone(folder: Path) -> bool:
    """Whether `folder` is what `export` wrote, and nothing else lies anywhere in it."""
    inside = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    return (folder / METADATA).is_file() and all(_MEMBERS.fullmatch(name) for name in inside)


def load_metadata(folder: Path) -> dict[str, Any]:
    """What `export` wrote beside the graph."""
    if not (folder / "saved_model.pb").is_file():
        raise UserError(f"{folder} is no SavedModel: it holds no saved_model.pb; name one written by mdcsrn-export.")
    try:
        metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
        if not {"card", "receptive_field_radius"} <= metadata.keys():
            raise ValueError("it is incomplete")
        _check_numbers(metadata)
    except FileNotFoundError as error:
        raise UserError(f"{folder} has no metadata: it was not written by mdcsrn-export; export it again.") from error
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"The metadata in {folder} cannot be read ({first_line(error)}); export it again.") from error
    # Exports of old say less.
    return {"seamless_margin": metadata["receptive_field_radius"], "size_multiple": 1, **metadata}


def _check_numbers(metadata: dict[str, Any]) -> None:
    """ValueError for what is no number; exports of old have fewer of them."""
    names = ("receptive_field_radius", "seamless_margin", "feature_channels", "live_channels", "channels")
    for name in (*names, "size_multiple"):
        value = metadata.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31):
            raise ValueError(f"its {name} is {value!r}")
    if metadata.get("size_multiple", 1) in (None, 0):
        raise ValueError("its size_multiple is 0")


def _tiles_signature(network, shape: list[int | None]):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, "tiles")], autograph=False)
    def serving_default(tiles):
        return {"tiles": network(tiles)}

    return serving_default


def _volume_signature(network, card: ModelCard, multiple: int):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None] * 3, tf.float32, "volume")], autograph=False)
    def super_resolve(volume):
        mean, deviation = statistics(volume, card.normalisation)
        normalised = tf.cast((tf.cast(volume, tf.float64) - mean) / deviation, tf.float32)
        result = _through_tiles(normalised, network, card, multiple)
        return {"volume": tf.cast(tf.cast(result, tf.float64) * deviation + mean, tf.float32)}

    return super_resolve


def statistics(volume, rule: str):
    """`Normalisation.from_low_res` in the graph: what is subtracted and what divided by, float64 scalars."""
    import tensorflow as tf

    values = tf.cast(tf.reshape(volume, [-1]), tf.float64)
    if FORMER_NAMES.get(rule, rule) == ABOVE_MEAN:
        return _above_mean(values)
    level = _tissue_level(values)
    below = tf.math.count_nonzero(values < -LARGEST_UNDERSHOOT * level, dtype=tf.float64)
    magnitude = (level > 0) & (below <= RINGING * tf.cast(tf.size(values), tf.float64))
    return tf.cond(magnitude, lambda: (level, DEVIATION_OVER_LEVEL * level), lambda: _above_mean(values))


def _tissue_level(values):
    """`head.tissue_level` in the graph; 0 where no voxel is positive."""
    import tensorflow as tf

    thinned = tf.reshape(values[:: _thinning_step(tf.size(values))], [-1])  # else the graph does not know its rank
    positive = tf.sort(tf.boolean_mask(thinned, thinned > 0))
    count = tf.size(positive)
    start = tf.reduce_mean(tf.boolean_mask(positive, positive >= tf.reduce_mean(positive)))

    def median_above_half(level):
        first = tf.searchsorted(positive, 0.5 * level[None])[0]
        middle = first + count
        return 0.5 * (positive[(middle - 1) // 2] + positive[middle // 2])

    def settled(before, level):
        return tf.abs(level - before) > 1e-4 * level

    def iterate():
        return tf.while_loop(
            settled,
            lambda _, level: (level, median_above_half(level)),
            (start, median_above_half(start)),
            maximum_iterations=head.ROUNDS - 1,
        )[1]

    return tf.cond(count > 0, iterate, lambda: tf.constant(0.0, tf.float64))


def _thinning_step(size):
    """`head.thinning_step` in the graph, an int32 scalar: raised until it has no divisor in common with `size`."""
    import tensorflow as tf

    def divides_both(step):
        # Euclid's algorithm
        largest, _ = tf.while_loop(lambda a, b: b > 0, lambda a, b: (b, a % b), (size, step))
        return largest > 1

    return tf.while_loop(divides_both, lambda step: (step + 1,), (tf.maximum(1, size // head.SAMPLES),))[0]


def _above_mean(values):
    import tensorflow as tf

    above = tf.boolean_mask(values, values > tf.reduce_mean(values))
    mean, deviation = tf.reduce_mean(above), tf.math.reduce_std(above)
    usable = deviation > 1e-6 * tf.reduce_max(tf.abs(values))  # false where nothing lies above: NaN
    mean = tf.where(usable, mean, tf.reduce_mean(values))
    deviation = tf.where(usable, deviation, tf.math.reduce_std(values))
    check = tf.debugging.assert_positive(deviation, "A volume of one constant value cannot be normalised.")
    with tf.control_dependencies([check] if check is not None else []):
        return tf.identity(mean), tf.identity(deviation)


def _through_tiles(volume, network, card: ModelCard, multiple: int):
    """`inference.super_resolve` in the graph: every core in turn, then each axis put in order."""
    import tensorflow as tf

    edges, margins = tiling.per_axis(card.tile), tiling.per_axis(card.margin)
    core = [edge - 2 * border for edge, border in zip(edges, margins, strict=True)]
    shape = tf.shape(volume)
    counts = -(-shape // core)
    source, around = (extended_in_graph(volume), REACH) if card.predicted else (volume, 0)
    total = tf.reduce_prod(counts)

    def body(index, cores):
        place = tf.stack(tf.unravel_index(index, counts))
        voxels = source
        for axis, start in enumerate(tf.unstack(_starts(place * core, shape, core, multiple) - margins)):
            inside = _mirrored(start + tf.range(edges[axis]) + around, shape[axis] + 2 * around)
            voxels = tf.gather(voxels, inside, axis=axis)
        output = tf.reshape(network(tf.reshape(voxels, [1, *edges, 1])), edges)
        return index + 1, cores.write(index, tf.slice(output, margins, core))

    cores = tf.TensorArray(tf.float32, size=total, element_shape=core)
    _, cores = tf.while_loop(lambda index, _: index < total, body, (0, cores), parallel_iterations=1)
    grid = tf.reshape(cores.stack(), tf.concat([counts, core], 0))
    merged = tf.reshape(tf.transpose(grid, [0, 3, 1, 4, 2, 5]), counts * core)
    for axis in range(3):
        positions = tf.range(shape[axis])
        first = positions // core[axis] * core[axis]
        inside = positions - _starts(first, shape[axis], core[axis], multiple)
        merged = tf.gather(merged, first + inside, axis=axis)
    return merged


def _starts(keep_from, length, core, multiple: int):
    """Where cores begin in the volume: the last one moved back into it (`tiling.spans_of`)."""
    import tensorflow as tf

    return tf.minimum(keep_from, -(-tf.maximum(length - core, 0) // multiple) * multiple)


def _mirrored(positions, length):
    """`kspace.mirrored` in the graph."""
    import tensorflow as tf

    period = tf.maximum(2 * (length - 1), 1)
    folded = tf.math.floormod(positions, period)
    return tf.minimum(folded, period - folded) * tf.cast(length > 1, tf.int32)
