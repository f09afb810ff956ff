#!/usr/bin/env bash
# thick_slices.sh SCANS WORK: the network for thick slices, which goes on from the fast one. The scans are
# full_scans.sh's; the shards of every factor and slice profile, and the training, are made here: five
# stretches, each from patches of its own.
set -euo pipefail
scans=$1 work=$2
bin=.venv/bin
folders=()

source recipes/full_scans.sh "$scans" "$work"

shards() { # STRETCH: eight folders of shards, their patches drawn anew; `folders` names them
  folders=()
  for factor in 3 2 4 5; do
    for profile in box kspace; do
      local folder=$work/thick$1/f$factor-$profile
      $bin/mdcsrn-shards --input="$work/full.txt" --output="$folder" --patch=32 --patches_per_subject=6 \
        --epochs_of_patches=8 --axes=IS --factor="$factor" --slice_profile="$profile" --split="$work/split.tsv" \
        --interpolation=sinc --normalisation=tissue_level --seed="$1$factor"
      folders+=("$folder")
    done
  done
}

train() { # STRETCH RATE SEED START.keras [FLAGS]
  $bin/mdcsrn-train --data="$(IFS=,; echo "${folders[*]}")" --workdir="$work/run_thick$1" --preset=fast/b4u4k16 \
    --recipe=robust --phase=l1 --set=patch_size=32 --set=exchange=never --batch_size=4 --learning_rate="$2" --steps=8000 \
    --init_from="$4" --precision=mixed_bfloat16 --seed="$3" --set=run.validate_every=1000 "${@:5}"
}

shards 1
train 1 7e-4 31 mdcsrn_tf/weights/fast-b4u4k16.keras
shards 2
train 2 5e-4 32 "$work/run_thick1/best_l1.keras"
shards 3
train 3 5e-4 33 "$work/run_thick2/best_l1.keras"
shards 4
train 4 4e-4 34 "$work/run_thick3/best_l1.keras"
shards 5
train 5 3e-4 35 "$work/run_thick4/best_l1.keras"
