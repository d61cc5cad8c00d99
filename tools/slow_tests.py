"""Names the slow tests: `OMP_NUM_THREADS=1 python -m pytest --durations=0 | python -m tools.slow_tests`.

What it prints belongs into tests/slow.txt. tests/conftest.py marks what is listed there as `slow`, and `make test-fast`
leaves it out. A file stands for all its tests: where one test has waited long for a fixture, the next would.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable

LONG = 0.5  # seconds of a test with all its parameters, on one thread
LONG_SETUP = 2.0  # seconds of a fixture
LINE = re.compile(r"(?P<seconds>[\d.]+)s (?P<phase>call|setup|teardown)\s+(?P<file>[^\s:]+)::(?P<test>\w+)")


def slow(lines: Iterable[str]) -> list[str]:
    """From pytest's list of durations: files, and `file::test` of other files."""
    seconds: dict[str, float] = defaultdict(float)
    files = set()
    for found in filter(None, map(LINE.match, lines)):
        seconds[f"{found['file']}::{found['test']}"] += float(found["seconds"])
        if found["phase"] != "call" and float(found["seconds"]) > LONG_SETUP:
            files.add(found["file"])
    tests = [name for name, total in seconds.items() if total > LONG and name.split("::")[0] not in files]
    return sorted([*files, *tests])


def main() -> None:
    """Read durations, print names."""
    print("\n".join(slow(sys.stdin)))


if __name__ == "__main__":
    main()
