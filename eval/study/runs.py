"""The runs of a study, one after another: each is kept as soon as it is done, and none is made twice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.protocol import Protocol, measure
from crosspoint.eval.results import Result
from crosspoint.eval.study.embedding_map import SCENERY, draw_scenery
from crosspoint.eval.study.table_rows import TableRow
from crosspoint.eval.supervised.cloud_training import ENCODER, NETWORK, PREDICTIONS
from crosspoint.renderers.arrays import read_arrays
from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.cluster import opened_cluster
from crosspoint.renderers.parallel import in_processes, processes

log = logging.getLogger("crosspoint")

Failure = dict[str, str | int]
OpenRun = Callable[[TableRow, int], EvaluationRun]  # a row and the number of its seed → one network of a study


@dataclass
class Outcome:
    """Results and failures of a study."""

    results: dict[tuple[str, int], dict[str, Result]] = field(default_factory=dict)  # by row and number of its seed
    failed: list[Failure] = field(default_factory=list)

    def of(self, row: TableRow) -> list[dict[str, Result]]:
        """Results of a row by protocol, one for each seed."""
        return [self.results[row.name, number] for number in range(len(row.checkpoints))]


def run_all(
    protocols: Sequence[Protocol], rows: Sequence[TableRow], open_run: OpenRun, left_out: dict[tuple[str, str], str]
) -> Outcome:
    """Measure everything that no earlier call has measured.

    A protocol that fails is noted with its reason, and tried again by the next call; the others go on. On a cluster,
    each worker measures one network at a time.

    Args:
        protocols: what is measured on each network.
        rows: the networks, with all their seeds.
        open_run: gives one of them.
        left_out: rows and protocols that do not go together.
    """
    numbered = [(row, number) for row in rows for number in range(len(row.checkpoints))]
    outcome = Outcome()
    with _progress() as bar:
        task = bar.add_task("", total=len(numbered) * len(protocols))
        if opened_cluster() is not None:
            work = ((protocols, row, number, open_run, left_out) for row, number in numbered)
            found = in_processes(_measure_there, work, processes(-1))
        else:
            found = (_measure(protocols, row, number, open_run, left_out, bar, task) for row, number in numbered)
        for (row, number), part in zip(numbered, found, strict=True):
            outcome.results |= part.results
            outcome.failed += part.failed
            for failure in part.failed:
                log.warning("%(method)s, seed %(seed)d: no %(protocol)s: %(reason)s", failure)
            if opened_cluster() is not None:
                bar.update(task, advance=len(protocols), description=f"{row.name}, number {number}")
    return outcome


def _measure(
    protocols: Sequence[Protocol],
    row: TableRow,
    number: int,
    open_run: OpenRun,
    left_out: dict[tuple[str, str], str],
    bar: Progress,
    task: TaskID,
) -> Outcome:
    """Results of one network, which is in memory with its features meanwhile."""
    run = open_run(row, number)
    results: dict[str, Result] = {}
    outcome = Outcome({(row.name, number): results})
    for protocol in protocols:
        bar.update(task, description=f"{row.name}, seed {run.seed}: {protocol.name}")
        if (row.name, protocol.name) not in left_out:
            try:
                results[protocol.name] = _result(protocol, run, row.name, bar)
            except (ValueError, OSError) as error:
                reason = " ".join(str(error).split())
                failure: Failure = {"method": row.name, "seed": run.seed, "protocol": protocol.name}
                outcome.failed.append({**failure, "reason": reason})
        bar.advance(task)
    if number == 0 and any(protocol.feature_splits() and protocol.name in results for protocol in protocols):
        with _lent(bar):
            draw_scenery(run, results_dir(run) / SCENERY)
    return outcome


def _measure_there(
    protocols: Sequence[Protocol],
    row: TableRow,
    number: int,
    open_run: OpenRun,
    left_out: dict[tuple[str, str], str],
) -> Outcome:
    """The same on a worker of a cluster, which has no terminal."""
    bar = Progress(disable=True)
    return _measure(protocols, row, number, open_run, left_out, bar, bar.add_task(""))


def results_dir(run: EvaluationRun) -> Path:
    """The folder of a network's results, which every run of a study has."""
    assert run.results_dir is not None
    return run.results_dir


def kept_arrays(run: EvaluationRun, protocol: Protocol) -> dict[str, np.ndarray]:
    """Arrays that a protocol left beside its result; none where it leaves none."""
    path = results_dir(run) / f"{protocol.name}.npz"
    return read_arrays(path, "what a protocol left beside its result") if path.is_file() else {}


def _result(protocol: Protocol, run: EvaluationRun, row: str, bar: Progress) -> Result:
    """From an earlier call, or measured now and kept."""
    path = results_dir(run) / f"{protocol.name}.json"
    if path.is_file():
        return Result.load(path)
    if bar.disable:
        log.info("%s, seed %d: %s", row, run.seed, protocol.name)
    with _lent(bar):  # features have a bar of their own
        for split in protocol.feature_splits():
            run.features(split)
    _clear_unfinished(path.with_suffix(""))
    with nullcontext() if protocol.feature_splits() else _lent(bar):
        result, arrays = measure(protocol, run)
    if arrays:  # first, as the result says that all is there
        with atomic_write(path.with_suffix(".npz")) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
    result.save(path)
    return result


def _clear_unfinished(folder: Path) -> None:
    """Remove the network of a run whose result was never written; unfinished training stays, to go on."""
    for name in (NETWORK, ENCODER, PREDICTIONS):
        (folder / name).unlink(missing_ok=True)


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
