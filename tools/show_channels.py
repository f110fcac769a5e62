"""Explain which channels of a config's model live or die together."""

import argparse
from pathlib import Path

from rich.console import Console

from mmrazor.apis.arguments import add_cfg_options, add_image_size, add_trust
from mmrazor.apis.channel_picture import draw_channels
from mmrazor.apis.channel_report import channel_report
from mmrazor.apis.command_line import run
from mmrazor.core.files import check_writable


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="of an algorithm or of a plain host model")
    parser.add_argument("checkpoint", nargs="?", help="its weights; not needed")
    add_image_size(parser)
    parser.add_argument(
        "--ignore", nargs="+", default=(), metavar="MODULE", help="keeps its size"
    )
    parser.add_argument("--json", type=Path, help="write everything to this file")
    parser.add_argument("--picture", type=Path, help="draw it (.png, .svg)")
    add_trust(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    options = vars(parse_args())
    picture, data = options.pop("picture"), options.pop("json")
    config, checkpoint = options.pop("config"), options.pop("checkpoint")
    for file in (data, picture):
        if file is not None:
            check_writable(file)
    report = channel_report(config, checkpoint, **options)
    Console().print(report.tables(), crop=False)
    if data is not None:
        report.write(data)
    if picture is not None:
        draw_channels(report.graph, picture)


if __name__ == "__main__":
    run(main)
