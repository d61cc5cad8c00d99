"""The rows of a study: checkpoints under a name, and random networks of the same architectures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from crosspoint.branches import Branches, has_image_branch, load_branches
from crosspoint.checkpoints import load_encoder
from crosspoint.partseg import PartSegDGCNN
from eval.measured import random_twin


@dataclass(frozen=True)
class Method:
    """One row: networks of one architecture, which differ in their seed.

    Args:
        name: of the row.
        checkpoints: one for each seed; of a random row, those whose architecture it has.
        random_init: random weights in place of theirs.
        folder: of its files.
    """

    name: str
    checkpoints: tuple[Path, ...]
    random_init: bool
    folder: str
    k: int | None = None

    def encoder(self, number: int, seed: int) -> nn.Module:
        """Network number 0, 1, …; a random one's weights are drawn from the seed."""
        encoder = load_encoder(self.checkpoints[number], k=self.k)
        return random_twin(encoder, seed) if self.random_init else encoder

    def branches(self, number: int, seed: int) -> Branches:
        """The same with the image branch beside it."""
        return load_branches(self.checkpoints[number], k=self.k, seed=seed if self.random_init else None)

    def lacks(self, protocol: str) -> str | None:
        """Why a protocol cannot be run on this architecture; None where it can."""
        if protocol == "crossmodal" and not all(has_image_branch(path) for path in self.checkpoints):
            return "no image branch in the checkpoint"
        if protocol == "partseg" and not isinstance(self.encoder(0, 0), PartSegDGCNN):
            return "no part-segmentation encoder"
        return None


def methods(checkpoints: Sequence[str], random_init: bool, k: int | None) -> list[Method]:
    """Rows in the order of the checkpoints, then a random one of each architecture.

    Args:
        checkpoints: "[NAME=]FILE"; those of one name are seeds of one row. Without a name, a file has that of its
            run's folder, or its own.
        random_init: add the random rows, with as many seeds as the longest row of their architecture.
        k: neighbours per point, where it should differ from the files'.

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
    architectures = {name: _architecture(name, paths, k) for name, paths in named.items()}
    rows = [(name, tuple(paths), False) for name, paths in named.items()]
    if random_init:
        rows += _random_rows(named, architectures)
    return [Method(*row, f"{number}-{_safe(row[0])}", k) for number, row in enumerate(rows, 1)]


def _random_rows(
    named: dict[str, list[Path]], architectures: dict[str, tuple[str, str]]
) -> list[tuple[str, tuple[Path, ...], bool]]:
    longest: dict[tuple[str, str], list[Path]] = {}
    for name, paths in named.items():
        known = longest.get(architectures[name], [])
        longest[architectures[name]] = max(known, paths, key=len)
    kinds = [kind for kind, _ in longest]
    rows = []
    for (kind, settings), paths in longest.items():
        label = f"random initialisation ({kind})" if kinds.count(kind) == 1 else f"random initialisation ({settings})"
        if label in named:
            raise ValueError(f"found a checkpoint called {label}, which is the random row's name: choose another")
        rows.append((label, tuple(paths), True))
    return rows


def _named(text: str) -> tuple[str, Path, bool]:
    """Name, file, and whether the name was given."""
    name, equals, path = text.partition("=")
    if equals and not Path(text).exists():
        if not name.strip() or not path:
            raise ValueError(f"found the checkpoint {text!r}, expected NAME=FILE or FILE")
        return name.strip(), Path(path), True
    file = Path(text)
    return (file.resolve().parent.name if file.stem in ("best", "last") else file.stem) or file.name, file, False


def _architecture(name: str, paths: list[Path], k: int | None) -> tuple[str, str]:
    """Kind and settings, the same for all files."""
    found = []
    for path in paths:
        encoder = load_encoder(path, k=k)
        found.append((type(encoder).__name__, f"{type(encoder).__name__} {encoder.config}"))
    if len({*found}) > 1:
        other = next(entry for entry in found if entry != found[0])
        raise ValueError(
            f"found {found[0][1]} and {other[1]} under the name {name}, expected seeds of one architecture: give "
            "them names of their own"
        )
    return found[0]


def _safe(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "method"
