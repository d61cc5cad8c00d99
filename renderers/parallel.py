"""Work in several processes, by joblib: they end with the process that began them, and one that dies is named."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import current_process
from typing import Any

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

SECONDS = 1.0  # between two looks of a worker at its parent
_watching: list[int] = []  # the parent that this process ends with


def in_processes(
    work: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], jobs: int, *, ordered: bool = True
) -> Iterator[Any]:
    """`work(*each)` for each of `arguments`, in so many processes, as joblib's chosen backend has them.

    Args:
        work: a function that joblib can hand to a process.
        arguments: of each call.
        jobs: processes, -1 for one per core; with 1 all is done in this one.
        ordered: yield in the order of the arguments; otherwise as they are done.

    Yields:
        What the calls return.

    Raises:
        ChildProcessError: if a process died.
    """
    return_as = "generator" if ordered else "generator_unordered"
    parallel = joblib.Parallel(n_jobs=jobs, return_as=return_as, pre_dispatch="2 * n_jobs")
    parent = os.getpid()
    try:
        yield from parallel(joblib.delayed(_call)(parent, work, each) for each in arguments)
    except TerminatedWorkerError as error:
        raise ChildProcessError(
            "found that a worker process died, perhaps of too little memory, expected all to live: give fewer --jobs; "
            "what was finished is kept, and the same command goes on"
        ) from error


def _call(parent: int, work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    if current_process().name.startswith("LokyProcess"):  # joblib's own; those of a cluster live elsewhere
        _end_with(parent)
    return work(*arguments)


def _end_with(parent: int) -> None:
    """End this worker once its parent has: a killed one cannot tell it, and it would wait for work for minutes."""
    if os.getppid() != parent:  # which ended while this process began
        os._exit(1)
    if parent not in _watching:
        _watching.append(parent)
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS)
    os._exit(1)
