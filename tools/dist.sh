#!/usr/bin/env bash
# What the dist_*.sh share: run a tool in several processes by torch's launcher.
#   bash tools/dist.sh TOOL NUM_PROCS [arguments of the tool]
# Many machines: NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 on each.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: $0 TOOL NUM_PROCS [arguments of the tool]" >&2
    exit 2
fi
TOOL=$1
NUM_PROCS=$2
NNODES=${NNODES:-1}
NODE_RANK=${NODE_RANK:-0}
PORT=${PORT:-29500}
MASTER_ADDR=${MASTER_ADDR:-127.0.0.1}
TOOLS=$(cd "$(dirname "$0")" && pwd)

PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}" \
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="$NNODES" \
    --node_rank="$NODE_RANK" \
    --nproc_per_node="$NUM_PROCS" \
    --master_addr="$MASTER_ADDR" \
    --master_port="$PORT" \
    "$TOOLS/$TOOL" --launcher pytorch "${@:3}"
