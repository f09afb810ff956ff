#!/usr/bin/env bash
# three_axes.sh SCANS WORK: the network for scans that are coarse along all three axes, which goes on from the fast one in
# two stretches, each from patches of its own.
set -euo pipefail
scans=$1 work=$2
bin=.venv/bin

source recipes/full_scans.sh "$scans" "$work"

stretch() { # NUMBER RATE SEED START.keras
  $bin/mdcsrn-shards --input="$work/full.txt" --output="$work/three_axes$1" --patch=32 --patches_per_subject=6 \
    --epochs_of_patches=48 --axes=LR,AP,IS --factor=2,2,2 --split="$work/split.tsv" --interpolation=sinc \
    --normalisation=tissue_level --seed="$3"

  $bin/mdcsrn-train --data="$work/three_axes$1" --workdir="$work/run_three_axes$1" --preset=fast/b4u4k16 --recipe=robust \
    --phase=l1 --set=patch_size=32 --set=exchange=never --batch_size=4 --learning_rate="$2" --steps=7500 \
    --init_from="$4" --precision=mixed_bfloat16 --seed="$3" --set=run.validate_every=750
}

stretch 1 7e-4 51 mdcsrn_tf/weights/fast-b4u4k16.keras
stretch 2 5e-4 52 "$work/run_three_axes1/best_l1.keras"
