"""Work in several processes: its results, a process that dies, and processes whose parent dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import pytest

from crosspoint.renderers.parallel import in_processes

ORPHANS = """
import os, sys, time
from pathlib import Path
from crosspoint.renderers.parallel import in_processes
def work(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(120)
list(in_processes(work, [(sys.argv[1],)] * 8, 2))
"""


def square(number: int) -> int:
    return number * number


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_the_order_of_the_arguments_or_in_any(jobs: int) -> None:
    work = [(number,) for number in range(20)]
    with joblib.parallel_config(backend="threading"):  # processes would import torch for seconds
        assert list(in_processes(square, work, jobs)) == [number**2 for number in range(20)]
        assert sorted(in_processes(square, work, jobs, ordered=False)) == [number**2 for number in range(20)]


@pytest.mark.slow
def test_a_process_that_dies_is_named() -> None:
    with pytest.raises(ChildProcessError, match=r"found that a worker process died, .*: give fewer --jobs"):
        list(in_processes(die, [(number,) for number in range(4)], 2))


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_the_one_that_began_them(how: signal.Signals, tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", ORPHANS, str(tmp_path)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert len(workers) == 2 and all(map(alive, workers))
    parent.send_signal(how)
    parent.wait()
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, workers))
    assert len(list(tmp_path.iterdir())) == 2  # and nobody began anything else
