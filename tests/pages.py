"""What pages of the documents hold: their blocks of Python, and the commands in their blocks without a language."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def python_blocks(page: Path) -> list[str]:
    """The blocks of Python, in order."""
    return _blocks(page, "python")


def commands(page: Path) -> list[list[str]]:
    """The words of each `crosspoint …` command, without the first one."""
    lines = [line.strip() for block in _blocks(page, "") for line in re.sub(r"\\\n", " ", block).splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("crosspoint ")]


def _blocks(page: Path, language: str) -> list[str]:
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [block for name, block in found if name == language]


def command(page: Path, *words: str) -> list[str]:
    """The one command of a page that begins so."""
    (found,) = [each for each in commands(page) if each[: len(words)] == [*words]]
    return found
