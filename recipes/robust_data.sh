#!/usr/bin/env bash
# robust_data.sh SCANS WORK: what the bundled networks learn from, as shards of 32^3 in WORK/shards32.
set -euo pipefail
scans=$1 work=$2
variants=$work/variants
bin=.venv/bin
mkdir -p "$variants"

training=(01_T1w 02_T1w 03_T1w 04_T1w 05_T1w 09_FLAIR 09_T1w 09_T2w 12_T1w 12_T2w 16_ce-gd_T1w 17_T1w 18_T1w 20_T1w
          21_T1w 22_T1w 23_T1w 24_T1w 25_T2w 26_T2w 27_FLAIR)
# Whole T1-weighted heads, from which a brain can be cut.
heads=(01_T1w 02_T1w 03_T1w 04_T1w 05_T1w 09_T1w 12_T1w 18_T1w 20_T1w)
# Thick slices, and axes that a scanner had interpolated, are no truth along the third axis: these scans are not turned.
not_turned=(09_T2w 18_T1w 20_T1w 26_T2w 27_FLAIR)
validation=(06_T1w 10_T1w 14_T2w)

list() { for scan in "$@"; do realpath "$scans/sub-$scan.nii.gz"; done; }

list "${training[@]}" > "$work/training.txt"
list "${heads[@]}" > "$work/heads.txt"
grep -v -E "$(IFS='|'; echo "${not_turned[*]}")" "$work/training.txt" > "$work/turned.txt"

$bin/mdcsrn-variants --input="$work/training.txt" --output="$variants" --kinds=original
$bin/mdcsrn-variants --input="$work/heads.txt" --output="$variants" --kinds=brain
$bin/mdcsrn-variants --input="$work/turned.txt" --output="$variants" --kinds=ap-is,lr-is
for scan in "${validation[@]}"; do cp "$scans/sub-$scan.nii.gz" "$variants"; done

{
  printf 'subject\tsplit\n'
  printf 'sub-%s\ttrain\n' 01 02 03 04 05 09 12 16 17 18 20 21 22 23 24 25 26 27
  printf 'sub-%s\tvalidation\n' 06 10 14
} > "$work/split.tsv"
$bin/mdcsrn-shards --input="$variants" --output="$work/shards32" --patch=32 --patches_per_subject=18 \
  --epochs_of_patches=10 --axes=LR,AP --factor=2,2 --split="$work/split.tsv" --interpolation=sinc \
  --normalisation=tissue_level
