"""The command `crosspoint` in a forked process whose imports are done, and a watch on its time and memory."""

from __future__ import annotations

import importlib
import os
import pkgutil
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults.processes import Process, of_session, own_memory

PACKAGES = ("crosspoint", "crosspoint.renderers", "crosspoint.scene", "crosspoint.eval")
OPTIONAL = ("__main__", "renderers.pytorch3d", "spconv_backend")
LAZY = (
    *("h5py", "safetensors.torch", "trimesh.exchange.load", "PIL.PngImagePlugin", "PIL.JpegImagePlugin", "sklearn.svm"),
    *("sklearn.manifold", "matplotlib.figure", "matplotlib.backends.backend_agg", "torch.utils.data", "tensorboard"),
    *("lightning.pytorch.loggers", "embreex.mesh_construction", "joblib.externals.loky", "docstring_parser", "fsspec"),
)
GIGABYTE = 2**30
ADDRESSES = 12 * GIGABYTE  # that a case may reserve, beyond what its parent has: the machine lives on
POLL = 0.01  # seconds

Main = Callable[[Sequence[str]], int]


def import_everything() -> None:
    """Imports that the commands do while they run, so that forked processes find them done; one thread from here on."""
    import torch

    torch.set_num_threads(1)
    for package in PACKAGES:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not module.name.endswith(OPTIONAL):
                importlib.import_module(module.name)
    for name in LAZY:
        importlib.import_module(name)


def command(words: Sequence[str]) -> int:
    """The real entry point."""
    from crosspoint.cli.main import main

    return main(list(words))


def calling(function: Callable[[Path], None], folder: Path) -> Main:
    """A function of a folder in place of a command: what it imports and starts stays in its own process."""

    def run(_: Sequence[str]) -> int:
        function(folder)
        return 0

    return run


@dataclass
class Ended:
    """How a process ended.

    Args:
        code: its exit code; −n where signal n ended it.
        seconds: how long it ran.
        peak: bytes of memory beyond those of its parent, its own children included.
        out: standard output.
        error: standard error.
        stopped: "hang" or "peak" where the watch ended it.
    """

    code: int
    seconds: float
    peak: int
    out: str
    error: str
    stopped: str = ""


@dataclass
class Forked:
    """A forked process that runs a command in a folder.

    Args:
        words: what would be typed after `crosspoint`.
        folder: where it runs; its output goes to `stdout` and `stderr` there, temporary files to `tmp`.
        main: the command.
        limits: resource limits by their number, such as RLIMIT_NOFILE.
        environment: variables that are added.
        log: name before `.stdout` and `.stderr`.
    """

    words: Sequence[str]
    folder: Path
    main: Main = command
    limits: dict[int, int] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    log: str = "run"

    def __post_init__(self) -> None:
        (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
        sys.stdout.flush()
        sys.stderr.flush()
        _, self._base = own_memory()
        self._began = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            self._child()

    def _child(self) -> None:
        code = 1
        try:
            os.setsid()
            os.chdir(self.folder)
            for number, name in ((1, "stdout"), (2, "stderr")):
                os.dup2(os.open(f"{self.log}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            sys.stdin, sys.stdout, sys.stderr = (
                open(n, mode, closefd=False) for n, mode in ((0, "r"), (1, "w"), (2, "w"))
            )
            os.environ |= {"TMPDIR": str(self.folder / "tmp"), "HOME": str(self.folder), **self.environment}
            for name in (signal.SIGINT, signal.SIGTERM):
                signal.signal(name, signal.default_int_handler if name == signal.SIGINT else signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            for kind, value in self.limits.items():
                resource.setrlimit(kind, (value, value))
            code = self.main(self.words)
        except SystemExit as asked:
            code = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code & 0xFF)

    def wait(self, seconds: float = 600.0, most: int = 64 * GIGABYTE) -> Ended:
        """How it ended; it is killed, with its children, after so many seconds or where it takes so many bytes more."""
        peak, stopped = 0, ""
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, sum(each.resident for each in self.family()) - self._base)
            stopped = "peak" if peak > most else "hang" if time.monotonic() - self._began > seconds else ""
            if stopped:
                self.kill_family()
                _, status, usage = os.wait4(self.pid, 0)
                break
            time.sleep(POLL)
        peak = max(peak, 1024 * usage.ru_maxrss - self._base, 0)
        out, error = ((self.folder / f"{self.log}.{name}").read_text(errors="replace") for name in ("stdout", "stderr"))
        return Ended(os.waitstatus_to_exitcode(status), time.monotonic() - self._began, peak, out, error, stopped)

    def family(self) -> list[Process]:
        """The processes of its session that are alive; those that outlive it, too."""
        return of_session(self.pid)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal; none where it has ended."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    def kill_family(self) -> None:
        """Kill it and all that it started."""
        for process in self.family():
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def orphans(self, seconds: float = 10.0) -> int:
        """How many of the processes that it started live on after so many seconds; they are killed then."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.family():
            time.sleep(10 * POLL)
        left = len(self.family())
        self.kill_family()
        return left


def address_limit(more: int = ADDRESSES) -> dict[int, int]:
    """A limit of the address space: what this process has, and so many bytes more."""
    return {resource.RLIMIT_AS: own_memory()[0] + more}
