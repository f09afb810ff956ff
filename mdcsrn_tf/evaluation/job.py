"""One subject from files to numbers, resumable method by method: what a worker runs."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.evaluation import labels, pictures, subjects
from mdcsrn_tf.evaluation.measure import Scores, measure, measure_overlap
from mdcsrn_tf.evaluation.pictures import safe_name
from mdcsrn_tf.evaluation.plan import ImageMaker, Method, Plan, Subject, fingerprint
from mdcsrn_tf.evaluation.scene import Scene, set_scene
from mdcsrn_tf.run_record import device, write_json
from mdcsrn_tf.scans.volumes import Volume, read_volume


@dataclass(frozen=True)
class Task:
    """One subject's share of an evaluation."""

    subject: Subject
    plan: Plan
    maker: ImageMaker
    output: Path
    heads_kept: bool = False  # the report shows this subject's whole head


def run(task: Task) -> dict[str, Any]:
    """The subject's record: measured now, or read where an earlier run left it."""
    path = task.output / "subjects" / f"{safe_name(task.subject.name)}.json"
    known = _read_record(path)
    prints = {m.name: fingerprint(task.plan, m, task.subject.files_of(m.name)) for m in task.plan.methods}
    wanted = [m for m in task.plan.methods if not _is_done(task, m, known, prints[m.name])]
    found = {name: known[name] for name in prints if name in known}
    doubts = _read_record(path, "doubts")
    if wanted:
        bench = _Bench(task)
        doubts = bench.doubts()
        for method in wanted:
            found[method.name] = bench.measure(method) | {"fingerprint": prints[method.name]}
            # After every method: a model may have taken minutes.
            write_json(path, {"subject": task.subject.name, "methods": {**known, **found}, "doubts": doubts})
    return {"subject": task.subject.name, "methods": found, "doubts": doubts}


def holds_records(folder: Path) -> bool:
    """Whether a subject's record of an evaluation lies in `folder`."""
    return any(_read_record(path) for path in folder.glob("*.json") if path.is_file())


def _is_done(task: Task, method: Method, known: dict[str, Any], fingerprint: str) -> bool:
    """Whether an earlier run measured the same, and what it kept for figures and report is still there."""
    place = pictures.place_of(task.output, task.subject.name, method.name)
    kept = pictures.read_head(place, method.name) is not None if task.heads_kept else place.is_file()
    return kept and known.get(method.name, {}).get("fingerprint") == fingerprint


class _Bench:
    """The subject's volumes and scene, read once for all methods."""

    def __init__(self, task: Task) -> None:
        self.task, subject, plan = task, task.subject, task.plan
        self.low_res = read_volume(subject.low_res, nan=0.0) if subject.low_res else None
        self.reference = read_volume(subject.high_res, nan=0.0) if subject.high_res else None
        ground = self.reference if self.reference is not None else self.low_res
        if ground is None:
            raise UserError(f"{subject.name} has neither a high- nor a low-resolution scan.")
        self.scene = set_scene(ground, plan, has_reference=plan.reference and self.reference is not None)
        if self.scene.has_reference and self.low_res is not None and self.reference is not None:
            self._check_pair(self.reference, self.low_res)
        self._reference_labels: np.ndarray | None = None

    def doubts(self) -> dict[str, tuple[str, ...]]:
        """What is doubtful about the headers of the scans that are compared, by the files' names."""
        scans = [scan for scan in (self.reference, self.low_res) if scan is not None and scan.remarks]
        return {scan.path.name: scan.remarks for scan in scans}

    def measure(self, method: Method) -> dict[str, Any]:
        """Make or read the method's image, measure it, keep what figures need."""
        image, scene, seconds = self._image(method)
        try:
            scores = measure(image.data, scene, self.task.plan, itself=method.kind == "original")
        except UserError as error:
            raise UserError(f"{method.name}, {image.path}: {error}") from error
        labelled = self._overlap(method, image, scores)
        place = pictures.place_of(self.task.output, self.task.subject.name, method.name)
        pictures.keep(place, image.data, scene, whole=self.task.heads_kept)
        return {
            "values": encoded(scores.values),
            "slices": encoded(scores.slices),
            "slice_numbers": {"fidelity": scene.fidelity_slices, "perceptual": scene.perceptual_slices},
            "missing": scores.missing,
            "bands": encoded(scores.bands),
            "overlap": labelled,
            "seconds": seconds,
            "device": _device_of(method) if seconds is not None else None,
            "scene": {"axis": scene.axis, "data_range": scene.data_range, "eight_bit_top": scene.top},
        }

    def _check_pair(self, reference: Volume, low_res: Volume) -> None:
        if reference.data.shape == low_res.data.shape:
            subjects.check_same_grid(reference, low_res)
            subjects.check_not_swapped(reference, low_res, self.scene.degraded_axes)

    def _image(self, method: Method) -> tuple[Volume, Scene, float | None]:
        task, ground = self.task, self.scene.volume
        if method.kind == "folder":
            image = read_volume(dict(task.subject.results)[method.name])
            if self.scene.has_reference:
                subjects.check_same_grid(ground, image)
            return image, self._scene_of(image), None
        if method.kind in ("original", "low_res"):
            found = self.reference if method.kind == "original" else self._low_res_on_grid()
            if found is None:
                raise UserError(f"{task.subject.name} has no scan for the row {method.name!r}.")
            return found, self._scene_of(found), None
        if method.kind == "model":
            data, seconds = task.maker.super_resolve(method, self.low_res, self.reference, task.plan)
        else:
            if self.reference is None:
                raise UserError(f"the row {method.name!r} is made from the high-resolution scans: give --hr.")
            started = time.monotonic()
            data = task.maker.low_res(self.reference, task.plan, method.source or "linear")
            seconds = time.monotonic() - started
        if data.shape == ground.data.shape:
            return _like(ground, data), self.scene, seconds
        # Unpaired scans (J Table 4): the result lies on the low-resolution scan's grid.
        like = self.low_res if self.low_res is not None else ground
        image = _like(like, data)
        return image, self._scene_of(image), seconds

    def _low_res_on_grid(self) -> Volume | None:
        if self.low_res is None or self.reference is None or not self.scene.has_reference:
            return self.low_res
        data = self.task.maker.enlarge(self.low_res, self.reference, self.task.plan, "linear")
        return dataclasses.replace(_like(self.reference, data), path=self.low_res.path)

    def _scene_of(self, image: Volume) -> Scene:
        """The common scene; an unpaired image on another grid gets its own slices and its own scale."""
        if self.scene.has_reference or image.data.shape == self.scene.volume.data.shape:
            return self.scene
        return set_scene(image, self.task.plan, has_reference=False)

    def _overlap(self, method: Method, image: Volume, scores: Scores) -> dict[str, Any] | None:
        plan = self.task.plan
        if plan.segmenter is None or self.reference is None or method.kind == "original":
            return None
        folder = self.task.output / "segmentations"
        name = f"{safe_name(self.task.subject.name)}.nii.gz"
        if self._reference_labels is None:
            self._reference_labels = labels.segment(plan.segmenter, self.reference, folder / "original" / name)
        found = labels.segment(plan.segmenter, image, folder / safe_name(method.name) / name)
        return measure_overlap(self._reference_labels, found, scores)


def _device_of(method: Method) -> dict[str, Any]:
    """What made the method's images: OpenVINO runs on the processor alone."""
    return device() | ({"gpus": []} if method.running.engine == "openvino" else {})


def _like(volume: Volume, data: np.ndarray) -> Volume:
    return dataclasses.replace(volume, data=np.ascontiguousarray(data, dtype=np.float32))


def _read_record(path: Path, part: str = "methods") -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))[part])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}  # none yet, or not one of ours: measured anew


def encoded(value: Any) -> Any:
    """Infinities as text, because JSON has none: a volume compared with itself has an infinite PSNR."""
    if isinstance(value, dict):
        return {key: encoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [encoded(item) for item in value]
    return str(value) if value in (float("inf"), float("-inf")) else value


def decoded(value: Any) -> float:
    """The number in a record; a missing one is NaN."""
    return float("nan") if value is None else float(value)
