"""Measurement for every benchmark: contenders in turn, medians, peak memory, a table and a JSON file.

Machines are noisy. Contenders therefore run in the order A B A B …; the figure to trust is the ratio of their medians.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from crosspoint.installation import processor

RESULTS = Path(__file__).parent / "results"


def options(description: str) -> argparse.ArgumentParser:
    """The flags that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds, to see that it runs")
    parser.add_argument("--rounds", type=int, default=None, help="how often each contender runs (default 5, quick 2)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON file")
    return parser


def rounds(args: argparse.Namespace) -> int:
    """How often each contender runs."""
    return args.rounds or (2 if args.quick else 5)


def medians(
    contenders: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Seconds of each contender: one run to warm up, then the median of `repeats`, all taking turns.

    The clock may be `time.process_time` for what runs in one thread: work beside it then counts less.
    """
    for run in contenders.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            gc.collect()
            _synchronize()
            start = clock()
            run()
            _synchronize()
            seconds[name].append(clock() - start)
    return {name: statistics.median(each) for name, each in seconds.items()}


def peak_memory(run: Callable[[], object], device: str = "cpu") -> int:
    """Bytes by which the memory of this process grew at most during one run, after a run to warm up.

    On a CPU that is the resident set, reset before the run (Linux only); on a GPU what torch has allocated. A run on
    the CPU of a machine with a GPU is one on the CPU, so the device is said.

    Raises:
        OSError: where the kernel does not keep or reset the peak.
    """
    run()
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed goes back, or it would hide what comes
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    run()
    return resident("VmHWM") - before


def machine(device: str) -> dict[str, Any]:
    """What the figures depend on; the GPU where one was measured."""
    found = {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if device.startswith("cuda"):
        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def report(name: str, rows: Sequence[Mapping[str, Any]], args: argparse.Namespace) -> None:
    """Print the rows as a table and write them, with the machine, to `<out>/<name>.json`."""
    table = Table(title=name)
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=160).print(table)
    args.out.mkdir(parents=True, exist_ok=True)
    record = {"benchmark": name, "quick": args.quick, "machine": machine(args.device), "rows": list(rows)}
    (args.out / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def resident(field: str) -> int:
    """Bytes of this process that the kernel names: VmRSS of now, VmHWM at most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"found no {field} in /proc/self/status")


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
