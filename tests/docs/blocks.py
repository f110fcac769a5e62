"""Read the fenced blocks of the documentation, and the commands in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*(\S*)")
_FILE = re.compile(r"# (?:file: )?(\w+\.py)$")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Args:
        page: File it stands in.
        line: Line of its fence, from 1.
        language: What follows the fence.
        text: What is in it.
        run: Whether ``<!-- run -->`` stands on the line before.
    """

    page: Path
    line: int
    language: str
    text: str
    run: bool

    @property
    def where(self) -> str:
        """Page and line, for messages."""
        return f"{self.page}:{self.line}"

    @property
    def file_name(self) -> str | None:
        """Name of the file that the block shows: its first line is ``# name.py``."""
        found = _FILE.match(self.text.split("\n", 1)[0])
        return found[1] if found else None


def pages() -> list[Path]:
    """Return all pages with commands, relative to the repository."""
    found = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    found += ROOT.glob("configs/**/README.md")
    found += ROOT.glob("benchmarks/**/README.md")
    return sorted(path.relative_to(ROOT) for path in found if path.is_file())


def config_commands() -> dict[Path, list[list[str]]]:
    """Return the commands in the first comment of every config."""
    found = {}
    for path in sorted(ROOT.glob("configs/**/*.py")):
        header = re.match(r"(?:#.*\n)*", path.read_text("utf-8"))
        lines = header[0].splitlines() if header else []
        texts = [line[2:] for line in lines if re.match(r"# (python|bash|make) ", line)]
        if texts:
            found[path.relative_to(ROOT)] = commands_of("\n".join(texts))
    return found


def blocks_of(page: Path, text: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    blocks: list[Block] = []
    lines = text.splitlines()
    start = None
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if start is None and fence:
            start, indent, mark, language = number, *fence.groups()
        elif start is not None and line.strip() == mark:
            body = [text.removeprefix(indent) for text in lines[start + 1 : number]]
            run = start > 0 and lines[start - 1].strip() == "<!-- run -->"
            blocks.append(Block(page, start + 1, language, "\n".join(body), run))
            start = None
    if start is not None:
        raise ValueError(f"{page}:{start + 1}: the block is not closed.")
    return blocks


def commands_of(text: str) -> list[list[str]]:
    """Return the commands of a shell block as words, settings of variables left out.

    Example:
        >>> commands_of("A=1 make test && cd x  # a remark")
        [['make', 'test'], ['cd', 'x']]
    """
    commands = []
    for line in text.replace("\\\n", " ").splitlines():
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word in ("&&", ";"):
                while words and re.match(r"[A-Z_]+=", words[0]):
                    del words[0]
                if words:
                    commands.append(words)
                words = []
            else:
                words.append(word)
    return commands
