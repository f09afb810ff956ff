"""A scan that was read and looked at, before any network is loaded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.inference import provenance
from mdcsrn_tf.inference.fitting import fitting
from mdcsrn_tf.inference.outputs import Job
from mdcsrn_tf.inference.settings import ScanSettings
from mdcsrn_tf.inference.sight import Sight, look
from mdcsrn_tf.inference.unfiltered import unfiltered
from mdcsrn_tf.models.files import ModelCard
from mdcsrn_tf.scans.volumes import Volume, read_volumes
from mdcsrn_tf.scans.zero_frame import zero_frame


@dataclass(frozen=True)
class Opened:
    """A scan as it was read: its volumes (several of a 4-D file), and what the first of them shows."""

    volumes: list[Volume]
    sight: Sight
    sha256: str | None  # of what was read

    def unfiltered(self, wanted: ScanSettings, card: ModelCard) -> tuple[Opened, str]:
        """The same without the filter that it shows, and a word about that."""
        sight, volumes, told = unfiltered(self.sight, self.volumes, wanted, card)
        return replace(self, sight=sight, volumes=volumes), told

    def fitting(self, wanted: ScanSettings, card: ModelCard) -> Opened:
        """The same on the grid on which the network on the card is to get it."""
        return replace(self, sight=fitting(self.sight, wanted, card))

    def restored(self, axes: Collection[int], data: Sequence[np.ndarray]) -> Opened:
        """The same once those axes have been super-resolved: every volume's voxels, on the grid as it was read."""
        volumes = [replace(volume, data=voxels) for volume, voxels in zip(self.volumes, data, strict=True)]
        return replace(self, volumes=volumes, sight=self.sight.restored(axes, volumes[0]))

    @property
    def nbytes(self) -> int:
        """What its voxels take."""
        return sum(volume.data.nbytes for volume in self.volumes)


def open_scan(job: Job, wanted: ScanSettings) -> Opened:
    """Read a scan and look at it: what is wrong with it is found before any network is loaded."""
    before = provenance.stamps_of(job.source)
    volumes = read_volumes(job.source, which=wanted.volume, nan=wanted.nan)
    sha256 = provenance.source_hash(job.source)
    if provenance.stamps_of(job.source) != before:  # else the sidecar would name a file that the result is not of
        raise UserError(f"{job.source} was written to while it was read; run the same command again once it is whole.")
    remarks = dict.fromkeys(remark for volume in volumes for remark in volume.remarks)
    first = replace(volumes[0], remarks=tuple(remarks))  # it decides for all, and is asked what is to be told of them
    return Opened(volumes, look(first, zero_frame([volume.data for volume in volumes])), sha256)
