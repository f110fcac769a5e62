#!/usr/bin/env bash
# Run tools/train.py in several processes: GPUs, or gloo processes where there is none.
#   bash tools/dist_train.sh CONFIG NUM_PROCS [options of train.py]
# Many machines: NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 on each.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG NUM_PROCS [options of train.py]" >&2
    exit 2
fi
exec bash "$(dirname "$0")/dist.sh" train.py "$2" "$1" "${@:3}"
