"""The flags of mdcsrn-infer as the settings that the library takes."""

from __future__ import annotations

from absl import flags

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.settings import ScanSettings, Settings


def network_settings(values: flags.FlagValues) -> Settings:
    """How the network is to be run."""
    return Settings(
        tile=values.tile,
        margin=values.margin,
        bn=values.bn,
        seamless=values.seamless,
        ensemble=int(values.ensemble),
        batch_tiles=values.batch_tiles,
        precision=values.precision,
        device=values.device,
        engine=values.engine,
        plane=values.plane,
        stride=values.stride,
        merge=values.merge,
    )


def scan_settings(values: flags.FlagValues) -> ScanSettings:
    """What is said of the scan, and what is to be written."""
    return ScanSettings(
        grid=values.grid,
        axes=values.axes,
        factor=values.factor,
        force=values.force,
        consistency=values.consistency,
        detail=values.detail,
        self_check=values.self_check,
        dtype=values.dtype,
        qc=values.qc or values.qc_seams,
        qc_seams=values.qc_seams,
        series=values.series,
        volume=values.volume,
        nan=_number(values.nan),
        keep_header_text=values.keep_header_text,
    )


def _number(nan: str) -> float | None:
    try:
        return None if nan == "refuse" else float(nan)
    except ValueError:
        raise UserError(f"--nan={nan} is neither a number nor refuse.") from None
