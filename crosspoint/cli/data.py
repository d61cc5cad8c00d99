"""`crosspoint data`: which files a dataset needs and where they go, what is there, and what is wrong."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from crosspoint.cli.dataset_arguments import OPTIONS, dataset_rows, read_dataset_options, take_dataset_flags
from crosspoint.cli.parser import function_parser
from crosspoint.datasets.inventory import Part
from crosspoint.plugins import SHORT_NAMES, Kind, SampleDataset, import_path, import_plugin

EXIT_WRONG = 2
KINDS: tuple[Kind, ...] = ("dataset", "labeled_dataset")
SHOWN = 10  # problems of a split; more are counted


def run(arguments: Sequence[str]) -> int:
    """The command; without a name, it lists those that there are."""
    if not arguments:
        sys.stdout.write(overview())
        return 0
    words = [*_whole_flags(arguments)]
    parser = function_parser(data, "data")
    name = words[0] if not words[0].startswith("-") else None
    own = [*inspect.signature(data).parameters]
    flags: list[tuple[str, str]] = []
    scenes = name is not None and _is_scenes(_class_of(name))
    if name is not None and scenes:
        words, flags = take_dataset_flags(words, name, own)
        parser.further_rows = [("", ""), *dataset_rows(name, own)]
        parser.further_keys = [row[0].removeprefix("--") for row in parser.further_rows]
    values = vars(parser.instantiate(parser.read(words)))
    values.pop("config")
    if scenes:
        values[OPTIONS] = read_dataset_options(values["dataset"], values[OPTIONS], flags, own)
    return data(**values)


def data(
    dataset: str,
    root: Path | None = None,
    split: str | None = None,
    deep: bool = False,
    points: int = 1024,
    jobs: int = -1,
    options: dict[str, Any] | None = None,
) -> int:
    """Say which files a dataset needs and where they go, what is there, and what is wrong; exit code 2 if anything is.

    All files of all frames are looked for, their sizes compared, and a few frames read. Without a name: all datasets.

    Args:
        dataset: short name or import path of a dataset of frames, of pairs, or of labeled clouds
        root: folder of the dataset; without it, what is needed is said
        split: name of the only split that is looked at; by default all are
        deep: read every frame and every cloud, and say which classes have no point
        points: number of points of a cloud that deep reads
        jobs: processes, -1 for one per core
        options: further arguments of a dataset of frames, which are flags, too: data NAME --help lists them
    """
    made = _class_of(dataset)
    if options and not _is_scenes(made):
        raise ValueError(f"found options {', '.join(options)}, expected none for {dataset}: they are for frames")
    if root is not None and not root.is_dir():
        raise FileNotFoundError(f"found no folder {root}, expected that of {dataset}: check the path")
    sys.stdout.write(f"{dataset}\n\n{_needed(made)}\n\n")
    if root is None and "root" in inspect.signature(made).parameters:
        return 0
    parts = _examine(made, dataset, root, split, deep, points, jobs, dict(options or {}))
    sys.stdout.write(_told(parts, root))
    return EXIT_WRONG if any(part.problems for part in parts) else 0


def _whole_flags(words: Sequence[str]) -> Iterator[str]:
    """`--deep` alone is true."""
    for word, following in zip(words, [*words[1:], "--"], strict=True):
        yield "--deep=true" if word == "--deep" and following.startswith("--") else word


def overview() -> str:
    """The short names of all datasets, and the first line of what each says of itself."""
    width = max(map(len, _names())) + 2
    rows = [f"  {name:<{width}}{_headline(_class_of(name))}" for name in _names()]
    return "\n".join(["usage: crosspoint data NAME [--root DIR] [--key value …]", "", *rows, ""])


def _class_of(name: str) -> type:
    """The class of a dataset of any kind.

    Raises:
        ValueError: if there is none of this name.
    """
    for kind in KINDS:
        try:
            import_path(kind, name)
        except ValueError:
            continue
        return import_plugin(kind, name, object)
    near = difflib.get_close_matches(name.lower(), _names(), n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise ValueError(f"found the dataset {name!r}, expected one of {', '.join(_names())}, or an import path{hint}")


def _names() -> list[str]:
    return sorted({name for kind in KINDS for name in SHORT_NAMES[kind]})


def _is_scenes(made: type) -> bool:
    from crosspoint.scene.data.lidar_dataset import LidarDataset

    return issubclass(made, LidarDataset)


def _examine(
    made: type,
    name: str,
    root: Path | None,
    split: str | None,
    deep: bool,
    points: int,
    jobs: int,
    options: dict[str, Any],
) -> list[Part]:
    from crosspoint.datasets.inventory import examine_clouds, examine_pairs
    from crosspoint.datasets.labeled import LabeledDataset
    from crosspoint.scene.datasets.inventory import examine_scenes

    if _is_scenes(made):
        return examine_scenes(name, root, split, deep, jobs, options)
    if issubclass(made, SampleDataset):
        chosen = {} if split is None else {"split": split}
        return examine_pairs(lambda: made(root=root, **chosen), deep, jobs)
    if issubclass(made, LabeledDataset):
        return examine_clouds(made(root or ""), [split] if split else made.splits, deep, points)
    raise ValueError(f"found {name}, expected a LidarDataset, a PairDataset or a LabeledDataset")


def _needed(made: type) -> str:
    """What the dataset's module says of its files."""
    module = inspect.getmodule(made)
    return inspect.cleandoc((module.__doc__ if module else None) or made.__doc__ or "").strip()


def _headline(made: type) -> str:
    return _needed(made).split("\n")[0].rstrip(".:")


def _told(parts: Sequence[Part], root: Path | None) -> str:
    """What is there, then what is wrong."""
    width = max(len(part.name) for part in parts) + 2
    lines = [f"there{f', in {root}' if root else ''}:"]
    for part in parts:
        lines.append(f"  {part.name:<{width}}{part.there or ('not there' if part.absent else 'cannot be used')}")
        if part.absent:
            lines.append(f"  {'':<{width}}{' '.join(part.absent.split())}")
    wrong = [part for part in parts if part.problems]
    lines += ["", "wrong:" if wrong else "wrong: nothing"]
    for part in wrong:
        shown = [" ".join(problem.split()) for problem in part.problems[:SHOWN]]
        lines += [f"  {part.name:<{width}}{problem}" for problem in shown]
        if len(part.problems) > SHOWN:
            lines.append(f"  {part.name:<{width}}and {len(part.problems) - SHOWN:,} more")
    return "\n".join([*lines, ""])
