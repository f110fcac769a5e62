"""Train, or distil, the model of a config."""

import argparse
import os

from mmrazor.apis.arguments import add_cfg_options, add_trust
from mmrazor.apis.command_line import run
from mmrazor.apis.run_config import LAUNCHERS
from mmrazor.apis.train import train


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="a file, or e.g. 'mmrazor::<folder>/<name>.py'")
    parser.add_argument("--work-dir", help="folder for logs and checkpoints")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        help="go on from this checkpoint; without a path, from the newest in the "
        "work dir",
    )
    parser.add_argument(
        "--amp",
        action="store_true",
        help="train in mixed precision (bfloat16 on a CPU)",
    )
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate to the batch size of all processes",
    )
    parser.add_argument("--seed", type=int, help="seed of all random numbers")
    add_trust(parser)
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
    train(options.pop("config"), **options)


if __name__ == "__main__":
    run(main)
