#!/usr/bin/env bash
# mdcsrn-b4u4k12.sh WORK MODEL: a stretch of training of the default network on WORK/shards32, from MODEL.
set -euo pipefail
work=$1 model=$2
# A run that was stopped goes on by the same command. On one core of a busy machine one thread is the fastest.
TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 nice -n 19 \
  .venv/bin/mdcsrn-train --data="$work/shards32" --workdir="$work/run" --preset=journal/b4u4k12 --recipe=robust \
    --phase=l1 --set=patch_size=32 --steps=3400 --init_from="$model" --precision=mixed_bfloat16 --seed=11 \
    --set=run.checkpoint_minutes=3 --set=run.validate_every=400
