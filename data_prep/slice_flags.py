"""The flags of thick slices."""

from __future__ import annotations

from absl import flags

from mdcsrn_tf.scans.slice_profile import SHAPES


def define_slice_flags(values: flags.FlagValues) -> None:
    """The flags of thick slices, the same for every command that degrades."""
    flags.DEFINE_enum("slice_profile", "kspace", ("kspace", *SHAPES), "kspace: the centre of k-space is kept, as in "
                      "phase-encoded directions; box, gaussian: thick slices of that profile along the one axis.",
                      flag_values=values)
    flags.DEFINE_string("slice_thickness", None, "Full width at half maximum of the profile: 4mm, 3vox (thin voxels) "
                        "or 80% (of the slice spacing); default: the spacing less --slice_gap.", flag_values=values)
    flags.DEFINE_string("slice_gap", None, "What thick slices leave between them, in the same units; default: "
                        "nothing.", flag_values=values)
