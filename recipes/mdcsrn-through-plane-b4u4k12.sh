#!/usr/bin/env bash
# mdcsrn-through-plane-b4u4k12.sh WORK MODEL: one network for slices 2 to 5 times as thick, from MODEL (the default).
set -euo pipefail
work=$1 model=$2
folders=$(ls -d "$work"/through/* | paste -sd,)
TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 nice -n 19 \
  .venv/bin/mdcsrn-train --data="$folders" --workdir="$work/run-through" --preset=journal/b4u4k12 --recipe=robust \
    --phase=l1 --set=patch_size=32 --set=exchange=never --steps=1100 --init_from="$model" \
    --precision=mixed_bfloat16 --seed=31 --set=run.checkpoint_minutes=3 --set=run.validate_every=300
