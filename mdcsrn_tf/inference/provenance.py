"""What a result's JSON sidecar says: by which network, how, from what, with what findings and warnings."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mdcsrn_tf import __version__
from mdcsrn_tf.files import sha256_of
from mdcsrn_tf.inference.decision import Decision
from mdcsrn_tf.inference.outputs import Job
from mdcsrn_tf.inference.scan import Outcome
from mdcsrn_tf.inference.self_check import SelfCheck
from mdcsrn_tf.inference.settings import ScanSettings, Settings
from mdcsrn_tf.inference.volume import Result
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.run_record import plain, versions
from mdcsrn_tf.scans.find import GENERATOR, files_of, made_by_us, place_below, sha256_of_scan

# Settings that change nothing of the result: speed, where it runs, pictures, what was overruled; which series is in the
# scan's own hash.
_WITHOUT_EFFECT = ("batch_tiles", "device", "qc", "qc_seams", "force", "series")

# Settings that sidecars of older versions do not name, at what they were.
_SINCE = {"detail": 1.0, "undo_filter": False}

_SHOWN = ("Seen", "Warnings", "Tile", "Margin", "Tiles", "BatchNormalization", "SeamFigure")  # by a picture drawn later


def request(model: Path | None, settings: Settings, wanted: ScanSettings) -> dict[str, Any]:
    """What decides a result besides its scan, for the sidecar and for comparing with it; None: chosen by the scan."""
    asked = {**asdict(settings), **asdict(wanted)}
    kept = {name: value for name, value in asked.items() if name not in _WITHOUT_EFFECT}
    return plain({"model": identity_of(model) if model else None, **kept})


@dataclass(frozen=True)
class Remarks:
    """What was found out about a scan, and is said on the terminal, in the picture and in the sidecar."""

    seen: str  # a line: what the scan is, and which network was taken
    warnings: list[str]
    check: SelfCheck | None = None

    def then(self, others: Remarks) -> Remarks:
        """These, of a network in the planes, and those of the one after it."""
        return Remarks(f"{self.seen}; then {others.seen}", [*self.warnings, *others.warnings], others.check)

    def and_of(self, check: SelfCheck) -> Remarks:
        """These and the self-check's, with a warning where the network was below sinc."""
        below = f"the self-check found the network {-check.gain:.2f} dB below sinc on this scan."
        return Remarks(self.seen, [*self.warnings, *([below] if check.gain < 0 else [])], check)


def describe(
    job: Job,
    asked: Mapping[str, Any],
    last: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
    check: SelfCheck | None = None,
) -> dict[str, Any]:
    """The sidecar's content but for the hashes of scan and result; nothing in it changes from one run to the next.

    last, before: `of_pass` of the network that gave the result, and of one that the scan went through before.
    """
    network = last["Model"]
    earlier = f", in its planes by {before['Model']['name']} before that" if before else ""
    content: dict[str, Any] = {
        "Description": f"Super-resolved by {network['name']} ({network['preset']}){earlier}",
        "GeneratedBy": [{"Name": GENERATOR, "Version": __version__}],
        "Sources": [_source(job)],
        "Request": dict(asked),
        **last,
        "SelfCheck": check and {"network_db": check.network, "sinc_db": check.sinc, "gain_db": check.gain},
        "Before": before,
        "Versions": versions(),
    }
    return plain(content)


def of_pass(model: Path, card: ModelCard, outcome: Outcome, remarks: Remarks) -> dict[str, Any]:
    """What a sidecar says of a scan's way through one network."""
    return {
        "Model": {
            **asdict(card),
            "name": model.stem,
            "sha256": identity_of(model),
            "card_sha256": _hash(card.to_json()),
        },
        "Seen": remarks.seen,
        **_decided(outcome.prepared.decision),
        "Warnings": remarks.warnings,
        **_run(outcome.result),
        "Detail": outcome.detail,
        "KeptAsStored": round(outcome.kept, 4),
    }


def _decided(decision: Decision) -> dict[str, Any]:
    """How the scan was taken to have been interpolated."""
    stored = [finding.as_stored for finding in decision.findings]
    return {
        "Grid": decision.grid,
        "Axes": list(decision.names),
        "Factor": list(decision.factors),
        "Interpolation": [
            {"axis": name, "method": found.method, "factor": round(found.factor, 4), "evidence": found.evidence}
            for name, found in zip(decision.names, stored, strict=True)
        ],
    }


def _run(result: Result) -> dict[str, Any]:
    """How the network was run."""
    return {
        "Tile": result.tile,
        "Margin": result.margin,
        "Tiles": result.tiles,
        "BatchNormalization": result.bn,
        "SeamFigure": result.seam_figure,
    }


def differences(job: Job, asked: Mapping[str, Any]) -> list[str] | None:
    """How a finished result was made otherwise than is asked now, a phrase each; None: its sidecar does not say."""
    try:
        content = json.loads(job.sidecar.read_text(encoding="utf-8"))
        made = {**_SINCE, **content["Request"]}
        _ = [content["Model"]["sha256"], *(content[member] for member in _SHOWN)]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    phrases = []
    for name, value in asked.items():
        chosen = made.get("model", "") is None and not content.get("Before")  # one, and not two
        if name == "model" and value is not None and chosen:
            made["model"] = content["Model"]["sha256"]  # chosen by the scan then, and named now
        # Chosen by the scan then as now, a network that was bundled since does not make the result another.
        if name not in made or made[name] != value:
            phrases.append(f"--{name} was {_shown(name, made.get(name))} and is {_shown(name, value)}")
    if content.get("SourceSHA256") != source_hash(job.source):
        phrases.append("the scan has changed since")
    if content.get("ResultSHA256") != source_hash(job.target):
        phrases.append("it is not the file that its sidecar describes")
    return phrases


def is_of_another(job: Job, result_sha256: str) -> bool:
    """Whether a sidecar of ours lies beside a result, and is of one with another hash."""
    if not made_by_us(job.sidecar):
        return False
    return json.loads(job.sidecar.read_text(encoding="utf-8")).get("ResultSHA256") != result_sha256


def identity_of(model: Path) -> str:
    """The SHA-256 of a model file; of an exported folder, of its files' together."""
    if model.is_file():
        return sha256_of(model)
    return _hash("".join(sha256_of(path) for path in sorted(model.rglob("*")) if path.is_file()))


def source_hash(source: Path) -> str | None:
    """The SHA-256 of a scan's file, or files; None where there is none."""
    return sha256_of_scan(source) if source.exists() else None


def stamps_of(source: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of each of a scan's files; nothing where there are none."""
    try:
        found = [(file.name, file.stat()) for file in files_of(source)]
    except OSError:  # reading it says in a sentence what is wrong
        return []
    return [(name, status.st_size, status.st_mtime_ns) for name, status in found]


def _source(job: Job) -> str:
    if job.bids_root is None:
        return job.source.name
    return f"bids:raw:{place_below(Path(os.path.abspath(job.source)), job.bids_root).as_posix()}"  # noqa: PTH100


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _shown(name: str, value: Any) -> str:
    """A setting's value in words, of a model's hash the beginning."""
    return "not given" if value is None else str(value)[:12] if name == "model" else str(value)
