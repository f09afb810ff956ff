#!/usr/bin/env bash
# run_all.sh PATCHES.npz RESULTS MINUTES [FLAGS]: all networks of the field study, five processes side by side on one GPU.
# From the project's root; the first process has what the study's thresholds are about.
set -euo pipefail
patches=$1 results=$2 minutes=$3
shift 3
here=$(dirname "$0")
export XLA_PYTHON_CLIENT_PREALLOCATE=false PYTHONUNBUFFERED=1
plans=(
  "unet7-alone:9000x32@2e-3,unet7:3000x32@2e-4,pix2pix9:1500x32@2e-4"
  "dcsrn2d-l1:9000x32,fcn2:4000x32,dcsrn2d-l2:4000x32,fcn1:2000x32,dcgan4-alone:2000x32,dcgan4:1000x32@2e-4"
  "unet5-alone:4000x32@2e-3,unet5:2000x32@2e-4,unet8:2000x32@2e-4,unet6-alone:4000x32@2e-3,unet6:2000x32@2e-4"
  "dcgan2-alone:2000x32,dcgan2:1000x32@2e-4,dcgan1:2000x32,pix2pix10-alone:3000x32@2e-3,pix2pix10:2000x32@2e-4"
  "dcgan3-alone:2000x32,dcgan3:1000x32@2e-4,dcsrn2d-p:2000x16,pix2pix11-alone:2000x16@2e-3,pix2pix11:1000x16@2e-4"
)
mkdir -p "$results"
running=()
for index in "${!plans[@]}"; do
  "${PYTHON:-python3}" "$here/train_slices.py" --patches="$patches" --output="$results/$index" --minutes="$minutes" \
    --plan="${plans[$index]}" "$@" >>"$results/log.txt" 2>&1 &
  running+=($!)
done
failed=0
for process in "${running[@]}"; do wait "$process" || failed=1; done
grep -v Warning "$results/log.txt" | tail -n 40
exit $failed
