"""Options that several command lines share."""

from __future__ import annotations

from argparse import ArgumentParser

from mmengine.config import DictAction


def add_cfg_options(parser: ArgumentParser) -> None:
    """Add ``--cfg-options key=value ...``, as the OpenMMLab tools have it."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        help="changes to the config: key=value, nested keys with dots, lists as "
        'key="[a,b]"',
    )


def add_image_size(parser: ArgumentParser) -> None:
    """Add ``--image-size HEIGHT WIDTH``, or one number for both."""
    parser.add_argument(
        "--image-size",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="height and width, or one number; default: as the test pipeline makes",
    )
