"""Count the multiply-accumulates and parameters of a config's model, by module."""

import argparse
from pathlib import Path

from rich.console import Console

from mmrazor.apis.arguments import add_cfg_options, add_image_size, add_trust
from mmrazor.apis.command_line import run
from mmrazor.apis.cost_report import cost_report
from mmrazor.core.files import check_writable
from mmrazor.core.values import check_number


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="of an algorithm or of a plain host model")
    add_image_size(parser)
    parser.add_argument(
        "--depth", type=int, default=2, help="of the modules shown; default: 2"
    )
    parser.add_argument("--json", type=Path, help="write everything to this file")
    add_trust(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    options = vars(parse_args())
    depth, data = options.pop("depth"), options.pop("json")
    check_number("depth", depth, least=0, whole=True)
    if data is not None:
        check_writable(data)
    report = cost_report(options.pop("config"), **options)
    Console().print(report.tables(depth), crop=False)
    if data is not None:
        report.write(data)


if __name__ == "__main__":
    run(main)
