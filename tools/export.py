"""Export the bare architecture of a trained config: weights, config, ONNX."""

import argparse

from rich.console import Console

from mmrazor.apis.arguments import add_cfg_options, add_image_size, add_trust
from mmrazor.apis.command_line import run
from mmrazor.apis.export import export_model, summary_table


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="the config trained with")
    parser.add_argument("checkpoint", help="what training wrote")
    parser.add_argument(
        "--out-dir", help="folder for the files; default: export, by the checkpoint"
    )
    parser.add_argument(
        "--name", help="file name without suffix; default: the config's"
    )
    add_image_size(parser)
    parser.add_argument("--no-onnx", action="store_true", help="write no ONNX file")
    add_trust(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    args = parse_args()
    info = export_model(
        args.config,
        args.checkpoint,
        args.out_dir,
        name=args.name,
        image_size=args.image_size,
        onnx=not args.no_onnx,
        cfg_options=args.cfg_options,
    )
    Console().print(summary_table(info))


if __name__ == "__main__":
    run(main)
