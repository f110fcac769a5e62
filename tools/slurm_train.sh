#!/usr/bin/env bash
# Run tools/train.py under Slurm, one task per GPU.
#   GPUS=16 GPUS_PER_NODE=8 bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of train.py]
# GPUS_PER_NODE=0 asks for no GPU: then GPUS is the number of gloo processes.
# SRUN_ARGS holds further options of srun.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG [options of train.py]" >&2
    exit 2
fi
exec bash "$(dirname "$0")/slurm.sh" train.py "$@"
