#!/usr/bin/env bash
# run_all.sh PATCHES.npz RESULTS MINUTES [FLAGS]: all networks of the field study, three processes side by side on one GPU.
# From the project's root; the first process has what the study's thresholds are about.
set -euo pipefail
patches=$1 results=$2 minutes=$3
shift 3
here=$(dirname "$0")
export XLA_PYTHON_CLIENT_PREALLOCATE=false PYTHONUNBUFFERED=1
plans=(
  "unet7:8000x32@2e-3,dcsrn2d-l1:6000x32,fcn2:6000x32"
  "unet5:4000x32@2e-3,unet6:4000x32@2e-3,unet8:4000x32@2e-3,pix2pix9:4000x32,pix2pix10:4000x32"
  "dcsrn2d-l2:6000x32,dcgan1:4000x32,fcn1:2000x32,dcgan2:2000x16,dcgan3:2000x16,dcgan4:2000x16,dcsrn2d-p:2000x16,pix2pix11:2000x16"
)
running=()
for index in "${!plans[@]}"; do
  mkdir -p "$results/$index"
  "${PYTHON:-python3}" "$here/train_slices.py" --patches="$patches" --output="$results/$index" --minutes="$minutes" \
    --plan="${plans[$index]}" "$@" >"$results/$index/log.txt" 2>&1 &
  running+=($!)
done
failed=0
for process in "${running[@]}"; do wait "$process" || failed=1; done
tail -n 3 "$results"/*/log.txt
exit $failed
