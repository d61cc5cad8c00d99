"""The rows of a study: checkpoints under a name, and random networks of the same architectures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crosspoint.eval.checkpoint import Checkpoint
from crosspoint.eval.report.file_names import file_names


@dataclass(frozen=True)
class TableRow:
    """One row: networks of one architecture, which differ in their seed.

    Args:
        name: of the row.
        checkpoints: one for each seed; of a random row, those whose architecture it has.
        random_init: random weights in place of theirs.
        folder: of its files.
    """

    name: str
    checkpoints: tuple[Checkpoint, ...]
    random_init: bool
    folder: str


def methods(checkpoints: Sequence[str], random_init: bool, k: int | None) -> list[TableRow]:
    """Rows in the order of the checkpoints, then a random one of each architecture.

    Args:
        checkpoints: "[NAME=]FILE"; those of one name are seeds of one row. Without a name, a file has that of its
            run's folder, or its own.
        random_init: add the random rows, with as many seeds as the longest row of their architecture.
        k: neighbors per point, or points of a patch, where it should differ from the files'.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if there is no checkpoint, one cannot be read, one is given twice, two without a name share one, or
            the architectures under a name differ.
    """
    if not checkpoints:
        raise ValueError("found no checkpoint, expected at least one: give --checkpoint [NAME=]FILE")
    named: dict[str, list[Path]] = {}
    given: set[str] = set()  # names that the user chose
    for text in checkpoints:
        name, path, chosen = _named(text)
        if name in named and not (chosen and name in given):
            raise ValueError(
                f"found two checkpoints called {name}, expected names: give --checkpoint NAME={path}, one name for all "
                "seeds of a method"
            )
        if any(path == other for paths in named.values() for other in paths):
            raise ValueError(f"found {path} twice, expected every checkpoint once")
        given |= {name} if chosen else set()
        named.setdefault(name, []).append(path)
    known = {name: _seeds(name, paths, k) for name, paths in named.items()}
    rows = [(name, seeds, False) for name, seeds in known.items()]
    rows += [(name, seeds, True) for name, seeds in (_random_rows(known) if random_init else {}).items()]
    folders = file_names([name for name, _, _ in rows])
    return [TableRow(*row, folder) for row, folder in zip(rows, folders, strict=True)]


def _random_rows(known: dict[str, tuple[Checkpoint, ...]]) -> dict[str, tuple[Checkpoint, ...]]:
    longest: dict[str, tuple[Checkpoint, ...]] = {}
    for seeds in known.values():
        architecture = seeds[0].architecture
        longest[architecture] = max(longest.get(architecture, ()), seeds, key=len)
    kinds = [seeds[0].network.__name__ for seeds in longest.values()]
    rows = {}
    for kind, (architecture, seeds) in zip(kinds, longest.items(), strict=True):
        label = f"random initialization ({kind if kinds.count(kind) == 1 else architecture})"
        if label in known:
            raise ValueError(f"found a checkpoint called {label}, which is the random row's name: choose another")
        rows[label] = seeds
    return rows


def _named(text: str) -> tuple[str, Path, bool]:
    """Name, file, and whether the name was given."""
    name, equals, path = text.partition("=")
    if equals and not Path(text).exists():
        if not name.strip() or not path:
            raise ValueError(f"found the checkpoint {text!r}, expected NAME=FILE or FILE")
        return name.strip(), Path(path), True
    file = Path(text)
    return (
        (file.resolve().parent.name if file.stem in ("best", "last", "encoder") else file.stem) or file.name,
        file,
        False,
    )


def _seeds(name: str, paths: list[Path], k: int | None) -> tuple[Checkpoint, ...]:
    """Checkpoints of one name, which have one architecture."""
    seeds = tuple(Checkpoint.read(path) for path in paths)
    if k is not None:  # of the networks of a study, some may look at no neighbors
        seeds = tuple(seed if seed.neighbors is None else seed.with_neighbors(k) for seed in seeds)
    for other in seeds:
        if other.architecture != seeds[0].architecture:
            raise ValueError(
                f"found {seeds[0].architecture} and {other.architecture} under the name {name}, expected seeds of one "
                "architecture: give them names of their own"
            )
    return seeds
