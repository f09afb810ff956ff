"""Does the network help this very scan? Asked without a truth: the scan's own samples are degraded once more.

What was measured becomes the truth, at half the resolution: it is degraded as its network's training scans were,
super-resolved, and compared with itself inside the head; so is plain sinc interpolation. A network that loses there
is not to be trusted with the scan either. NumPy and SciPy, and the engine that is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mdcsrn_tf.inference.measured import samples_of
from mdcsrn_tf.inference.prepared import Prepared
from mdcsrn_tf.inference.scan import run_prepared
from mdcsrn_tf.inference.settings import ScanSettings, Settings
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.scans import kspace
from mdcsrn_tf.scans.head import head_mask
from mdcsrn_tf.scans.kspace_check import AxisFinding
from mdcsrn_tf.scans.slice_profile import SliceProfile

if TYPE_CHECKING:
    from mdcsrn_tf.inference.engines import Engine


@dataclass(frozen=True)
class SelfCheck:
    """PSNR inside the head (dB, the head's largest value as range) against the measured samples."""

    network: float
    sinc: float

    @property
    def gain(self) -> float:
        """By how many dB the network beats sinc."""
        return self.network - self.sinc


def check_itself(prepared: Prepared, engine: Engine, settings: Settings, detail: float = 1.0) -> SelfCheck:
    """Degrade the measured samples by the scan's own axes and factors, and super-resolve them, as strong in detail."""
    truth, affine = samples_of(prepared.volume, prepared.decision)
    measured = AxisFinding(None)  # how the scan was interpolated says nothing of what is made of its samples here
    decision = replace(prepared.decision, grid="small", findings=(measured,) * len(prepared.decision.axes))
    small = kspace.acquire(truth, decision.factors, decision.axes, slices=_slices(engine.card, decision.factors))
    on_grid = kspace.interpolate(small, truth.shape, decision.factors, decision.axes, engine.card.interpolation)
    sinc = kspace.interpolate(small, truth.shape, decision.factors, decision.axes, "sinc")
    again = replace(
        prepared,
        volume=replace(prepared.volume, data=small),
        on_grid=on_grid.astype(np.float32),
        affine=affine,
        decision=decision,
    )
    found = run_prepared(again, engine, settings, ScanSettings(detail=detail)).data
    mask = head_mask(truth, np.linalg.norm(affine[:3, :3], axis=0))
    return SelfCheck(psnr_inside(found, truth, mask), psnr_inside(sinc, truth, mask))


def _slices(card: ModelCard, factors: Sequence[int]) -> SliceProfile | None:
    """For a network of thick slices, slices that touch, of the shape that it was trained on."""
    return SliceProfile(card.slices["profile"], float(factors[0])) if card.slices else None  # type: ignore[arg-type]


def psnr_inside(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """PSNR in dB over the voxels of a boolean mask; the truth's largest value there is the range."""
    error = np.mean(np.square(image[mask].astype(np.float64) - truth[mask]))
    return float(10 * np.log10(float(truth[mask].max()) ** 2 / max(error, 1e-30)))
