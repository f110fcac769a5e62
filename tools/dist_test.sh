#!/usr/bin/env bash
# Run tools/test.py in several processes: GPUs, or gloo processes where there is none.
#   bash tools/dist_test.sh CONFIG CHECKPOINT NUM_PROCS [options of test.py]
# Many machines: NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 on each.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: $0 CONFIG CHECKPOINT NUM_PROCS [options of test.py]" >&2
    exit 2
fi
exec bash "$(dirname "$0")/dist.sh" test.py "$3" "$1" "$2" "${@:4}"
