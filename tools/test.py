"""Test a checkpoint, or an ONNX file, on the test set of a config."""

import argparse
import json
import os
import sys
from pathlib import Path

from mmengine.dist import is_main_process

from mmrazor.apis.arguments import add_cfg_options, add_trust
from mmrazor.apis.run_config import (
    LAUNCHERS,
    RunConfigError,
    existing_checkpoint,
    run_config,
)
from mmrazor.apis.test import test
from mmrazor.core.files import write_atomically


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="a file, or e.g. 'mmrazor::<folder>/<name>.py'")
    parser.add_argument(
        "checkpoint",
        help="weights of the algorithm or bare model, or an ONNX file of it",
    )
    parser.add_argument("--work-dir", help="folder for logs")
    parser.add_argument("--out", type=Path, help="JSON file for the metrics")
    add_trust(parser)
    add_cfg_options(parser)
    parser.add_argument(
        "--launcher", choices=LAUNCHERS, default="none", help="who starts the processes"
    )
    # torch.distributed.launch passes it; torchrun sets the variable.
    parser.add_argument(
        "--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS
    )
    args = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return args


def main() -> None:
    """Run the command line."""
    args = parse_args()
    try:
        existing_checkpoint(args.checkpoint)
        cfg = run_config(
            args.config,
            work_dir=args.work_dir,
            cfg_options=args.cfg_options,
            launcher=args.launcher,
        )
    except (FileNotFoundError, ModuleNotFoundError, ValueError) as err:
        sys.exit(f"error: {err}")
    try:
        metrics = test(cfg, args.checkpoint)
    except RunConfigError as err:
        sys.exit(f"error: {err}")
    if args.out and is_main_process():
        text = json.dumps(metrics, indent=2, default=float)
        write_atomically(args.out, lambda path: path.write_text(text + "\n"))


if __name__ == "__main__":
    main()
