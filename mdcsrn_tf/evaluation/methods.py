"""The rows of an evaluation: baselines from k-space, models, folders of results; made where a worker runs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdcsrn_tf.chatter import load_tensorflow_quietly
from mdcsrn_tf.command_line import in_own_process
from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation.plan import Method, Plan
from mdcsrn_tf.evaluation.scene import factors_of
from mdcsrn_tf.evaluation.subjects import check_place
from mdcsrn_tf.inference.settings import ENGINES, INT8, PRECISIONS, ScanSettings, Settings, check_running
from mdcsrn_tf.papers import PRESETS, get_preset
from mdcsrn_tf.scans.axes import resolve_axes
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.slice_profile import profile_for
from mdcsrn_tf.scans.volumes import Volume

# What the papers call them -> mdcsrn_tf.scans.kspace's method.
BASELINES = {"nn": "nearest", "linear": "linear", "bicubic": "cubic", "sinc": "sinc", "sinc-dark": "sinc-dark"}
# Zero-filled sinc with all that lies outside its own head mask set to zero: not a detail more than sinc. On stripped
# scans it gains most of the SSIM that a network gains, so a network has to beat it, too.
SINC_DARK = "sinc-dark"
_GAN_SUFFIX = "-gan"
_USUAL = Settings()


@dataclass(frozen=True)
class KspaceMaker:
    """Degrades as data_prep does and super-resolves as `infer.py` does. Without a state: workers get it."""

    def low_res(self, reference: Volume, plan: Plan, interpolation: str) -> np.ndarray:
        """The reference truncated in k-space and interpolated back to its own grid."""
        from mdcsrn_tf.scans import kspace

        axes = resolve_axes(plan.axes, reference.affine)
        factors, shape = factors_of(plan, axes), reference.data.shape
        count = kspace.small_size(shape[axes[0]], factors[0])
        slices = profile_for(plan.slices, shape, count, axes[0], reference.affine)
        if interpolation != SINC_DARK:
            return kspace.degrade(reference.data, factors, axes, interpolation, slices=slices)
        image = kspace.degrade(reference.data, factors, axes, "sinc", slices=slices)
        spacing = np.linalg.norm(reference.affine[:3, :3], axis=0)
        return np.where(head_mask(image, spacing), image, np.float32(0))

    def enlarge(self, low_res: Volume, reference: Volume, plan: Plan, interpolation: str) -> np.ndarray:
        """A scan on the small matrix brought to the reference's grid; one that is there already, as it is."""
        from mdcsrn_tf.scans import kspace

        shape, axes = reference.data.shape, resolve_axes(plan.axes, reference.affine)
        if low_res.data.shape == shape:
            return low_res.data
        factors = factors_of(plan, axes)
        if low_res.data.shape != kspace.small_shape(shape, factors, axes):
            raise UserError(
                f"{low_res.path} has shape {low_res.data.shape}: neither that of {reference.path}, {shape}, "
                f"nor that degraded by --factor along --axes, {kspace.small_shape(shape, factors, axes)}."
            )
        check_place(low_res, reference, kspace.small_affine(reference.affine, factors, axes, shape))
        return kspace.interpolate(low_res.data, shape, factors, axes, interpolation)

    def super_resolve(
        self, method: Method, low_res: Volume | None, reference: Volume | None, plan: Plan
    ) -> tuple[np.ndarray, float]:
        """The model's result and its seconds, from the low-resolution scan if there is one, else degraded."""
        if method.running.engine == "tensorflow":
            load_tensorflow_quietly()
        from mdcsrn_tf.inference.engines import load_engine
        from mdcsrn_tf.inference.scan import super_resolve_scan

        # The engine is kept, so that the time below is that of the scan and not of loading the network.
        engine = load_engine(method.source, method.running)
        scan = self._network_input(low_res, reference, plan, engine.card.interpolation)
        factor = ",".join(map(str, plan.factor))
        # Whatever speaks against it: an evaluation is there to find out.
        wanted = ScanSettings(grid="same", axes=plan.axes, factor=factor, force=True)
        started = time.monotonic()
        result = super_resolve_scan(scan, engine, method.running, wanted)
        return result.data, time.monotonic() - started

    def _network_input(
        self, low_res: Volume | None, reference: Volume | None, plan: Plan, interpolation: str
    ) -> Volume:
        if low_res is not None:
            if reference is None or not plan.reference:
                return low_res
            data = self.enlarge(low_res, reference, plan, interpolation)
            return dataclasses.replace(reference, data=data, path=low_res.path)
        if reference is None:
            raise UserError("A model needs low-resolution scans (--lr) or scans to degrade (--hr).")
        return dataclasses.replace(reference, data=self.low_res(reference, plan, interpolation))


def baseline_methods(names: Sequence[str]) -> list[Method]:
    """The interpolations of that name."""
    for name in names:
        if name not in BASELINES:
            raise UserError(f"There is no baseline {name!r}; there are {', '.join(BASELINES)}.")
    return [Method(name, "baseline", BASELINES[name]) for name in names]


def model_methods(names: Sequence[str]) -> list[Method]:
    """The models, by bundled name or file and how they are run, each with the preset and sizes of its network."""
    if not names:
        return []
    asked = [model_and_running(name) for name in names]
    load_tensorflow_quietly(own_process=in_own_process())
    from mdcsrn_tf.evaluation.architectures import macs_per_voxel, trainable_parameters
    from mdcsrn_tf.inference.engines import read_any_card, refuse_unfit
    from mdcsrn_tf.models import build_generator
    from mdcsrn_tf.weights import find_model

    methods = []
    for model, running in asked:
        path = find_model(model)
        refuse_unfit(path, running)
        card = read_any_card(path)
        network = build_generator(get_preset(card.preset).network)
        gan = card.notes.get("phase", "gan" if "gan" in path.stem.lower() else "") == "gan"
        sizes = trainable_parameters(network), macs_per_voxel(network)
        remark = _features_remark(card.notes)
        preset = None if remark else card.preset
        name = path.stem + remark + _running_remark(running)
        methods.append(Method(name, "model", str(path.resolve()), preset, gan, *sizes, running))
    return methods


def model_and_running(text: str) -> tuple[str, Settings]:
    """A model, and how it is run: by the engine and in the precision that are named behind an `@`.

    >>> model_and_running("fast-b4u4k16@openvino-bfloat16")[1].engine
    'openvino'
    """
    name, at, words = text.rpartition("@")
    if not at or Path(text).exists():
        return text, _USUAL
    parts = words.split("-")
    engines, precisions = ([part for part in parts if part in known] for known in (ENGINES, PRECISIONS))
    if max(len(engines), len(precisions)) > 1 or len(engines) + len(precisions) < len(parts):
        known = ", ".join((*ENGINES, *PRECISIONS))
        raise UserError(
            f"--models={text}: behind the @ stand an engine, a precision, or both with a - between: {known}."
        )
    precision = precisions[0] if precisions else _USUAL.precision
    engine = engines[0] if engines else "openvino" if precision == INT8 else _USUAL.engine  # nothing else runs int8
    running = Settings(engine=engine, precision=precision)
    check_running(running)
    return name, running


def _features_remark(notes: Mapping[str, Any]) -> str:
    """What is added to the name of a model whose loss read other VGG weights than the standard file's.

    Such a model does not stand in a paper's row.
    """
    kinds = {found["weights"] for found in notes.get("features", ())}
    if "random" in kinds:
        return "-random-features"
    return "-unknown-vgg" if kinds - {"standard"} else ""


def _running_remark(running: Settings) -> str:
    """What is added to the name of a model that is run by another engine or precision, whose numbers are others."""
    words = (running.engine, _USUAL.engine), (running.precision, _USUAL.precision)
    return "".join(f"-{word}" for word, usual in words if word != usual)


def folder_methods(text: str) -> dict[str, Path]:
    """`--sr`: folders of finished results, `DIR` or `NAME=DIR`; NAME may be a paper's method or a preset."""
    folders: dict[str, Path] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, folder = item.rpartition("=")
        path = Path(folder)
        name = name if equals else path.name.split(".")[0]
        if name in folders:
            raise UserError(f"--sr names {name!r} twice; give each folder a name of its own (NAME=DIR).")
        folders[name] = path
    return folders


def folder_method(name: str) -> Method:
    """A folder's row; `journal/b8u4k12`, `journal/b8u4k12-gan` and `7t/unet7` are found in the papers' tables."""
    gan = name.lower().endswith(_GAN_SUFFIX)
    known = PRESETS.get(name[: -len(_GAN_SUFFIX)] if gan else name)
    if known is None:
        return Method(name, "folder", gan=gan)
    # Of a preset that trains by a GAN alone there is no other result.
    only_gan = [phase.name for phase in known.training.phases] == ["gan"]
    return Method(name, "folder", preset=known.name, gan=gan or only_gan)
