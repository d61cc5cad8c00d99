"""The runs of a study, one after another: each is kept as soon as it is done, and none is made twice."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from crosspoint.eval.results import Result
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.study.embedding_map import FROZEN, draw_scenery
from crosspoint.eval.study.evaluation_run import EvaluationRun
from crosspoint.eval.study.protocols import MEASURES
from crosspoint.renderers.atomic import atomic_write

log = logging.getLogger("crosspoint")

Failure = dict[str, str | int]


@dataclass
class Outcome:
    """What a study came to."""

    results: dict[tuple[str, int], dict[str, Result]] = field(default_factory=dict)  # by method and number of its seed
    failed: list[Failure] = field(default_factory=list)


def run_all(study: StudyConfig, left_out: dict[tuple[str, str], str]) -> Outcome:
    """Measure everything that no earlier call has measured.

    A protocol that fails is noted with its reason, and tried again by the next call; the others go on.

    Args:
        study: checked, with its folder open.
        left_out: methods and protocols that do not go together.
    """
    numbered = [(row, number) for row in study.rows for number in range(len(row.checkpoints))]
    outcome = Outcome()
    with _progress() as bar:
        task = bar.add_task("", total=len(numbered) * len(study.chosen))
        for row, number in numbered:
            subject = EvaluationRun(study, row, number)  # of which only one is kept in memory, with its features
            name, results = row.name, outcome.results.setdefault((row.name, number), {})
            for protocol in study.chosen:
                bar.update(task, description=f"{name}, seed {subject.seed}: {protocol}")
                if (name, protocol) not in left_out:
                    try:
                        results[protocol] = _result(subject, protocol, bar)
                    except (ValueError, OSError) as error:
                        reason = " ".join(str(error).split())
                        log.warning("%s, seed %d: no %s: %s", name, subject.seed, protocol, reason)
                        outcome.failed.append(
                            {"method": name, "seed": subject.seed, "protocol": protocol, "reason": reason}
                        )
                bar.advance(task)
            if number == 0 and results.keys() & FROZEN:
                with _lent(bar):
                    draw_scenery(subject)
    return outcome


def _result(subject: EvaluationRun, protocol: str, bar: Progress) -> Result:
    """From an earlier call, or measured now and kept."""
    path = subject.folder / f"{protocol}.json"
    if path.is_file():
        return Result.load(path)
    if bar.disable:
        log.info("%s, seed %d: %s", subject.method.name, subject.seed, protocol)
    with _lent(bar):  # features have a bar of their own
        for split in _splits(protocol, subject.study):
            subject.features(split)
    if _splits(protocol, subject.study):
        result, arrays = MEASURES[protocol](subject)
    else:
        with _lent(bar):
            result, arrays = MEASURES[protocol](subject)
    result = replace(result, constants={**subject.measured.setting(), **result.constants})
    if arrays:  # first, as the result says that all is there
        save_arrays(subject, protocol, **arrays)
    result.save(path)
    return result


def _splits(protocol: str, study: StudyConfig) -> tuple[str, ...]:
    """Whose features a protocol wants; none where it goes another way."""
    if protocol in ("linear", "knn"):
        return "train", "test"
    return {"retrieval": ("test",), "fewshot": (study.split,)}.get(protocol, ())


def save_arrays(subject: EvaluationRun, name: str, **arrays: np.ndarray) -> None:
    """Keep what the report shows."""
    with atomic_write(subject.folder / f"{name}.npz") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def _lent(bar: Progress) -> Iterator[None]:
    """Give the terminal to bars of others: it shows one at a time."""
    bar.stop()
    try:
        yield
    finally:
        bar.start()
