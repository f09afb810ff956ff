"""A trained network in one `.keras` file that carries its own card, and loads with nothing but Keras.

The file holds stock Keras layers only, so `keras.models.load_model` reads it without this package. The card
(what the network was trained for) is one more JSON member of the archive, which Keras leaves alone.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from mdcsrn_tf.chatter import load_keras_quietly
from mdcsrn_tf.errors import UserError, first_line
from mdcsrn_tf.files import replace_when_done
from mdcsrn_tf.models.archive import CARD_MEMBER, check_archive, make_portable, read_member
from mdcsrn_tf.models.sizes import probes, with_fixed

if TYPE_CHECKING:
    import keras

INTERPOLATIONS = ("nearest", "linear", "cubic", "sinc")
STATISTICS = ("batch", "moving")
# The rules of scans.normalisation, the first of them under both of its names.
NORMALISATIONS = (
    "zscore-foreground",
    "zscore_of_voxels_above_mean",
    "tissue_level",
    "zscore_each_image",
    "unit_range_of_low_res",
)
_SAME_RULE = NORMALISATIONS[:2]
_LARGEST_TILE, _LARGEST_FACTOR = 1024, 64


@dataclass(frozen=True)
class ModelCard:
    """What inference must know about a trained network, and a reader wants to."""

    preset: str
    version: str  # of mdcsrn_tf, when it was saved
    interpolation: str  # how its inputs were brought to the target grid: "linear" or "sinc"
    axes: tuple[str, ...] = ()  # the degraded axes it was trained for, e.g. ("LR", "AP")
    factor: tuple[int, ...] = ()
    tile: int | tuple[int, ...] = 70  # of all axes, or of each
    margin: int | tuple[int, ...] = 3
    bn: str = "batch"
    normalisation: str = "zscore-foreground"
    notes: dict[str, Any] = field(default_factory=dict)
    slices: dict[str, str] | None = None  # the slice profile of its inputs; None: k-space truncation
    # Of a slice network: the planes its training slices were cut in, and how its tiles are stitched. `tile` 0: whole.
    planes: tuple[str, ...] = ()
    stride: int = 0  # between tiles that are averaged; 0: cores side by side
    # For what else it may be used: axes (list of sets of names), factors (list of lists), voxel_mm (least, most; of a
    # result), across_mm (the same along axes that stay as they are), contrasts (BIDS suffixes). What is missing is as
    # in axes and factor, or is not checked.
    tested: dict[str, Any] = field(default_factory=dict)

    @property
    def predicted(self) -> bool:
        """Whether its inputs are predicted beyond their ends (`inference.continuation`), not mirrored."""
        return self.interpolation == "sinc" and not self.planes

    def to_json(self) -> str:
        """The card as JSON text."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """The card in that JSON text; members this version does not know are left out, ValueError for bad ones."""
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in json.loads(text).items() if key in known}
        values |= {name: tuple(values.get(name, ())) for name in ("axes", "factor", "planes")}
        values |= {name: tuple(values[name]) for name in ("tile", "margin") if isinstance(values.get(name), list)}
        card = cls(**values)
        card.check()
        return card

    def check(self) -> None:
        """ValueError, naming the member, where inference could not go by this card."""
        tiles, margins = _by_axis(self.tile), _by_axis(self.margin)
        requirements = {
            "preset": isinstance(self.preset, str),
            "version": isinstance(self.version, str),
            "interpolation": self.interpolation in INTERPOLATIONS,
            "bn": self.bn in STATISTICS,
            "normalisation": self.normalisation in NORMALISATIONS,
            "axes": all(axis in _AXES for axis in self.axes) and len(self.axes) <= 3,
            "factor": all(_is_whole(factor, 1, _LARGEST_FACTOR) for factor in self.factor)
            and (not self.axes or len(self.factor) in (0, 1, len(self.axes))),
            "planes": all(plane in _PLANES for plane in self.planes),
            "stride": _is_whole(self.stride, 0, _LARGEST_TILE),
            "tile": all(_is_whole(tile, 0 if self.planes else 1, _LARGEST_TILE) for tile in tiles),
            "margin": all(_is_whole(margin, 0, _LARGEST_TILE) for margin in margins),
            "notes": isinstance(self.notes, dict) and _are_features(self.notes.get("features", [])),
            "slices": self.slices is None or isinstance(self.slices, dict),
            "tested": _is_tested(self.tested),
        }
        for name, held in requirements.items():
            if not held:
                raise ValueError(f"its {name} is {getattr(self, name)!r}")
        if any(tile and tile <= 2 * margin for tile, margin in zip(tiles * 3, margins * 3, strict=False)):
            raise ValueError(f"its tile of {self.tile} leaves nothing inside a margin of {self.margin}")


def same_normalisation(one: str, other: str) -> bool:
    """Whether two names, of cards or of shards, are one rule's."""
    return one == other or {one, other} == set(_SAME_RULE)


_PLANES = ("sagittal", "coronal", "axial")
_AXES = ("LR", "RL", "AP", "PA", "IS", "SI", "0", "1", "2")


def _is_tested(tested: Any) -> bool:
    """Whether the lists are lists of what they should be of."""
    if not isinstance(tested, dict) or not all(isinstance(value, list) for value in tested.values()):
        return False
    return (
        all(isinstance(names, list) and all(axis in _AXES for axis in names) for names in tested.get("axes", []))
        and all(
            isinstance(some, list) and all(_is_whole(f, 1, _LARGEST_FACTOR) for f in some)
            for some in tested.get("factors", [])
        )
        and all(_is_range(tested[name]) for name in ("voxel_mm", "across_mm") if name in tested)
        and all(isinstance(name, str) for name in tested.get("contrasts", []))
    )


def _is_range(sizes: list[Any]) -> bool:
    """Whether it is the least and the most of something above zero."""
    return len(sizes) == 2 and all(isinstance(size, (int, float)) for size in sizes) and 0 < sizes[0] <= sizes[1]


def _are_features(found: Any) -> bool:
    """Whether these are what training notes of its feature networks."""
    return isinstance(found, list) and all(
        isinstance(one, dict) and isinstance(one.get("weights"), str) for one in found
    )


def _by_axis(number: Any) -> list[Any]:
    return list(number) if isinstance(number, (list, tuple)) else [number]


def _is_whole(number: Any, least: int, most: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and least <= number <= most


# The portable copy of each model that was saved and still lives: a run saves one network again and again.
_SAVED: WeakKeyDictionary[keras.Model, keras.Model] = WeakKeyDictionary()


def save_model(path: str | os.PathLike[str], model: keras.Model, card: ModelCard) -> None:
    """Write `model` and its card to `path` (`.keras`), whole or not at all, in float32."""
    if model not in _SAVED:
        _SAVED[model] = portable(model)
    _SAVED[model].set_weights(model.get_weights())
    with replace_when_done(path) as partial:
        _SAVED[model].save(partial)
        make_portable(partial)
        with zipfile.ZipFile(partial, "a") as archive:
            archive.writestr(zipfile.ZipInfo(CARD_MEMBER), card.to_json())


def load_model(path: str | os.PathLike[str], precision: str = "float32") -> tuple[keras.Model, ModelCard]:
    """Read a model and its card; see `with_precision` for what a `precision` of mixed_bfloat16 means."""
    stock, card = load_stock_model(path)
    return with_precision(stock, precision), card


def load_stock_model(path: str | os.PathLike[str]) -> tuple[keras.Model, ModelCard]:
    """Read a model as it is in the file, of Keras's own layers, and its card."""
    card = read_card(path)
    load_keras_quietly()
    import keras

    check_archive(path)
    try:
        stock = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever its readers raise on a damaged archive
        if "No usable temporary directory" in str(error):
            raise  # Keras unpacks the file there: not the file's fault
        raise UserError(f"{path} is damaged: Keras cannot read it ({first_line(error)}); copy it again.") from error
    _check_keeps_size(path, stock)
    return stock, card


def _check_keeps_size(path: str | os.PathLike[str], model: keras.Model) -> None:
    """Refuse a network that does not take one volume (or slice) and give one of the same size."""
    single = len(model.inputs) == len(model.outputs) == 1
    rank = len(model.inputs[0].shape) - 2
    if not single or rank not in (2, 3) or (rank == 3 and model.inputs[0].shape[-1] != 1):
        raise UserError(f"{path} does not take one volume and give one; no scan can be put through it.")
    *fixed, channels = model.inputs[0].shape[1:]
    for probe in probes(model, rank):
        sides = with_fixed(probe, fixed)
        try:
            found = tuple(model.compute_output_shape((1, *sides, channels)))
        except Exception as error:  # Keras raises whatever a layer raises
            raise UserError(f"{path} takes no volume of {sides} ({first_line(error)}).") from error
        if found[:-1] != (1, *sides) or (rank == 3 and found[-1] != 1):
            raise UserError(
                f"{path} makes {found[1:-1]} of a volume of {sides}: its convolutions are unpadded or strided; "
                "only networks that keep the size can be used."
            )


def read_card(path: str | os.PathLike[str]) -> ModelCard:
    """The card of a model file, without loading Keras."""
    if not Path(path).is_file():
        raise UserError(f"There is no model file {path}.")
    try:
        text = read_member(path, CARD_MEMBER).decode()
    except PermissionError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); let it be read.") from error
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a .keras model file, or it is damaged.") from error
    except KeyError as error:
        raise UserError(f"{path} has no model card: it was not written by mdcsrn-train.") from error
    return card_of(path, text)


def card_of(path: str | os.PathLike[str], text: str) -> ModelCard:
    """The card in the JSON text that the model at `path` carries."""
    try:
        return ModelCard.from_json(text)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"The model card in {path} cannot be read ({first_line(error)}).") from error


def with_precision(model: keras.Model, precision: str) -> keras.Model:
    """A copy of `model`, with our layers where they compute the same, that computes in that Keras dtype policy.

    With `mixed_bfloat16` the convolutions compute in bfloat16 and the feature maps are kept in it; what is
    done between convolutions (normalise, activate) is done in float32, and so is the output convolution.
    """
    from mdcsrn_tf.models.layers import BatchNormalization, Elu

    return _rebuilt(model, BatchNormalization, Elu, precision)


def portable(model: keras.Model) -> keras.Model:
    """A float32 copy of `model` of stock Keras layers only."""
    from keras.layers import Activation, BatchNormalization

    return _rebuilt(model, BatchNormalization, Activation, "float32")


def is_elu(layer: keras.layers.Layer) -> bool:
    """Whether our ELU computes what this layer does."""
    import keras

    return isinstance(layer, keras.layers.Activation) and layer.activation is keras.activations.elu


def is_plain_norm(layer: keras.layers.Layer) -> bool:
    """Whether our batch normalisation computes what this layer does: over the channels, with a gain and an offset."""
    import keras

    if not isinstance(layer, keras.layers.BatchNormalization):
        return False
    last = len(layer.input.shape) - 1
    whole = layer.center and layer.scale and not layer.synchronized and not getattr(layer, "renorm", False)
    return whole and layer.axis in (-1, last)


def _rebuilt(model: keras.Model, norm_class: Any, elu_class: Any, precision: str) -> keras.Model:
    """The same network and weights, of the given classes of layers, computing in `precision`."""
    import keras

    outputs = set(model.output_names)

    def rebuild(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if isinstance(layer, keras.layers.InputLayer):
            return layer.__class__.from_config(config)
        config["dtype"] = "float32" if layer.name in outputs else precision
        if isinstance(layer, keras.layers.BatchNormalization):
            config["dtype"] = "float32"
            if not is_plain_norm(layer):
                return layer.__class__.from_config(config)
            rebuilt = norm_class.from_config(config)
            rebuilt.autocast = False  # the layer itself casts what it reads to float32
        elif is_elu(layer):
            rebuilt = elu_class.from_config(config)
            rebuilt.autocast = False  # the layer itself casts what it gives to bfloat16
        else:
            rebuilt = layer.__class__.from_config(config)
        return rebuilt

    copy = keras.models.clone_model(model, clone_function=rebuild)
    copy.set_weights(model.get_weights())
    return copy
