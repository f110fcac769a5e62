"""Test a checkpoint, or an ONNX file, on the test set of a config."""

import argparse
import json
import os
from pathlib import Path

from mmengine.dist import is_main_process

from mmrazor.apis.arguments import add_cfg_options
from mmrazor.apis.command_line import run
from mmrazor.apis.run_config import LAUNCHERS
from mmrazor.apis.test import test
from mmrazor.core.files import check_writable, write_atomically


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
    add_cfg_options(parser)
    parser.add_argument(
        "--launcher", choices=LAUNCHERS, default="none", help="who starts the processes"
    )
    # torch.distributed.launch passes it; torchrun sets the variable.
    parser.add_argument(
        "--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS
    )
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    options = vars(parse_args())
    os.environ.setdefault("LOCAL_RANK", str(options.pop("local_rank")))
    out = options.pop("out")
    if out is not None:
        check_writable(out)
    metrics = test(options.pop("config"), options.pop("checkpoint"), **options)
    if out is not None and is_main_process():
        text = json.dumps(metrics, indent=2, default=float)
        write_atomically(out, lambda path: path.write_text(text + "\n"))


if __name__ == "__main__":
    run(main)
