"""The flags of mdcsrn-infer as the settings that the library takes: each field has the flag of its name."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

from absl import flags

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference.settings import ScanSettings, Settings, Strength, check_running, check_strength


def network_settings(values: flags.FlagValues) -> Settings:
    """How the network is to be run; what cannot be is refused before any scan is read."""
    settings = Settings(**{**_named(Settings, values), "ensemble": int(values.ensemble)})
    check_running(settings)
    return settings


def scan_settings(values: flags.FlagValues) -> ScanSettings:
    """What is said of the scan, and what is to be written."""
    said = {"nan": _number(values.nan), "detail": _detail(values.detail)}
    return ScanSettings(**{**_named(ScanSettings, values), **said})


def _named(kind: Any, values: flags.FlagValues) -> dict[str, Any]:
    return {field.name: values[field.name].value for field in fields(kind)}


def _number(nan: str) -> float | None:
    try:
        number = None if nan == "refuse" else float(nan)
    except ValueError:
        number = math.inf
    if number is not None and not math.isfinite(number):
        raise UserError(f"--nan={nan} is neither a number nor refuse.")
    return number


def _detail(strength: str) -> Strength:
    """Refused here, before any scan is read: inference would say it of each scan anew."""
    try:
        detail: Strength = "auto" if strength == "auto" else float(strength)
    except ValueError:
        raise UserError(f"--detail={strength} is neither a number nor auto.") from None
    check_strength(detail)
    return detail
