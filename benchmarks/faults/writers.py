"""Two processes that write into one folder, and a worker that dies under its command."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.faults.compare import contents, differing, drafts
from benchmarks.faults.forked import Ended, Forked, Main, command
from benchmarks.faults.judge import ERROR
from benchmarks.faults.tasks import TASKS, Bench

IMPORTS = 2.0  # seconds of the processor after which a worker of joblib is at work, or nearly so
PAUSE = 0.3  # seconds between the starts of the second pair: two that start at once may do the same


def errors(ended: Ended) -> list[str]:
    """The lines in which it said what was wrong; other processes, such as joblib's trackers, may say more."""
    return [line.removeprefix(ERROR) for line in ended.error.split("\n") if line.startswith(ERROR)]


def clear(ended: Ended) -> bool:
    """Whether it went well, or said in one line why not."""
    return ended.code == 0 or (ended.code == 2 and len(errors(ended)) == 1 and "Traceback" not in ended.error)


def writers(root: Path, names: Sequence[str], main: Main = command) -> list[dict[str, Any]]:
    """One row for each task: two at once, and one after the other has begun."""
    rows = []
    for place, name in enumerate(names):
        bench = Bench(root / str(place), TASKS[name], main)
        for pause in (0.0, min(PAUSE, bench.seconds / 3)):
            bench.fresh()
            first = bench.start(log="first")
            time.sleep(pause)
            second = bench.start(log="second")
            ended = [first.wait(), second.wait()]
            wrong = differing(bench.right, contents(bench.out))
            codes = sorted(each.code for each in ended)
            said = [line[:160] for each in ended for line in errors(each)]
            rows.append(
                {
                    "command": name,
                    "seconds between": round(pause, 1),
                    "exit codes": ", ".join(map(str, codes)),
                    "right": "yes" if 0 in codes and all(map(clear, ended)) and not wrong else "no",
                    "files that differ": ", ".join(wrong)[:60],
                    "drafts left": len(drafts(bench.out)),
                    "said": "; ".join(said),
                }
            )
    return rows


def dead_workers(root: Path, names: Sequence[str], main: Main = command) -> list[dict[str, Any]]:
    """One row for each task: a worker is killed while it works."""
    rows = []
    for place, name in enumerate(names):
        bench = Bench(root / str(place), TASKS[name], main)
        bench.fresh()
        process = bench.start()
        killed = _kill_worker(process)
        ended = process.wait(120)
        orphans = process.orphans()
        again = bench.run()
        wrong = differing(bench.right, contents(bench.out)) if again.code == 0 else [f"exit code {again.code}"]
        rows.append(
            {
                "command": name,
                "worker killed": "yes" if killed else "none found",
                "exit code": ended.code,
                "one clear line": "yes" if clear(ended) else "no",
                "hang": "yes" if ended.stopped else "no",
                "orphans after 10 s": orphans,
                "drafts left": len(drafts(bench.out)),
                "then exact": "yes" if not wrong else ", ".join(wrong)[:60],
                "said": "; ".join(errors(ended))[:160],
            }
        )
    return rows


def _kill_worker(process: Forked) -> bool:
    """Kill a worker of joblib once it computes, or a loader of a training."""
    while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        for other in process.family():
            words = other.words()
            loader = other.parent == process.pid and "loky" not in words
            computes = "loky" in words and other.seconds > IMPORTS
            if other.pid != process.pid and "tracker" not in words and (loader or computes):
                os.kill(other.pid, signal.SIGKILL)
                return True
        time.sleep(0.02)
    return False
