"""VGG16 and VGG19 as frozen feature networks for losses. Their weights are the user's to bring: nothing is downloaded.

The two papers feed them differently; here both ways are from a batch of images to a list of feature maps.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mdcsrn_tf.errors import UserError

if TYPE_CHECKING:
    import keras

VggName = Literal["vgg16", "vgg19"]

# Standard deviation of ImageNet's pixels, 0.225 of 255: brings z-scores to the units that Keras's file was made for.
PIXEL_SPREAD = 57.4
VGG_SIDE = 224  # S resizes to what VGG was trained on
RANDOM_SEED = 20  # one draw for all runs: a run with random features can be repeated


@dataclass(frozen=True)
class VggFile:
    """The standard Keras file of a network's convolutions, and which of its layers a paper's loss reads."""

    file: str
    md5: str
    layers: tuple[str, ...]


VGG_FILES: dict[str, VggFile] = {
    # Johnson's four: the last convolutions of torchvision's slices [:4], [:9], [:16], [:23].
    "vgg16": VggFile(
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "6d6bbae143d832006294945121d1f1fc",
        ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3"),
    ),
    "vgg19": VggFile(
        "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5", "253f8cb515780f3b799900260a226db6", ("block4_pool",)
    ),
}


@dataclass(frozen=True)
class Features:
    """A frozen network with the record of where its weights come from; call it on images [batch, H, W, 1 or 3]."""

    name: VggName
    model: keras.Model
    prepared: Callable[[Any], Any]
    origin: dict[str, Any]

    def __call__(self, images: Any) -> list[Any]:
        """The feature maps, in the units of the images that were fed."""
        scale = PIXEL_SPREAD if self.name == "vgg16" else 1.0
        maps = self.model(self.prepared(images), training=False)
        return [features / scale for features in (maps if isinstance(maps, list) else [maps])]


def load_features(
    name: VggName, weights: str | os.PathLike[str] | None, *, random: bool = False, side: int = VGG_SIDE
) -> Features:
    """The feature network with the weights of that file, or with random ones (for tests: no paper's loss).

    `side` is what S's images are resized to; P's keep their size.
    """
    import keras

    path = None if random else checked_weights(name, weights)
    standard = VGG_FILES[name]
    build = keras.applications.VGG16 if name == "vgg16" else keras.applications.VGG19
    whole = build(include_top=False, weights=None, input_shape=(None, None, 3))
    origin = {"features": name, "weights": "random"}
    if path is None:
        _draw(whole)
    else:
        origin = {"features": name, **_load(whole, path, standard)}
    outputs = [whole.get_layer(layer).output for layer in standard.layers]
    model = keras.Model(whole.inputs, outputs, trainable=False, name=name)
    prepared = as_pixels(side) if name == "vgg19" else as_z_scores
    return Features(name, model, prepared, origin)


def checked_weights(name: VggName, weights: str | os.PathLike[str] | None) -> Path:
    """The file of weights, which is there; UserError names the standard one otherwise."""
    standard = VGG_FILES[name]
    if weights is None:
        raise UserError(
            f"The loss needs {name.upper()}'s weights: give the standard Keras file {standard.file} "
            f"(md5 {standard.md5}) by --vgg_weights, or say --features=random for a trial."
        )
    path = Path(weights)
    if not path.is_file():
        raise UserError(f"There is no file {path} of VGG weights; the standard one is Keras's {standard.file}.")
    return path


def as_pixels(side: int) -> Callable[[Any], Any]:
    """S's way: images in [-1, 1] to 0..255 (not clipped, which would end gradients), resized, mean subtracted."""

    def prepared(images: Any) -> Any:
        import keras
        from keras import ops

        pixels = ops.image.resize(as_rgb((images + 1.0) * 127.5), (side, side), interpolation="bilinear")
        return keras.applications.vgg19.preprocess_input(pixels)

    return prepared


def as_z_scores(images: Any) -> Any:
    """P's way: each image to zero mean and unit variance, in the spread of the pixels that VGG was trained on."""
    from keras import ops

    mean, variance = ops.moments(images, axes=[1, 2, 3], keepdims=True)
    # A patch of air alone is constant.
    return as_rgb((images - mean) / ops.sqrt(variance + 1e-8) * PIXEL_SPREAD)


def as_rgb(images: Any) -> Any:
    """A grey image three times; three neighbouring slices as they are."""
    from keras import ops

    return ops.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def _draw(model: keras.Model) -> None:
    import numpy as np

    rng = np.random.default_rng(RANDOM_SEED)
    for layer in model.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            spread = np.sqrt(2.0 / np.prod(kernel.shape[:3]))  # He's
            layer.set_weights([rng.normal(0.0, spread, kernel.shape).astype(np.float32), 0 * bias])


def _load(model: keras.Model, path: Path, standard: VggFile) -> dict[str, Any]:
    content = path.read_bytes()
    try:
        model.load_weights(path)
    except Exception as error:  # whatever h5py and Keras raise on a file of another kind
        raise UserError(
            f"{path} does not hold {model.name.upper()}'s convolutions; the standard file is Keras's "
            f"{standard.file} (md5 {standard.md5})."
        ) from error
    known = hashlib.md5(content, usedforsecurity=False).hexdigest() == standard.md5
    return {
        "weights": "standard" if known else "unknown",
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
