"""Prune the model of a config; write weights, a config to train it on, and ONNX."""

import argparse

from rich.console import Console

from mmrazor.apis.arguments import (
    add_cfg_options,
    add_image_size,
    add_outputs,
    add_ranking,
    add_source,
    add_trust,
)
from mmrazor.apis.command_line import run
from mmrazor.apis.prune_config import prune_config
from mmrazor.apis.prune_options import parse_budget, parse_importance, parse_min_keep
from mmrazor.apis.prune_report import report


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_source(parser)
    parser.add_argument(
        "--budget",
        nargs="+",
        required=True,
        metavar="NAME=NUMBER",
        help="macs, params, latency_ms: a fraction up to 1 of the model's, a number, "
        "or two with a comma for a range; such as macs=0.5 params=2e6",
    )
    add_ranking(parser)
    parser.add_argument(
        "--ranking",
        choices=("global", "local"),
        default="global",
        help="one threshold for all groups, or the same share of each; default: global",
    )
    parser.add_argument(
        "--divisor",
        type=int,
        default=1,
        help="kept channels are a multiple of this; default: 1",
    )
    parser.add_argument(
        "--min-keep",
        type=parse_min_keep,
        default=1,
        help="channels that each group keeps, or a fraction such as 0.1; default: 1",
    )
    parser.add_argument(
        "--ignore", nargs="+", default=(), metavar="MODULE", help="keeps its size"
    )
    add_image_size(parser)
    parser.add_argument(
        "--latency-table",
        metavar="FILE",
        help="times of the layers, for latency_ms; measured and written if there is no "
        "such file",
    )
    add_outputs(parser, "pruned")
    add_trust(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    options = vars(parse_args())
    config, checkpoint = options.pop("config"), options.pop("checkpoint")
    onnx = not options.pop("no_onnx")
    console = Console()
    options["budget"] = parse_budget(options["budget"])
    options["importance"] = parse_importance(options["importance"])
    info = prune_config(config, checkpoint, onnx=onnx, console=console, **options)
    console.print(report(info), crop=False)


if __name__ == "__main__":
    run(main)
