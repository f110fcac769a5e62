"""Quantize the model of a config; write weights with ranges, a config, and ONNX."""

import argparse

from rich.console import Console

from mmrazor.apis.arguments import (
    add_cfg_options,
    add_image_size,
    add_outputs,
    add_source,
    add_trust,
)
from mmrazor.apis.command_line import run
from mmrazor.apis.prune_options import parse_budget
from mmrazor.apis.quantize_config import quantize_config
from mmrazor.apis.quantize_options import (
    SHORT_NAMES,
    one_or_several,
    parse_methods,
)
from mmrazor.apis.quantize_report import report


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_source(parser)
    parser.add_argument(
        "--method",
        nargs="+",
        dest="methods",
        metavar="NAME",
        help=f"ptq, which is calibration alone, or some of {', '.join(SHORT_NAMES)}, "
        "or \"dict(type='...', ...)\"; default: what the config says, or ptq",
    )
    parser.add_argument(
        "--backend",
        help="onnxruntime, openvino, tensorrt or generic; default: onnxruntime",
    )
    parser.add_argument(
        "--weight-bits",
        nargs="+",
        type=int,
        metavar="BITS",
        help="several are a choice for --method mixed; default: 8",
    )
    parser.add_argument(
        "--budget",
        nargs="+",
        metavar="NAME=NUMBER",
        help="of --method mixed: size_bytes=0.5 is half of the size with the widest "
        "bits, a number above 1 is bytes",
    )
    parser.add_argument(
        "--activation-bits", type=int, help="0 leaves them in float; default: 8"
    )
    parser.add_argument(
        "--calib-batches", type=int, help="batches of training images; default: 32"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of images")
    parser.add_argument(
        "--ignore",
        nargs="+",
        default=(),
        metavar="MODULE",
        help="modules that stay in float; * stands for any text",
    )
    add_image_size(parser)
    add_outputs(parser, "quantized")
    add_trust(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    options = vars(parse_args())
    config, checkpoint = options.pop("config"), options.pop("checkpoint")
    onnx, console = not options.pop("no_onnx"), Console()
    if options["methods"] is not None:
        options["methods"] = parse_methods(options["methods"])
    if options["budget"] is not None:
        options["budget"] = parse_budget(options["budget"], ("size_bytes",))
    options["weight_bits"] = one_or_several(options["weight_bits"])
    info = quantize_config(config, checkpoint, onnx=onnx, console=console, **options)
    console.print(report(info), crop=False)


if __name__ == "__main__":
    run(main)
