#!/usr/bin/env bash
# mdcsrn-gan-b4u4k12.sh WORK MODEL: the GAN phase of the default network, from MODEL (the default).
set -euo pipefail
work=$1 model=$2
# Patches of 24^3: a critic's step costs what its patch has voxels, and texture is finer than that.
if [ ! -d "$work/shards24" ]; then
  .venv/bin/mdcsrn-shards --input="$work/variants" --output="$work/shards24" --patch=24 --patches_per_subject=40 \
    --epochs_of_patches=4 --axes=LR,AP --factor=2,2 --split="$work/split.tsv" --interpolation=sinc \
    --normalisation=tissue_level
fi
TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 nice -n 19 \
  .venv/bin/mdcsrn-train --data="$work/shards24" --workdir="$work/run-gan" --preset=journal/b4u4k12 --recipe=robust \
    --phase=gan --set=patch_size=24 --set=gan.steps=400 --set=gan.adversarial_weight=0.005 --learning_rate=1e-4 \
    --init_from="$model" --precision=mixed_bfloat16 --seed=21 --set=run.checkpoint_minutes=4 \
    --set=run.validate_every=50
