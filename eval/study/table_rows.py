"""The rows of a study: checkpoints under a name, and random networks of the same architectures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosspoint.checkpoints.dual_encoder import has_image_branch
from crosspoint.checkpoints.load import TrainedOn, load_encoder, trained_on
from crosspoint.eval.report.file_names import file_names
from crosspoint.models.dgcnn_partseg import PartSegDGCNN


@dataclass(frozen=True)
class Checkpoint:
    """What a study needs to know of a file before it measures anything.

    Args:
        path: of the file.
        network: class of its point encoder.
        config: of the encoder, with the neighbors per point of the study.
        trained_on: clouds of its training.
        has_images: whether the image branch lies beside it.
    """

    path: Path
    network: type
    config: dict[str, Any]
    trained_on: TrainedOn
    has_images: bool

    @classmethod
    def read(cls, path: Path, k: int | None) -> Checkpoint:
        """Facts of a file, its encoder with k neighbors where that is not None."""
        encoder = load_encoder(path, k=k)
        config: dict[str, Any] = encoder.config  # type: ignore[assignment] # torch's typing expects tensors, modules
        return cls(path, type(encoder), config, trained_on(encoder), has_image_branch(path))

    @property
    def architecture(self) -> str:
        """Class and settings of the encoder."""
        return f"{self.network.__name__} {self.config}"


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

    def unsupported(self, protocol: str) -> str | None:
        """Why a protocol cannot be run on this architecture; None where it can."""
        if protocol == "crossmodal" and not all(checkpoint.has_images for checkpoint in self.checkpoints):
            return "no image branch in the checkpoint"
        if protocol == "partseg" and not issubclass(self.checkpoints[0].network, PartSegDGCNN):
            return "no part-segmentation encoder"
        return None


def methods(checkpoints: Sequence[str], random_init: bool, k: int | None) -> list[TableRow]:
    """Rows in the order of the checkpoints, then a random one of each architecture.

    Args:
        checkpoints: "[NAME=]FILE"; those of one name are seeds of one row. Without a name, a file has that of its
            run's folder, or its own.
        random_init: add the random rows, with as many seeds as the longest row of their architecture.
        k: neighbors per point, where it should differ from the files'.

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
    seeds = tuple(Checkpoint.read(path, k) for path in paths)
    for other in seeds:
        if other.architecture != seeds[0].architecture:
            raise ValueError(
                f"found {seeds[0].architecture} and {other.architecture} under the name {name}, expected seeds of one "
                "architecture: give them names of their own"
            )
    return seeds
