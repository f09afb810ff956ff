#!/usr/bin/env bash
# run_averaged.sh PATCHES.npz RESULTS MINUTES [FLAGS]: the U-net, its GAN and DCSRN2D for longer, their weights averaged,
# and beside them the networks that came to few steps in run_all.sh: two processes on one GPU. From the project's root.
set -euo pipefail
patches=$1 results=$2 minutes=$3
shift 3
here=$(dirname "$0")
export XLA_PYTHON_CLIENT_PREALLOCATE=false PYTHONUNBUFFERED=1
mkdir -p "$results"
running=()
train() { # FOLDER PLAN FLAGS...
  "${PYTHON:-python3}" "$here/train_slices.py" --patches="$patches" --output="$results/$1" --minutes="$minutes" \
    --plan="$2" "${@:3}" >>"$results/log.txt" 2>&1 &
  running+=($!)
}
train 0 "unet7-alone:24000x32@2e-3,unet7:1000x32@5e-5,unet7:1000x32@2e-5,dcsrn2d-l1:14000x32" \
  --ema=0.999 --gan_ema=0.95 --first=5 --validations=100 --least_seconds=60 "$@"
train 1 "dcgan4-alone:2000x32,dcgan4:1000x32@2e-4,pix2pix10-alone:2000x32@2e-3,pix2pix10:1000x32@2e-4,\
pix2pix11-alone:1500x16@2e-3,pix2pix11:800x16@2e-4,dcsrn2d-p:1500x16,dcgan2-alone:1500x32,dcgan2:1000x32@2e-4" \
  --ema=0.995 --gan_ema=0.99 --validations=40 --least_seconds=40 "$@"
failed=0
for process in "${running[@]}"; do wait "$process" || failed=1; done
grep -v Warning "$results/log.txt" | tail -n 40
exit $failed
