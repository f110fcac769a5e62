"""Search a trained supernet for the best Subnets, and write what trains the best."""

import argparse
import os

from mmengine.dist import is_main_process
from rich.console import Console

from mmrazor.apis.arguments import add_cfg_options, add_trust
from mmrazor.apis.command_line import run
from mmrazor.apis.run_config import LAUNCHERS
from mmrazor.apis.search import search
from mmrazor.apis.search_summary import summary


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="that of the supernet, with the key 'search'")
    parser.add_argument("checkpoint", help="weights of the supernet")
    parser.add_argument("--work-dir", help="folder for the state and all that is found")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the search in the work dir"
    )
    parser.add_argument(
        "--seed", type=int, help="of the searcher; default: as the config says"
    )
    add_trust(parser)
    add_cfg_options(parser)
    parser.add_argument(
        "--launcher", choices=LAUNCHERS, default="none", help="who starts the processes"
    )
    # torch.distributed.launch passes it; torchrun sets the variable.
    parser.add_argument(
        "--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS
    )
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    options = vars(parse_args())
    os.environ.setdefault("LOCAL_RANK", str(options.pop("local_rank")))
    config, checkpoint = options.pop("config"), options.pop("checkpoint")
    console = Console()
    info = search(config, checkpoint, console=console, **options)
    if is_main_process():
        console.print(summary(info), crop=False)


if __name__ == "__main__":
    run(main)
