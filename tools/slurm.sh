#!/usr/bin/env bash
# What the slurm_*.sh share: run a tool under Slurm, one task per GPU.
#   GPUS=16 GPUS_PER_NODE=8 bash tools/slurm.sh TOOL PARTITION JOB_NAME [arguments of the tool]
# GPUS_PER_NODE=0 asks for no GPU: then GPUS is the number of gloo processes.
# SRUN_ARGS holds further options of srun.
set -euo pipefail

if [ $# -lt 4 ]; then
    echo "usage: $0 TOOL PARTITION JOB_NAME [arguments of the tool]" >&2
    exit 2
fi
TOOL=$1
PARTITION=$2
JOB_NAME=$3
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
CPUS_PER_TASK=${CPUS_PER_TASK:-5}
read -r -a SRUN_ARGS <<< "${SRUN_ARGS:-}"
TOOLS=$(cd "$(dirname "$0")" && pwd)

GPU_ARGS=()
if [ "$GPUS_PER_NODE" -gt 0 ]; then
    GPU_ARGS=(--gres="gpu:$GPUS_PER_NODE" --ntasks-per-node="$GPUS_PER_NODE")
fi

PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}" \
exec srun -p "$PARTITION" \
    --job-name="$JOB_NAME" \
    --ntasks="$GPUS" \
    --cpus-per-task="$CPUS_PER_TASK" \
    --kill-on-bad-exit=1 \
    ${GPU_ARGS[@]+"${GPU_ARGS[@]}"} \
    ${SRUN_ARGS[@]+"${SRUN_ARGS[@]}"} \
    "${PYTHON:-python}" -u "$TOOLS/$TOOL" --launcher slurm "${@:4}"
