"""Prune a checkpoint to N:M sparsity, by magnitude or by calibration data."""

import argparse

from rich.console import Console

from mmrazor.apis.arguments import add_cfg_options, add_trust
from mmrazor.apis.command_line import run
from mmrazor.apis.sparsify import sparsify, summary


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="of an algorithm or of a plain host model")
    parser.add_argument("checkpoint", help="its weights")
    parser.add_argument(
        "--method",
        choices=("magnitude", "wanda", "sparsegpt"),
        default="wanda",
        help="how the weights to keep are chosen; default: wanda",
    )
    parser.add_argument("--n", type=int, help="weights kept of every m; default: 2")
    parser.add_argument("--m", type=int, help="neighbouring weights; default: 4")
    parser.add_argument(
        "--skip",
        nargs="+",
        metavar="NAME",
        help="modules or weights that stay dense; * stands for any text",
    )
    parser.add_argument(
        "--layout",
        choices=("flat", "channels_last"),
        help="order of a convolution's inputs; default: flat",
    )
    parser.add_argument(
        "--damping", type=float, help="of sparsegpt's Hessian; default: 0.01"
    )
    parser.add_argument(
        "--calib-batches",
        type=int,
        default=8,
        help="batches of training images; 0 with magnitude measures no errors; "
        "default: 8",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of images")
    parser.add_argument(
        "--out-dir", help="folder for the files; default: sparse, by the checkpoint"
    )
    parser.add_argument(
        "--name", help="file name without suffix; default: the config's and the method"
    )
    add_trust(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    options = vars(parse_args())
    config, checkpoint = options.pop("config"), options.pop("checkpoint")
    info = sparsify(config, checkpoint, **options)
    Console().print(summary(info))


if __name__ == "__main__":
    run(main)
