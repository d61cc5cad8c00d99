"""Everything that needs a GPU, in under eight minutes, with one table at the end: `python -m tools.gpu_checks`.

The tests that are marked `gpu`, then the benchmarks with `--device cuda`, each in a process of its own that is stopped
at its limit. Logs, the benchmarks' JSON files and the table lie in benchmarks/results/gpu/. `--device cpu` runs small
sizes on the CPU, to see that the script works, no more.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.__main__ import table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "gpu"
LIMIT = 475  # seconds for everything, a little below eight minutes
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Step:
    """One process, the seconds that it may take, and which figures of it go into the table."""

    name: str
    seconds: int
    flags: tuple[str, ...] = ()
    figure: Callable[[Rows], str] = lambda rows: ""


def best_of_gpu(rows: Rows) -> str:
    """The fastest way to train, against the formula in float32."""
    row = max(rows, key=lambda row: row["clouds_per_second"])
    ways = f"{row['path']}, {row['precision']}, {row['encoder']}"
    return f"{row['clouds_per_second']:.0f} clouds/s ({ways}), {row['faster']:.1f} × the formula"


def against_formula(rows: Rows) -> str:
    """The last, largest size that the formula was run at."""
    row = [row for row in rows if row["path"] == "formula"][-1]
    return f"{row['ours_faster']:.1f} × as fast as the formula, 1/{row['ours_smaller']:.1f} of its memory"


def last_network(rows: Rows) -> str:
    """A step of the small MinkUNet, which is the last row."""
    row = rows[-1]
    beside = f", {row['ours_faster']:.2f} × spconv" if isinstance(row["ours_faster"], float) else ", no spconv here"
    return f"{1000 * row['seconds']:.0f} ms a MinkUNet step{beside}"


def views(rows: Rows) -> str:
    """The whole way from mesh to shard, on the CPU."""
    return f"{max(row['views_per_second'] for row in rows):.0f} views/s from meshes to shards, on the CPU"


TESTS = "tests marked gpu"
STEPS = (
    Step(TESTS, 235),
    Step("gpu", 105, ("--sizes", "1", "--rounds", "3"), best_of_gpu),
    Step("edgeconv", 30, (), against_formula),
    Step("losses", 45, (), against_formula),
    Step("sparse", 20, (), last_network),
    Step("rendering", 40, ("--each", "2"), views),
)


def command(step: Step, device: str, out: Path) -> list[str]:
    """What a step runs. Warnings are no errors, as the node's versions are its own."""
    if step.name == TESTS:
        # Only the files that have such tests: others may need packages that a node lacks.
        files = [str(path) for path in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.gpu" in path.read_text()]
        return [sys.executable, "-m", "pytest", "-m", "gpu", "-W", "default", *files]
    flags = step.flags if device.startswith("cuda") else ("--quick",)
    return [sys.executable, "-m", f"benchmarks.{step.name}", "--device", device, "--out", str(out), *flags]


def run(arguments: Sequence[str], seconds: float, log: Path) -> tuple[str, float]:
    """Run a process and all that it starts, at most so long; returns how it ended and the seconds it took."""
    start = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(arguments, cwd=ROOT, stdout=file, stderr=file, start_new_session=True)
        try:
            code = process.wait(timeout=seconds)
            ended = "passed" if code == 0 else f"failed, exit code {code}: see {log.name}"
        except subprocess.TimeoutExpired:
            ended = f"stopped at its limit of {seconds:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return ended, time.monotonic() - start


def figure(step: Step, out: Path, log: Path) -> str:
    """What the table says of a step: pytest's last word, or a figure of what the benchmark has written so far."""
    if step.name == TESTS:
        lines = [line.strip("= ") for line in log.read_text(encoding="utf-8").splitlines()]
        return next((line for line in reversed(lines) if line.endswith("s") and " in " in line), "–")
    path = out / f"{step.name}.json"
    return step.figure(json.loads(path.read_text())["rows"]) if path.exists() else "–"


def main() -> None:
    """Run all steps, then print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to see that this works")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of logs, figures and the table")
    args = parser.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("found no CUDA device, expected one: --device cpu shows that this runs, no more")
    args.out.mkdir(parents=True, exist_ok=True)
    for old in args.out.glob("*.json"):
        old.unlink()  # or the table would show an earlier run's figures
    end, rows = time.monotonic() + LIMIT, []
    for step in STEPS:
        log = args.out / f"{step.name.split()[0]}.log"
        left = max(0.0, end - time.monotonic())
        ended, seconds = run(command(step, args.device, args.out), min(step.seconds, left), log)
        rows.append({"step": step.name, "ended": ended, "seconds": seconds, "figure": figure(step, args.out, log)})
        print(f"{step.name}: {ended} ({seconds:.0f} s)", flush=True)
    device = torch.cuda.get_device_name() if args.device.startswith("cuda") else "CPU, small sizes"
    page = "\n".join([f"{device}, torch {torch.__version__}\n", *table(rows)])
    (args.out / "summary.md").write_text(page + "\n")
    print(f"\n{page}")
    sys.exit(any(row["ended"] != "passed" for row in rows))


if __name__ == "__main__":
    main()
