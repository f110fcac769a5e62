"""Options that several command lines share."""

from __future__ import annotations

from argparse import SUPPRESS, Action, ArgumentParser, Namespace
from typing import Any

from mmengine.config import DictAction

from ..core.checkpoint_reader import trust_checkpoints


class _CfgOptions(DictAction):
    """mmengine's, which takes a word without '=' for a fault of its own."""

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        for word in values:
            if "=" not in word:
                parser.error(f"--cfg-options '{word}' is not key=value")
        super().__call__(parser, namespace, values, option_string)


def add_cfg_options(parser: ArgumentParser) -> None:
    """Add ``--cfg-options key=value ...``, as the OpenMMLab tools have it."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=_CfgOptions,
        help="changes to the config: key=value, nested keys with dots, lists as "
        'key="[a,b]"',
    )


def add_source(parser: ArgumentParser) -> None:
    """Add ``config`` and ``[checkpoint]``: a model with its weights."""
    parser.add_argument("config", help="of an algorithm or of a plain host model")
    parser.add_argument(
        "checkpoint", nargs="?", help="its weights; default: what the config names"
    )


def add_ranking(parser: ArgumentParser) -> None:
    """Add what ranks channels: ``--importance``, ``--calib-batches``, ``--seed``."""
    parser.add_argument(
        "--importance",
        default="L1Importance",
        help="name, or \"dict(type='...', ...)\"; default: L1Importance",
    )
    parser.add_argument(
        "--calib-batches",
        type=int,
        help="training batches for an importance that reads gradients; default: 8",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the choice of these batches"
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


def add_outputs(parser: ArgumentParser, done: str) -> None:
    """Add where files go: ``--work-dir``, ``--name`` and ``--no-onnx``.

    Args:
        parser: Of a tool whose folder and files are named after what it does.
        done: What was done to the model, such as ``pruned``.
    """
    parser.add_argument(
        "--work-dir",
        help=f"folder for the files; default: {done}, in the config's work dir",
    )
    parser.add_argument(
        "--name", help=f"file name without suffix; default: the config's and _{done}"
    )
    parser.add_argument("--no-onnx", action="store_true", help="write no ONNX file")


def add_trust(parser: ArgumentParser) -> None:
    """Add ``--trust-checkpoint``, which is in force as soon as it is read."""
    parser.add_argument(
        "--trust-checkpoint",
        action=_TrustAction,
        nargs=0,
        dest=SUPPRESS,
        default=SUPPRESS,
        help="load checkpoints whatever objects they hold, which runs the code in "
        "them: only for files of people whom you trust",
    )


class _TrustAction(Action):
    def __call__(self, *_: Any) -> None:
        trust_checkpoints()
