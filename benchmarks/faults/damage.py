"""Damage to a valid input: what is done to which file, and what may be made of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

Expect = Literal["refused", "same", "any"]
UNTOLD = {".obj", ".mtl", ".txt", ".lst", ".bin", ".label", ".yaml", ".stl", ".jsonl"}  # a shorter one may be whole
SUFFIXES_OF_TEXT = {".obj", ".mtl", ".off", ".txt", ".lst", ".csv"}


@dataclass(frozen=True)
class Damage:
    """What is done to an input.

    Args:
        name: in a few words.
        expect: what a command may do. refused: nothing but to say no; same: that, or the result of the undamaged
            input; any: also another result, of finite numbers, because the damaged file is a valid one.
        change: of the folder of a case, which holds `in` and perhaps `out`.
        flags: what is added to the command.
    """

    name: str
    expect: Expect
    change: Callable[[Path], None] | None = None
    flags: tuple[str, ...] = ()


def flags(expect: Expect, *words: str) -> Damage:
    """Flags that are added to the command."""
    return Damage(" ".join(words), expect, None, words)


def text(path: str, content: str | bytes, expect: Expect = "refused", name: str = "") -> Damage:
    """Another content of a file."""

    def change(folder: Path) -> None:
        written = content.replace("{case}", str(folder)) if isinstance(content, str) else content
        data = written.encode() if isinstance(written, str) else written
        (folder / path).unlink(missing_ok=True)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)

    return Damage(f"{path}: {name or repr(content[:40])}", expect, change)


def link(path: str, target: str, expect: Expect = "any") -> Damage:
    """A symbolic link in place of a file or beside it."""

    def change(folder: Path) -> None:
        (folder / path).unlink(missing_ok=True)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(target)

    return Damage(f"{path} → {target}", expect, change)


def fifo(path: str, expect: Expect = "any") -> Damage:
    """A pipe without a writer in place of a file: who opens it waits for ever."""

    def change(folder: Path) -> None:
        (folder / path).unlink(missing_ok=True)
        os.mkfifo(folder / path)

    return Damage(f"{path}: a FIFO", expect, change)


def of_bytes(path: Path, random: Random) -> tuple[str, Expect, Callable[[], None]]:
    """One random change of a file's bytes, or of the file as a whole."""
    data = path.read_bytes()
    place, suffix = random.randrange(max(1, len(data))), path.suffix
    kind = random.choice(
        [
            "truncated",
            "truncated",
            "flipped",
            "flipped",
            "flipped",
            "zeros",
            "empty",
            "noise",
            "inserted",
            "missing",
            "folder",
            "loop",
        ]
    )
    changed = bytearray(data)
    expect: Expect = "any"
    if kind == "truncated":
        changed, expect = changed[:place], "any" if suffix in UNTOLD else "same"
    elif kind == "flipped":
        for _ in range(random.choice([1, 1, 4, 16])):
            if data:
                changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
    elif kind == "zeros":
        size = random.choice([4, 64, 512])
        changed[place : place + size] = bytes(len(changed[place : place + size]))
    elif kind == "empty":
        changed, expect = bytearray(), "any" if suffix in UNTOLD else "same"
    elif kind == "noise":
        changed = bytearray(random.randbytes(len(data)))
    elif kind == "inserted":
        changed[place:place] = random.randbytes(random.choice([1, 7, 512]))

    def change() -> None:
        if kind in ("missing", "folder", "loop"):
            path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "loop":
            path.symlink_to(path.name)
        elif kind != "missing":
            path.write_bytes(bytes(changed))

    return f"{kind} at {place}", expect, change


def of_words(path: Path, random: Random) -> tuple[str, Expect, Callable[[], None]]:
    """One random change of a text's words or lines."""
    lines = path.read_text(errors="replace").split("\n")
    row = random.randrange(len(lines))
    words = lines[row].split(" ")
    column = random.randrange(len(words))
    numeric = words[column].replace(".", "").replace("-", "").replace("e", "").isdigit()
    value = random.choice(
        ["nan", "inf", "1e400", "word", "-1", "0", "123456789012", "١", "", "𝔵" * 5, "1;2", "0x10", "9" * 400]
    )
    kind = random.choice(["word", "word", "word", "drop", "twice", "all"])
    if kind == "word":
        words[column] = value
        lines[row] = " ".join(words)
    elif kind == "drop":
        del lines[row]
    elif kind == "twice":
        lines.insert(row, lines[row])
    else:
        lines = [value for _ in lines]
    wrong = kind == "word" and numeric and value in ("nan", "inf", "1e400", "word")
    return (
        f"line {row}, {kind} {value[:12]!r}",
        "same" if wrong else "any",
        lambda: _write(path, "\n".join(lines).encode()),
    )


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def remove(path: Path) -> None:
    """A file, link or folder, away."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
