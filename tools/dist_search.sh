#!/usr/bin/env bash
# Run tools/search.py in several processes: GPUs, or gloo processes where there is none.
#   bash tools/dist_search.sh CONFIG CHECKPOINT NUM_PROCS [options of search.py]
# Many machines: NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 on each.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT NUM_PROCS [options of search.py]" >&2
    exit 2
fi
CONFIG=$1
CHECKPOINT=$2
NUM_PROCS=$3
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
    "$TOOLS/search.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
