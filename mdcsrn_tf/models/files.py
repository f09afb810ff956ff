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

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.files import replace_when_done

if TYPE_CHECKING:
    import keras

CARD_MEMBER = "mdcsrn_model_card.json"


@dataclass(frozen=True)
class ModelCard:
    """What inference must know about a trained network, and a reader wants to."""

    preset: str
    version: str  # of mdcsrn_tf, when it was saved
    interpolation: str  # how its inputs were brought to the target grid: "linear" or "sinc"
    axes: tuple[str, ...] = ()  # the degraded axes it was trained for, e.g. ("LR", "AP")
    factor: tuple[int, ...] = ()
    tile: int = 70
    margin: int = 3
    bn: str = "batch"
    normalisation: str = "zscore-foreground"
    notes: dict[str, Any] = field(default_factory=dict)
    slices: dict[str, str] | None = None  # the slice profile of its inputs; None: k-space truncation

    def to_json(self) -> str:
        """The card as JSON text."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """The card in that JSON text; members this version does not know are left out."""
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in json.loads(text).items() if key in known}
        for name in ("axes", "factor"):
            values[name] = tuple(values.get(name, ()))
        return cls(**values)


def save_model(path: str | os.PathLike[str], model: keras.Model, card: ModelCard) -> None:
    """Write `model` and its card to `path` (`.keras`), whole or not at all, in float32."""
    with replace_when_done(path) as partial:
        portable(model).save(partial)
        with zipfile.ZipFile(partial, "a") as archive:
            archive.writestr(CARD_MEMBER, card.to_json())


def load_model(path: str | os.PathLike[str], precision: str = "float32") -> tuple[keras.Model, ModelCard]:
    """Read a model and its card; see `with_precision` for what a `precision` of mixed_bfloat16 means."""
    card = read_card(path)
    import keras

    try:
        stock = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever its readers raise on a damaged archive
        raise UserError(f"{path} is damaged: Keras cannot read it ({_first_line(error)}); copy it again.") from error
    return with_precision(stock, precision), card


def read_card(path: str | os.PathLike[str]) -> ModelCard:
    """The card of a model file, without loading Keras."""
    if not Path(path).is_file():
        raise UserError(f"There is no model file {path}.")
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(CARD_MEMBER).decode()
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{path} is not a .keras model file, or it is damaged.") from error
    except KeyError as error:
        raise UserError(f"{path} has no model card: it was not written by mdcsrn-train.") from error
    try:
        return ModelCard.from_json(text)
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"The model card in {path} cannot be read ({_first_line(error)}).") from error


def with_precision(model: keras.Model, precision: str) -> keras.Model:
    """A copy of `model`, with our layers, that computes in that Keras dtype policy.

    With `mixed_bfloat16` the convolutions compute in bfloat16 and the feature maps are kept in it; what is
    done between convolutions (normalise, activate) is done in float32, and so is the output convolution.
    """
    from mdcsrn_tf.models.layers import BatchNormalization, Elu

    return _rebuilt(model, BatchNormalization, Elu, precision)


def portable(model: keras.Model) -> keras.Model:
    """A float32 copy of `model` of stock Keras layers only."""
    from keras.layers import Activation, BatchNormalization

    return _rebuilt(model, BatchNormalization, Activation, "float32")


def _rebuilt(model: keras.Model, norm_class: Any, elu_class: Any, precision: str) -> keras.Model:
    """The same network and weights, of the given classes of layers, computing in `precision`."""
    import keras

    outputs = set(model.output_names)

    def rebuild(layer: keras.layers.Layer) -> keras.layers.Layer:
        if not isinstance(layer, keras.layers.Layer):
            return layer  # an operation without weights, as a padding
        config = layer.get_config()
        if isinstance(layer, keras.layers.InputLayer):
            return layer.__class__.from_config(config)
        config["dtype"] = "float32" if layer.name in outputs else precision
        if isinstance(layer, keras.layers.BatchNormalization):
            config["dtype"] = "float32"
            rebuilt = norm_class.from_config(config)
            rebuilt.autocast = False  # it widens its input itself
        elif isinstance(layer, keras.layers.Activation) and config["activation"] == "elu":
            rebuilt = elu_class.from_config(config)
            rebuilt.autocast = False  # it narrows its output itself
        else:
            rebuilt = layer.__class__.from_config(config)
        return rebuilt

    copy = keras.models.clone_model(model, clone_function=rebuild)
    copy.set_weights(model.get_weights())
    return copy


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
