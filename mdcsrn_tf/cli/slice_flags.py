"""The flags of thick slices."""

from __future__ import annotations

from absl import flags

from mdcsrn_tf.errors import UserError
from mdcsrn_tf.scans.slice_geometry import thickness_like
from mdcsrn_tf.scans.slice_profile import SHAPES, SliceSettings, slice_settings
from mdcsrn_tf.scans.volumes import read_volume


def define_slice_flags(values: flags.FlagValues) -> None:
    """The flags of thick slices, the same for every command that degrades."""
    flags.DEFINE_enum(
        "slice_profile",
        "kspace",
        ("kspace", *SHAPES),
        "kspace: the centre of k-space is kept, as in "
        "phase-encoded directions; box, gaussian: thick slices of that profile along the one axis.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "slice_thickness",
        None,
        "Full width at half maximum of the profile: 4mm, 3vox (thin voxels) "
        "or 80% (of the slice spacing); default: the spacing less --slice_gap.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "slice_gap",
        None,
        "What thick slices leave between them, in the same units; default: nothing.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "slice_like",
        None,
        "A scan (DICOM series, or NIfTI with its JSON sidecar) whose slice "
        "thickness, as a part of its slice spacing, is taken.",
        flag_values=values,
    )


def read_slice_settings(values: flags.FlagValues) -> SliceSettings | None:
    """What the flags of thick slices ask for; None: k-space truncation."""
    thickness = values.slice_thickness
    if values.slice_like is not None:
        if thickness or values.slice_gap:
            raise UserError("--slice_like reads the thickness from a scan; drop --slice_thickness and --slice_gap.")
        if values.slice_profile == "kspace":
            raise UserError("--slice_like needs a --slice_profile, box or gaussian.")
        like = read_volume(values.slice_like)
        thickness = thickness_like(like.path, like.affine, like.header, values.axes)
    return slice_settings(values.slice_profile, thickness, values.slice_gap, values.axes)
