"""Print the whole of a config, its bases merged in."""

import argparse
import sys
from pathlib import Path

from mmrazor.apis.arguments import add_cfg_options
from mmrazor.apis.command_line import run
from mmrazor.apis.run_config import load_config
from mmrazor.core.files import check_writable, write_atomically


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="a file, or e.g. 'mmrazor::<folder>/<name>.py'")
    parser.add_argument("--save-path", type=Path, help="write it to this .py file too")
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.save_path:
        check_writable(args.save_path)
    cfg = load_config(args.config, args.cfg_options)
    sys.stdout.write(cfg.pretty_text + "\n")
    if args.save_path:
        write_atomically(args.save_path, lambda path: path.write_text(cfg.pretty_text))


if __name__ == "__main__":
    run(main)
