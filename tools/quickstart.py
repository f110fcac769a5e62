"""From nothing to a distilled, exported network: python tools/quickstart.py."""

from __future__ import annotations

import argparse
import logging
import sys

from rich.console import Console

from mmrazor.apis.command_line import run
from mmrazor.apis.quickstart import quickstart


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Train a teacher, a student alone and a distilled student on "
        "Fashion-MNIST, export the student and compare them. A repeated call goes on "
        "where the last one stopped."
    )
    parser.add_argument("--work-dir", default="work_dirs/quickstart")
    parser.add_argument("--data-root", default="data", help="folder of all data sets")
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers")
    parser.add_argument(
        "--short", action="store_true", help="two epochs on a few images, as a test"
    )
    parser.add_argument("--restart", action="store_true", help="begin anew")
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    args = parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("mmrazor.apis.prepare_data").setLevel(logging.INFO)
    quickstart(
        args.work_dir,
        args.data_root,
        seed=args.seed,
        short=args.short,
        restart=args.restart,
        console=Console(file=sys.stdout, highlight=False),
    )


if __name__ == "__main__":
    run(main)
