"""Two gloo processes that train together, of which one is killed; then both start again."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.faults.compare import contents, differing, drafts
from benchmarks.faults.forked import Forked, Main, calling, command
from benchmarks.faults.judge import ERROR
from benchmarks.faults.tasks import TASKS, Task

WHOLE = 120.0  # seconds for a run without a fault
PATIENCE = 60.0  # seconds in which the other process has to notice
FLAGS = " --compute.devices 2 --training.batch_size 1"
OBJECTS = FLAGS.replace("batch_size 1", "batch_size 2") + " --probe.holdout 0"


def _ranked(main: Main) -> Main:
    """The command in a process that knows its rank, which Lightning otherwise reads when it is imported."""

    def run(words: Sequence[str]) -> int:
        from lightning.fabric.utilities.rank_zero import rank_zero_only as fabric
        from lightning.pytorch.utilities import rank_zero_only as trainer

        fabric.rank = trainer.rank = int(os.environ["RANK"])  # type: ignore[attr-defined]
        return main(words)

    return run


def _start(case: Path, words: list[str], main: Main) -> list[Forked]:
    """Both processes, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "0",
        "TORCHELASTIC_RUN_ID": "faults",
    }
    return [
        Forked(
            words,
            case,
            _ranked(main),
            environment=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            log=f"rank{rank}",
        )
        for rank in range(2)
    ]


def ranks(root: Path, kinds: tuple[str, ...] = ("objects", "scenes"), main: Main = command) -> list[dict[str, Any]]:
    """One row for each kind of run and each process that is killed."""
    rows = []
    for kind in kinds:
        task: Task = TASKS[f"pretrain, {kind}"]
        case = (root / kind / "case").resolve()
        (case / "in").mkdir(parents=True)
        made = Forked([], case, calling(task.make, case / "in"), log="make").wait()
        words = (task.words + (OBJECTS if kind == "objects" else FLAGS)).split()
        began = time.monotonic()
        whole = [each.wait(WHOLE) for each in _start(case, words, main)]
        seconds, right = time.monotonic() - began, contents(case / "out")
        if made.code or any(each.code for each in whole):
            raise RuntimeError(
                f"found that two processes end with {[each.code for each in whole]}: {whole[0].error[-500:]}"
            )
        for rank in (1, 0):
            (case / "out").rename(case / f"right{rank}")
            pair = _start(case, words, main)
            time.sleep(0.6 * seconds)
            pair[rank].kill()
            killed, began = pair[rank].wait(), time.monotonic()
            other = pair[1 - rank].wait(PATIENCE + seconds)
            noticed = time.monotonic() - began
            again = [each.wait(WHOLE) for each in _start(case, words, main)]
            wrong = differing(right, contents(case / "out")) if not any(each.code for each in again) else ["exit code"]
            last = other.error.strip().split("\n")[-1]
            rows.append(
                {
                    "run": kind,
                    "killed": f"process {rank} ({killed.code})",
                    "the other ends after": f"{noticed:.1f} s",
                    "exit code": other.code,
                    "one clear line": "yes"
                    if "Traceback" not in other.error and last.startswith(ERROR)
                    else f"no, {len(other.error.splitlines())} lines",
                    "hang": "yes" if other.stopped else "no",
                    "drafts left": len(drafts(case / "out")),
                    "then exact": "yes" if not wrong else ", ".join(wrong)[:60],
                    "said": last.removeprefix(ERROR)[:160],
                }
            )
    return rows
