#!/usr/bin/env bash
# mdcsrn-gan-b4u4k12.sh WORK MODEL: the GAN phase of the default network, from MODEL (the default), as it was run:
# one run whose lambda and rate were changed while its power in the removed k-space was watched on validation scans.
set -euo pipefail
work=$1 model=$2
# Patches of 24^3: a critic's step costs what its patch has voxels, and texture is finer than that.
if [ ! -d "$work/shards24" ]; then
  .venv/bin/mdcsrn-shards --input="$work/variants" --output="$work/shards24" --patch=24 --patches_per_subject=40 \
    --epochs_of_patches=4 --axes=LR,AP --factor=2,2 --split="$work/split.tsv" --interpolation=sinc \
    --normalisation=tissue_level
fi

# stretch LAMBDA RATE STEPS: on, until the generator has made STEPS steps. The critic is a quarter as wide as the papers'.
stretch() {
  TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 nice -n 19 \
    .venv/bin/mdcsrn-train --data="$work/shards24" --workdir="$work/run-gan" --preset=journal/b4u4k12 --recipe=robust \
      --phase=gan --set=patch_size=24 --batch_size=4 --set=critic.filters=16 --set=critic.dense_units=256 \
      --set=gan.critic_warmup_steps=450 --set=gan.adversarial_weight="$1" --learning_rate="$2" --set=gan.steps="$3" \
      --init_from="$model" --precision=mixed_bfloat16 --seed=21 --set=run.checkpoint_minutes=4 \
      --set=run.validate_every=300 --allow_change
  cp "$work/run-gan/last_gan.keras" "$work/gan-$3.keras"
}
stretch 0.0045 1e-4 160
stretch 0.006 7e-5 300
stretch 0.009 7e-5 400
stretch 0.007 3e-5 450
# The mean of two models, not the one of the least Earth Mover distance: critics of different stretches do not compare.
.venv/bin/python recipes/mean_of_models.py "$work/mdcsrn-gan-b4u4k12.keras" 1="$work/gan-300.keras" 2="$work/gan-450.keras"
