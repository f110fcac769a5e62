"""Compare models: metric, MACs, parameters, ONNX file, latency, beside the first."""

import argparse
import sys

from rich.console import Console

from mmrazor.apis.arguments import add_cfg_options, add_image_size, add_trust
from mmrazor.apis.command_line import run
from mmrazor.apis.compare import compare


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "models",
        nargs="+",
        metavar="CONFIG FILE",
        help="config and checkpoint, or ONNX file, of each model; the first is what "
        "the others are compared with",
    )
    parser.add_argument(
        "--names", nargs="+", help="of the models; default: the files' names"
    )
    parser.add_argument(
        "--metric", help="to show; default: the first config's save_best, or the first"
    )
    parser.add_argument("--no-test", action="store_true", help="measure no metric")
    parser.add_argument(
        "--rounds",
        type=int,
        default=20,
        help="turns of nine passes that each model is timed for; default: 20",
    )
    parser.add_argument(
        "--out",
        default="work_dirs/compare",
        help="folder for compare.json and compare.png; default: work_dirs/compare",
    )
    add_image_size(parser)
    add_trust(parser)
    add_cfg_options(parser)
    args = parser.parse_args()
    if len(args.models) % 2:
        parser.error(f"a model is CONFIG and FILE, but there are {len(args.models)}")
    args.models = list(zip(args.models[::2], args.models[1::2], strict=True))
    return args


def main() -> None:
    """Run the command line."""
    options = vars(parse_args())
    options["tested"] = not options.pop("no_test")
    console = Console(file=sys.stdout)
    comparison = compare(**options, console=console)
    console.print(comparison.table(), crop=False)


if __name__ == "__main__":
    run(main)
