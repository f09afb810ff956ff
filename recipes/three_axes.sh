#!/usr/bin/env bash
# three_axes.sh SCANS WORK: the network for scans that are coarse along all three axes, which goes on from the fast one.
set -euo pipefail
scans=$1 work=$2
bin=.venv/bin

source recipes/full_scans.sh "$scans" "$work"

$bin/mdcsrn-shards --input="$work/full.txt" --output="$work/three_axes" --patch=32 --patches_per_subject=6 \
  --epochs_of_patches=48 --axes=LR,AP,IS --factor=2,2,2 --split="$work/split.tsv" --interpolation=sinc \
  --normalisation=tissue_level --seed=51

$bin/mdcsrn-train --data="$work/three_axes" --workdir="$work/run_three_axes" --preset=fast/b4u4k16 --recipe=robust \
  --phase=l1 --set=patch_size=32 --set=exchange=never --batch_size=4 --learning_rate=7e-4 --steps=7500 \
  --init_from=mdcsrn_tf/weights/fast-b4u4k16.keras --precision=mixed_bfloat16 --seed=51 --set=run.validate_every=750
