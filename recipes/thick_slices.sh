#!/usr/bin/env bash
# thick_slices.sh SCANS WORK: the network for thick slices, which goes on from the fast one. The variants of the scans in
# WORK are robust_data.sh's; the shards of every factor and slice profile, and the training, are made here.
set -euo pipefail
scans=$1 work=$2
bin=.venv/bin
folders=()

[ -d "$work/variants" ] || recipes/robust_data.sh "$scans" "$work"
variants=$(realpath "$work/variants")
# Scans that robust_data.sh does not turn are no truth through their slices.
for name in original brain ap-is lr-is; do ls "$variants"/*_$name.nii.gz; done |
  grep -v -E '09_T2w|18_T1w|20_T1w|26_T2w|27_FLAIR' > "$work/thick.txt"
ls "$variants"/sub-{06_T1w,10_T1w,14_T2w}.nii.gz >> "$work/thick.txt"

for factor in 3 2 4 5; do
  for profile in box kspace; do
    folder=$work/thick/f$factor-$profile
    $bin/mdcsrn-shards --input="$work/thick.txt" --output="$folder" --patch=32 --patches_per_subject=6 \
      --epochs_of_patches=8 --axes=IS --factor=$factor --slice_profile=$profile --split="$work/split.tsv" \
      --interpolation=sinc --normalisation=tissue_level --seed=1$factor
    folders+=("$folder")
  done
done

exec $bin/mdcsrn-train --data="$(IFS=,; echo "${folders[*]}")" --workdir="$work/run_thick" --preset=fast/b4u4k16 \
  --recipe=robust --phase=l1 --set=patch_size=32 --set=exchange=never --batch_size=4 --learning_rate=7e-4 --steps=8000 \
  --init_from=mdcsrn_tf/weights/fast-b4u4k16.keras --precision=mixed_bfloat16 --seed=31 --set=run.validate_every=1000
