"""What every refusal of a damaged file is held to: one line that names the file, and says what was found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from crosspoint.cli.main import main

DEEP = "[" * 200_000


def refused(read: Callable[[], object], name: str) -> None:
    """Reading raises one line that names a file."""
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        read()
    held(str(caught.value), name)


def command_refuses(capsys: pytest.CaptureFixture[str], words: list[object], name: str) -> None:
    """A command ends with exit code 2 and one line that names a file."""
    assert main([str(word) for word in words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    held(line.removeprefix("crosspoint: error: "), name)


def held(line: str, name: str) -> None:
    assert "\n" not in line and len(line) < 1500
    assert "found " in line and "expected " in line and name in line, line


def alias_bomb(levels: int = 30) -> str:
    """A list in YAML that stands for 2^levels entries."""
    names = ["  - &a0 [x, x]"] + [f"  - &a{level} [*a{level - 1}, *a{level - 1}]" for level in range(1, levels)]
    return "\n".join(["[", *[name.replace("  - ", "  ") + "," for name in names], "]"])


def hash_bomb(levels: int = 60) -> bytes:
    """A pickle of a dict whose key is a tuple that holds another twice, so many levels deep."""
    content = b"\x80\x02}K\x01"
    for level in range(levels):
        content += b"q" + bytes([level]) + b"h" + bytes([level]) + b"\x86"
    return content + b"K\x02s."


def write(path: Path, content: object) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else str(content).encode())
    return path
