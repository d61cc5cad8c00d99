"""Inventory of a dataset's folder: what is there of each split, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import joblib

from crosspoint.datasets.labeled import LabeledDataset
from crosspoint.datasets.pairs import PairDataset
from crosspoint.renderers.parallel import in_processes, processes

WHOLE = "all"  # the name of what has no splits


@dataclass(frozen=True)
class Part:
    """What is there of one split."""

    name: str
    there: str = ""  # counts, in words; empty where it is not there
    problems: list[str] = field(default_factory=list)
    absent: str = ""  # why it is not there


def examine_splits(splits: Sequence[str], examine: Callable[[str], Part]) -> list[Part]:
    """Look at each split; one whose files are not there is no problem, unless none is there.

    Args:
        splits: their names.
        examine: says what is there of one.
    """
    parts = [_guarded(split, examine) for split in splits]
    if any(part.there or part.problems for part in parts):
        return parts
    return [replace(part, absent="", problems=[part.absent]) for part in parts]


def _guarded(split: str, examine: Callable[[str], Part]) -> Part:
    try:
        return examine(split)
    except FileNotFoundError as error:
        return Part(split, absent=str(error))
    except (ValueError, OSError) as error:
        return Part(split, problems=[str(error)])


def examine_clouds(dataset: LabeledDataset, splits: Sequence[str], deep: bool, points: int) -> list[Part]:
    """Look at labeled clouds.

    Args:
        dataset: opened.
        splits: their names.
        deep: read all of them, rather than count them.
        points: of a cloud that is read.
    """

    def examine(split: str) -> Part:
        count = len(dataset.clouds(split, points, 0)) if deep else dataset.count(split)
        return Part(split, f"{count:,} clouds")

    return examine_splits(splits, examine)


def examine_pairs(open_pairs: Callable[[], PairDataset], deep: bool, jobs: int) -> list[Part]:
    """Look at pairs of clouds and views.

    Args:
        open_pairs: opens the dataset, which lists its files.
        deep: read each object.
        jobs: processes that read, -1 for one per core.
    """

    def examine(split: str) -> Part:
        pairs = open_pairs()
        classes = f" of {len(pairs.classes)} classes" if pairs.classes else ""
        found = Part(split, f"{len(pairs):,} objects{classes}")
        if not deep:
            return found
        problems = in_chunks(_read_pairs, pairs, range(len(pairs)), jobs)
        return replace(found, problems=[each for each in problems if each is not None])

    return examine_splits([WHOLE], examine)


def _read_pairs(pairs: PairDataset, indices: Sequence[int]) -> list[str | None]:
    """What is wrong with some objects, None for nothing."""
    found: list[str | None] = []
    for index in indices:
        try:
            pairs[index, 0]
        except (ValueError, OSError) as error:
            found.append(str(error))
        else:
            found.append(None)
    return found


def in_chunks(
    work: Callable[[Any, Sequence[int]], list[Any]],
    dataset: Any,
    indices: Sequence[int],
    jobs: int,
    *,
    threads: bool = False,
) -> list[Any]:
    """What `work(dataset, some indices)` gives for all of them, in order, from parts that run side by side.

    Args:
        work: of any module's top level.
        dataset: handed to each part.
        indices: of its items.
        jobs: processes or threads, -1 for one per core.
        threads: where the work waits for files.
    """
    chunks = _chunks(indices, 8 * processes(jobs))
    if threads:
        done = joblib.Parallel(n_jobs=jobs, prefer="threads")(joblib.delayed(work)(dataset, chunk) for chunk in chunks)
    else:
        done = in_processes(work, ((dataset, chunk) for chunk in chunks), jobs)
    return [each for part in done for each in part]


def _chunks(indices: Sequence[int], count: int) -> Iterator[Sequence[int]]:
    size = max(1, -(-len(indices) // max(1, count)))
    for begin in range(0, len(indices), size):
        yield indices[begin : begin + size]
