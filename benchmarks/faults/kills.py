"""Processes ended at random moments by kill -9, SIGTERM and SIGINT, started again, and compared with whole runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.faults.compare import contents, differing, drafts, half_written
from benchmarks.faults.forked import Main, command
from benchmarks.faults.tasks import TASKS, Bench

TRIES = 5  # draws of a moment, of which some may come after the end


def kills(
    root: Path, counts: dict[str, int], seed: int = 0, number: int = signal.SIGKILL, main: Main = command
) -> list[dict[str, Any]]:
    """One row for each task: how often it was ended, and what was right afterwards.

    Args:
        root: new folder.
        counts: how often, by the name of the task.
        seed: of the moments.
        number: of the signal.
        main: the command.
    """
    rows = []
    for place, (name, count) in enumerate(counts.items()):
        bench = Bench(root / str(place), TASKS[name], main)
        found = [_kill(bench, Random(f"{seed}/{name}/{each}"), number, at_write=each == 1) for each in range(count)]
        met = [each for each in found if each is not None]
        rows.append(
            {
                "command": name,
                "signal": signal.Signals(number).name,
                "ended at work": len(met),
                "resumed exactly": sum(not each["differing"] for each in met),
                "drafts left": sum(each["drafts"] for each in met),
                "orphans after 10 s": sum(each["orphans"] for each in met),
                "exit codes": ", ".join(sorted({str(each["code"]) for each in met})),
                "without one clear line": sum(not each["one line"] for each in met),
                "notes": "; ".join(sorted({each["note"] for each in met if each["note"]}))[:300],
            }
        )
    return rows


def _kill(bench: Bench, random: Random, number: int, at_write: bool) -> dict[str, Any] | None:
    """One end and one new start; None where the process was always through before."""
    for attempt in range(TRIES):
        bench.fresh()
        process = bench.start()
        moment = time.monotonic() + bench.seconds * random.random() * 0.9**attempt
        while time.monotonic() < moment or (at_write and not half_written(bench.out)):
            if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            time.sleep(0.0005)
        process.kill(number)
        ended = process.wait(60)
        orphans = process.orphans()
        if ended.code == 0:
            continue
        after = bench.run()
        wrong = differing(bench.right, contents(bench.out)) if after.code == 0 else ["exit code"]
        note = (
            ""
            if not wrong
            else f"{', '.join(wrong[:3])}: {after.error.strip().splitlines()[-1][:120] if after.error.strip() else ''}"
        )
        last = ended.error.strip().split("\n")[-1]
        silent = number != signal.SIGINT and "Traceback" not in ended.error
        return {
            "code": ended.code,
            "orphans": orphans,
            "drafts": len(drafts(bench.out)),
            "differing": wrong,
            "note": note,
            "one line": silent or ("Traceback" not in ended.error and last.startswith("crosspoint: ")),
        }
    return None


def while_importing(
    root: Path, words: Sequence[str] = ("pretrain", "in/run.yaml"), count: int = 6, seed: int = 0
) -> list[dict[str, Any]]:
    """SIGINT and SIGTERM in the first seconds of a real process, while it imports: exit codes and lines."""
    rows = []
    root.mkdir(parents=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        codes, lines, tracebacks = [], [], 0
        for each in range(count):
            process = subprocess.Popen(
                [sys.executable, "-m", "crosspoint.cli", *words],
                cwd=root,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            time.sleep(Random(f"{seed}/{number}/{each}").uniform(0.3, 3.0))
            process.send_signal(number)
            _, error = process.communicate(timeout=60)
            codes.append(process.returncode)
            lines.append(len(error.strip().splitlines()))
            tracebacks += "Traceback" in error
        rows.append(
            {
                "signal": number.name,
                "while it imports": count,
                "exit codes": ", ".join(map(str, sorted({*codes}))),
                "most lines": max(lines),
                "tracebacks": tracebacks,
            }
        )
    return rows
