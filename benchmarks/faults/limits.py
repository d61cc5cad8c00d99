"""Full disks, read-only folders, few open files, little address space: met, taken away, and the command repeated."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.faults.compare import contents, differing, drafts
from benchmarks.faults.forked import Ended, Main, address_limit, command
from benchmarks.faults.judge import ERROR
from benchmarks.faults.tasks import TASKS, Bench

SHARE_OF_DISK = 0.5  # of what the whole work takes
OPEN_FILES = 64
ADDRESSES = (64, 256, 1024)  # megabytes beyond what the imports take


def limits(root: Path, names: Sequence[str], main: Main = command) -> list[dict[str, Any]]:
    """One row for each task and limit."""
    rows = []
    for place, name in enumerate(names):
        bench = Bench(root / str(place), TASKS[name], main)
        bench.fresh()
        rows += [_full_disk(bench), _read_only(bench)]
        rows.append(_limited(bench, f"{OPEN_FILES} open files", {resource.RLIMIT_NOFILE: OPEN_FILES}))
        rows += [_limited(bench, f"{more} MB of addresses more", address_limit(more * 2**20)) for more in ADDRESSES]
    return rows


def _limited(bench: Bench, limit: str, values: dict[int, int]) -> dict[str, Any]:
    bench.fresh()
    met = bench.run(limits=values)
    return _row(bench, limit, met, len(drafts(bench.out)), bench.run() if met.code else met)


def _full_disk(bench: Bench) -> dict[str, Any]:
    bench.fresh()
    bench.run()
    sizes = [path.stat().st_size for path in bench.out.rglob("*") if path.is_file()]
    bench.fresh()
    try:
        with mounted(bench.out, f"size={max(64, int(SHARE_OF_DISK * sum(sizes) / 1024))}k"):
            met = bench.run()
            left = len(drafts(bench.out))
            _mount("-o", "remount,size=4g", str(bench.out))
            again = bench.run()
            return _row(bench, "full disk (tmpfs)", met, left, again)
    except PermissionError:
        met = bench.run(limits={resource.RLIMIT_FSIZE: max(sizes) // 2})
        return _row(bench, "full disk (RLIMIT_FSIZE)", met, len(drafts(bench.out)), bench.run())


def _read_only(bench: Bench) -> dict[str, Any]:
    bench.fresh()
    try:
        with mounted(bench.out, "ro"):
            met = bench.run()
    except PermissionError:
        bench.out.mkdir(exist_ok=True)
        bench.out.chmod(0o555)
        met = bench.run()
        bench.out.chmod(0o755)
    left = len(drafts(bench.out))
    bench.fresh()
    return _row(bench, "read-only folder", met, left, bench.run())


def _row(bench: Bench, limit: str, met: Ended, left: int, again: Ended) -> dict[str, Any]:
    wrong = differing(bench.right, contents(bench.out)) if again.code == 0 else [f"exit code {again.code}"]
    lines = met.error.strip().split("\n")
    clear = met.code == 0 or (met.code == 2 and lines[-1].startswith(ERROR) and "Traceback" not in met.error)
    return {
        "command": bench.task.name,
        "limit": limit,
        "exit code": met.code,
        "one clear line": "–" if met.code == 0 else "yes" if clear else "no",
        "drafts left": left,
        "then exact": "yes" if not wrong else ", ".join(wrong)[:60],
        "said": "" if met.code == 0 else lines[-1].removeprefix(ERROR).replace(f"{bench.out.parent}/", "")[:160],
    }


@contextmanager
def mounted(path: Path, options: str) -> Iterator[None]:
    """A tmpfs at a path; PermissionError where this process may not mount."""
    if os.geteuid() != 0:
        raise PermissionError("found no right to mount, expected root's")
    path.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", options, "tmpfs", str(path))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def _mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    if done.returncode:
        raise PermissionError(done.stderr.strip())
