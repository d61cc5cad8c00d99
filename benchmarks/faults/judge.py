"""Verdicts on malformed inputs: how the command ended, and what it left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.compare import contents, finite
from benchmarks.faults.damage import Expect
from benchmarks.faults.forked import GIGABYTE, Ended

MOST_MEMORY = 2 * GIGABYTE  # beyond what the imports take
MOST_SECONDS = 60.0
LONGEST_LINE = 2000  # characters of a message that somebody reads
CANARY = "canary"
ERROR = "crosspoint: error: "

GOOD = ("one line", "listed", "same result", "used")
WRONG = ("traceback", "no clear line", "hang", "peak", "crash", "outside", "code run", "accepted in silence")
VERDICTS = (*GOOD, *WRONG)


@dataclass(frozen=True)
class Verdict:
    """One of VERDICTS, and what there is to say of it."""

    kind: str
    note: str = ""

    @property
    def wrong(self) -> bool:
        """Whether it is a fault of the product."""
        return self.kind in WRONG


def snapshot(case: Path, elsewhere: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each file that a command must leave as it is: all but `out`, `tmp` and its own words."""
    found = {}
    for root in (case, elsewhere):
        for path in root.rglob("*"):
            inside = path.relative_to(root).parts
            if (
                path.is_symlink()
                or not path.is_file()
                or (root == case and (inside[0] in ("out", "tmp") or path.suffix in (".stdout", ".stderr")))
            ):
                continue
            facts = path.stat()
            found[str(path)] = (facts.st_size, facts.st_mtime_ns)
    return found


def verdict(
    ended: Ended, case: Path, changed: list[str], expect: Expect, right: dict[str, str], said: str, damaged: str
) -> Verdict:
    """The verdict.

    Args:
        ended: how the command ended.
        case: its folder.
        changed: files outside the output folder that were written, changed or removed.
        expect: what may be made of the input.
        right: digests of what the undamaged input leaves.
        said: what it says on standard error.
        damaged: name of the damaged file, by which a message may name it.
    """
    if (case / CANARY).exists():
        return Verdict("code run", ended.error[-200:])
    if changed:
        return Verdict("outside", ", ".join(changed)[:200])
    if ended.stopped:
        return Verdict(ended.stopped, f"after {ended.seconds:.0f} s, {ended.peak / GIGABYTE:.1f} GB more")
    if ended.peak > MOST_MEMORY:
        return Verdict("peak", f"{ended.peak / GIGABYTE:.1f} GB more, exit code {ended.code}")
    if ended.code < 0:
        return Verdict("crash", f"signal {-ended.code}")
    if "Traceback (most recent call last)" in ended.error:
        return Verdict("traceback", ended.error.strip().split("\n")[-1][:300])
    if ended.code == 2:
        return _refusal(ended)
    if ended.code == 1 and damaged and damaged in ended.error:  # of several protocols one failed, the others went on
        return Verdict("listed", ended.error.strip().split("\n")[0][:200])
    if ended.code != 0:
        return Verdict("no clear line", f"exit code {ended.code}: {ended.error.strip()[-200:]}")
    return _acceptance(ended, case, expect, right, said, damaged)


def _refusal(ended: Ended) -> Verdict:
    lines = [line for line in ended.error.split("\n") if line.startswith(ERROR)]
    told = ended.error.strip().split("\n")[-1]
    if len(lines) != 1 or told != lines[0]:
        return Verdict("no clear line", f"{len(lines)} lines of error, the last: {told[:200]}")
    if len(told) > LONGEST_LINE:
        return Verdict("no clear line", f"a line of {len(told):,} characters")
    return Verdict("one line", told[len(ERROR) :])


def _acceptance(ended: Ended, case: Path, expect: Expect, right: dict[str, str], said: str, damaged: str) -> Verdict:
    listed = [
        (case / "out" / name).read_text(errors="replace")
        for name in ("failures.jsonl", "not_found.jsonl")
        if (case / "out" / name).is_file()
    ]
    if any("bad" in text for text in listed) or (damaged and damaged in ended.error and damaged not in said):
        return Verdict("listed", " ".join(" ".join(listed).split())[:200] or ended.error.strip()[-200:])
    if expect != "refused" and contents(case / "out") == right:
        return Verdict("same result")
    if not finite(case / "out"):
        return Verdict("accepted in silence", "and figures or weights are not finite")
    if expect == "any":
        return Verdict("used")
    return Verdict("accepted in silence", ended.error.strip()[-200:])
