"""Work in several processes, by joblib: they end with the process that began them, and one that dies is named.

On a cluster that `on_cluster` has opened, its workers do the work. They must see the same files under the same paths.
"""

from __future__ import annotations

import os
import pickle
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from multiprocessing import current_process
from pathlib import Path
from typing import Any

import joblib
from joblib.externals.loky.backend.reduction import dumps
from joblib.externals.loky.process_executor import TerminatedWorkerError

from crosspoint.renderers.cluster import Opened, batch_size, opened_cluster

SECONDS = 1.0  # between two looks of a worker at its parent
LIST = 16  # batches for each worker that a backend without generators gets at a time
_watching: list[int] = []  # the parent that this process ends with
_working = threading.Lock()  # one work at a time in a process: torch's threads and seeds are the process's


def in_processes(
    work: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], jobs: int, *, ordered: bool = True
) -> Iterator[Any]:
    """`work(*each)` for each of `arguments`, in so many processes, as joblib's chosen backend has them.

    Args:
        work: a function that joblib can hand to a process.
        arguments: of each call.
        jobs: processes, -1 for one per core; with 1 all is done in this one. A cluster has as many as it has.
        ordered: yield in the order of the arguments; otherwise as they are done.

    Yields:
        What the calls return.

    Raises:
        ChildProcessError: if a process died; on a Dask cluster, if the same work ended several of them.
    """
    cluster = opened_cluster()
    if cluster is not None:
        yield from _on_cluster(cluster, work, arguments, ordered)
        return
    return_as = "generator" if ordered else "generator_unordered"
    parallel = joblib.Parallel(n_jobs=jobs, return_as=return_as, pre_dispatch="2 * n_jobs", batch_size=batch_size())
    parent = os.getpid()
    try:
        yield from parallel(joblib.delayed(_call)(parent, work, each) for each in arguments)
    except TerminatedWorkerError as error:
        raise ChildProcessError(
            "found that a worker process died, perhaps of too little memory, expected all to live: give fewer --jobs; "
            "what was finished is kept, and the same command goes on"
        ) from error


def processes(jobs: int, device: str = "cpu") -> int:
    """How many processes work at a time: those of the cluster, or of this machine.

    Args:
        jobs: as `in_processes` takes them.
        device: a GPU has one process.

    Raises:
        ValueError: if there is a cluster, and the device is a GPU.
    """
    cluster = opened_cluster()
    if cluster is not None:
        if device != "cpu":
            raise ValueError(
                f"found --cluster {cluster.name} with the device {device}, expected the CPU: give --device cpu, or no "
                "cluster"
            )
        return cluster.workers
    return 1 if device != "cpu" else int(joblib.effective_n_jobs(jobs))


def _on_cluster(
    cluster: Opened, work: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], ordered: bool
) -> Iterator[Any]:
    folder = os.getcwd()
    calls = (joblib.delayed(_call_there)(folder, bytes(dumps((work, each)))) for each in arguments)
    return_as = "generator" if ordered else "generator_unordered"
    if cluster.name == "ray":  # whose backend has no generators
        return_as = "list"
    backend: Any = cluster.name
    if cluster.name == "dask":
        from crosspoint.renderers.dask_backend import DaskBackend  # imports Dask, which few have

        backend = DaskBackend()
    with joblib.parallel_config(backend=backend):
        parallel = joblib.Parallel(n_jobs=-1, return_as=return_as, batch_size=batch_size())
    try:
        if return_as != "list":
            yield from parallel(calls)
            return
        with parallel:  # one pool for all lists
            while some := list(islice(calls, LIST * cluster.workers * (cluster.batch or 1))):
                yield from parallel(some)
    except Exception as error:
        if type(error).__name__ not in ("KilledWorker", "RayActorError", "ActorDiedError", "WorkerCrashedError"):
            raise
        # Ray's backend gives the work of a dead worker to no other one.
        ended = "a worker of ray died" if cluster.name == "ray" else "the same work ended several workers of dask"
        raise ChildProcessError(
            f"found that {ended}, perhaps of too little memory, expected all to live: give them more; what was "
            "finished is kept, and the same command goes on"
        ) from error


def _call_there(folder: str, pickled: bytes) -> Any:
    """On a worker of a cluster: work in the folder of the command, whose modules are found as they are there."""
    with _working, joblib.parallel_config(backend="sequential"):
        if not Path(folder).is_dir():
            raise FileNotFoundError(
                f"found no folder {folder} on the worker {platform.node()}, expected the file system of the "
                "command: share it"
            )
        os.chdir(folder)
        if folder not in sys.path:
            sys.path.append(folder)
        work, arguments = pickle.loads(pickled)
        return work(*arguments)


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
