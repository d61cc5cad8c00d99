"""Clusters that work is handed to: which one, how it is reached, and what is asked of its workers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

SECONDS = 10  # that a scheduler, and then its workers, have to answer
LEAST = 2  # workers: joblib does the work of a single one in the process that asks
DISTRIBUTION = "crosspoint3d"


@dataclass(frozen=True)
class ClusterConfig:
    """Where work over many items is done.

    Args:
        cluster: loky (processes of this machine), dask or ray (workers of a cluster); results are the same bytes
        address: HOST:PORT of the cluster, its scheduler file (dask), or auto for the one of this machine (ray)
        batch: number of items that a worker gets at once; by default as many as take about a second
    """

    cluster: Literal["loky", "dask", "ray"] = "loky"
    address: str | None = None
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.batch is not None and self.batch < 1:
            raise ValueError(f"found batch {self.batch}, expected 1 or more items, or none for joblib's choice")
        if self.cluster == "loky" and self.address is not None:
            raise ValueError(
                f"found --address {self.address} without a cluster, expected --cluster dask or --cluster ray with it"
            )
        if self.cluster != "loky" and self.address is None:
            raise ValueError(
                f"found --cluster {self.cluster} without an address, expected where it is: give --address HOST:PORT"
            )


class Opened(NamedTuple):
    """A cluster that answers."""

    name: str  # joblib's, of its backend
    workers: int
    batch: int | None


_opened: ContextVar[Opened | None] = ContextVar("opened", default=None)


def opened_cluster() -> Opened | None:
    """The cluster that `on_cluster` has opened; None where work stays on this machine."""
    found = _opened.get()
    return None if found is None or found.name == "loky" else found


def batch_size() -> int | Literal["auto"]:
    """How many items go to a worker at once, as joblib takes it."""
    found = _opened.get()
    return "auto" if found is None or found.batch is None else found.batch


@contextmanager
def on_cluster(config: ClusterConfig) -> Iterator[None]:
    """Do within the block all that goes through `in_processes` as `config` says.

    Args:
        config: which cluster, and where.

    Raises:
        ImportError: if the cluster's package is not installed.
        ConnectionError: if nobody answers at the address.
        ValueError: if the workers cannot be used.
    """
    with ExitStack() as stack:
        workers = 0
        if config.cluster != "loky":
            logging.getLogger("distributed").setLevel(logging.ERROR)  # its errors reach us as exceptions
            workers = (_dask if config.cluster == "dask" else _ray)(str(config.address), stack)
        token = _opened.set(Opened(config.cluster, workers, config.batch))
        stack.callback(_opened.reset, token)
        yield


def _package(name: str, module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"found no package {name} for --cluster {'dask' if name == 'distributed' else name}, expected it: "
            f"pip install {name}"
        ) from error


def _dask(address: str, stack: ExitStack) -> int:
    """Connect, and look at the workers; returns how many they are."""
    distributed = _package("distributed", "distributed")
    where = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    if address.endswith(".json") and "address" in where:
        raise ConnectionError(f"found no scheduler file {address}, expected one: start dask scheduler with it")
    try:
        client = stack.enter_context(distributed.Client(**where, timeout=SECONDS))
    except (OSError, ValueError, TimeoutError) as error:  # a ValueError of an address that is none
        raise ConnectionError(
            f"found no Dask scheduler at {address} within {SECONDS} s, expected one: start dask scheduler, and check "
            "--address"
        ) from error
    try:
        client.wait_for_workers(LEAST, timeout=SECONDS)
    except TimeoutError as error:
        count = len(client.nthreads())
        raise ConnectionError(
            f"found {count} workers at the Dask scheduler {address} within {SECONDS} s, expected {LEAST} or more: "
            "start dask worker with --nworkers"
        ) from error
    threads = client.nthreads()
    if max(threads.values()) > 1:
        raise ValueError(
            f"found Dask workers of {max(threads.values())} threads, expected one thread each: start dask worker with "
            "--nthreads 1 and --nworkers for more"
        )
    try:
        versions = client.run(version, DISTRIBUTION)
    except Exception as error:  # whatever a worker says
        raise ValueError(
            f"found Dask workers that cannot tell their version of {DISTRIBUTION} ({type(error).__name__}: {error}), "
            "expected the package there: install it for the workers"
        ) from error
    here = version(DISTRIBUTION)
    other = sorted({*versions.values()} - {here})
    if other:
        raise ValueError(f"found {DISTRIBUTION} {other[0]} on a Dask worker, expected {here} as here: install it there")
    return len(threads)


def _ray(address: str, stack: ExitStack) -> int:
    """Connect; returns how many processors the cluster has."""
    ray = _package("ray", "ray")
    _package("ray", "ray.util.joblib").register_ray()
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConnectionError(
            f"found no Ray cluster at {address}, expected one: start ray start --head, and check --address"
        ) from error
    stack.callback(ray.shutdown)
    count = int(ray.cluster_resources().get("CPU", 0))
    if count < LEAST:
        raise ConnectionError(
            f"found {count} processors in the Ray cluster {address}, expected {LEAST} or more: start others"
        )
    return count
