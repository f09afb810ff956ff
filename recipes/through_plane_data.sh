#!/usr/bin/env bash
# through_plane_data.sh WORK: shards of thick slices, 2 to 5 times as thick, in WORK/through/FACTOR-PROFILE.
# After robust_data.sh, whose variants and split of people they are made of.
set -euo pipefail
work=$1

# The turned variants teach sagittal and coronal slices. Scans of thick slices, or with an interpolated axis, are no truth.
find "$(realpath "$work/variants")" -name '*.nii.gz' | sort |
  grep -v -E '09_T2w|18_T1w|20_T1w|26_T2w|27_FLAIR' > "$work/through.txt"

for factor in 2 3 4 5; do
  # kspace: slabs that were phase-encoded through the slices as well; box: slices excited one by one, without a gap.
  for profile in kspace box; do
    .venv/bin/mdcsrn-shards --input="$work/through.txt" --output="$work/through/$factor-$profile" --patch=32 \
      --patches_per_subject=6 --epochs_of_patches=3 --axes=IS --factor="$factor" --slice_profile="$profile" \
      --split="$work/split.tsv" --interpolation=sinc --normalisation=tissue_level --seed="$factor"
  done
done
