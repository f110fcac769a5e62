"""Score a config's model while one group of channels at a time is pruned."""

import argparse
import sys

from rich.console import Console

from mmrazor.apis.arguments import (
    add_cfg_options,
    add_image_size,
    add_ranking,
    add_source,
    add_trust,
)
from mmrazor.apis.command_line import run
from mmrazor.apis.prune_options import parse_importance
from mmrazor.apis.sensitivity_run import SHARES, sensitivity


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_source(parser)
    parser.add_argument(
        "--shares",
        type=float,
        nargs="+",
        default=SHARES,
        metavar="SHARE",
        help="of each group that are pruned; default: 0.1 0.3 0.5 0.7 0.9",
    )
    add_ranking(parser)
    parser.add_argument(
        "--group",
        dest="groups",
        nargs="+",
        default=(),
        metavar="NAME",
        help="groups to prune; default: all that tools/show_channels.py lists",
    )
    parser.add_argument(
        "--max-batches", type=int, help="of the validation set; default: all"
    )
    parser.add_argument(
        "--metric", help="to show; default: the config's save_best, or the first"
    )
    parser.add_argument(
        "--lower-is-better", action="store_true", help="if the metric is an error"
    )
    parser.add_argument(
        "--out", help="folder for the files; default: sensitivity, in the work dir"
    )
    parser.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on from what the folder holds (default), or begin anew",
    )
    parser.add_argument(
        "--keep-gib",
        type=float,
        help="memory for decoded validation batches, in GiB; 0 decodes them for every "
        "evaluation; default: a quarter of what is free",
    )
    add_image_size(parser)
    add_trust(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    options = vars(parse_args())
    console = Console(file=sys.stdout)
    options["importance"] = parse_importance(options["importance"])
    report = sensitivity(**options, console=console)
    console.print(report.table(), crop=False)


if __name__ == "__main__":
    run(main)
