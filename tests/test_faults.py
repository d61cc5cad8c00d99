"""Faults on purpose, the short version: what `python -m benchmarks faults` counts is zero, and it can count."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.faults import fuzz, judge, page
from benchmarks.faults.compare import contents, differing, drafts
from benchmarks.faults.damage import text
from benchmarks.faults.family import Family
from benchmarks.faults.forked import Forked
from benchmarks.faults.kills import kills
from benchmarks.faults.processes import of_session
from benchmarks.faults.tasks import TASKS, Task

ROOT = Path(__file__).parents[1]
QUICK = ["mesh-off", "mesh-glb", "knn", "ckpt", "folds", "flags-render"]  # each case takes a third of a second


def broken(words: Sequence[str]) -> int:
    """A command that does to its input what the input says."""
    asked = Path("in/a.txt").read_text().split()
    Path("out").mkdir(exist_ok=True)
    Path("out/result.json").write_text("1" if asked == ["fine"] else f'"{asked}"')
    match asked[0]:
        case "traceback":
            raise KeyError("shards")
        case "hang":
            time.sleep(60)
        case "peak":
            held = bytearray(200 * 2**20)
            time.sleep(0.1 + 0 * len(held))
        case "crash":
            os.kill(os.getpid(), signal.SIGXCPU)
        case "outside":
            Path("in/a.txt").write_text("changed")
        case "code":
            Path("canary").touch()
        case "long":
            sys.stderr.write(f"crosspoint: error: {'lol ' * 10_000}\n")
            return 2
        case "two":
            sys.stderr.write("crosspoint: error: one\ncrosspoint: error: two\n")
            return 2
        case "refused":
            sys.stderr.write("crosspoint: error: found this, expected that\n")
            return 2
        case "listed":
            Path("out/failures.jsonl").write_text('{"path": "bad.txt"}')
        case "infinite":
            Path("out/result.json").write_text('{"loss": NaN}')
        case "same":
            Path("out/result.json").write_text("1")
    return 0


EXPECTED = {
    **{name: name for name in ("traceback", "hang", "peak", "crash", "outside", "listed")},
    **{"code": "code run", "long": "no clear line", "two": "no clear line", "refused": "one line"},
    **{"other": "accepted in silence", "same": "same result"},
}
TEXTS = Family("texts", "texts", lambda folder: _write(folder / "a.txt"), "go", ("in/a.txt",))


def _write(path: Path) -> None:
    path.write_text("fine")


def test_every_fault_of_a_broken_command_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "MOST_SECONDS", 3.0)
    monkeypatch.setattr(fuzz, "MOST_MEMORY", 200 * 2**20)  # ended at twice that
    monkeypatch.setattr(judge, "MOST_MEMORY", 100 * 2**20)
    workshop = fuzz.Workshop(tmp_path / "work", main=broken)
    workshop.prepare(TEXTS)
    found = []
    for word in EXPECTED:
        workshop._fresh(TEXTS)
        case = fuzz.Case(0, TEXTS, text("in/a.txt", word, "same"), ["go"])
        found.append((case, workshop.run(case)))
    assert {word: judged.kind for word, (_, judged) in zip(EXPECTED, found, strict=True)} == EXPECTED
    for word, expect, kind in (
        ("other", "any", "used"),
        ("infinite", "any", "accepted in silence"),
        ("same", "refused", "accepted in silence"),
    ):
        workshop._fresh(TEXTS)
        assert workshop.run(fuzz.Case(0, TEXTS, text("in/a.txt", word, expect), ["go"])).kind == kind
    total = fuzz.rows(found)[-1]
    assert total["cases"] == len(EXPECTED) == sum(total[kind] for kind in judge.VERDICTS)
    assert all(total[kind] >= 1 for kind in judge.WRONG)


def forgetful(words: Sequence[str]) -> int:
    """A command that writes where it should draft, leaves a process behind, and takes half a file for a whole one."""
    Path("out").mkdir(exist_ok=True)
    begun = Path("out/a.txt").exists()
    if os.fork() == 0:
        time.sleep(60)
    Path("out/a.txt").write_text("half")
    Path(f"out/.b.txt.{32 * '0'}").write_text("")
    time.sleep(0.5)
    if not begun:
        Path("out/a.txt").write_text("whole")
    Path(f"out/.b.txt.{32 * '0'}").unlink()
    for process in of_session(os.getpid()):
        if process.pid != os.getpid():
            os.kill(process.pid, signal.SIGKILL)
    return 0


def test_a_wrong_result_a_draft_and_an_orphan_after_a_kill_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Forked.orphans, "__defaults__", (0.1,))
    monkeypatch.setitem(TASKS, "forgetful", Task("forgetful", lambda folder: None, "go"))
    (row,) = kills(tmp_path / "kills", {"forgetful": 2}, main=forgetful)
    assert (row["ended at work"], row["resumed exactly"], row["orphans after 10 s"]) == (2, 0, 2)


def test_contents_are_compared_by_tensors_and_bytes(tmp_path: Path) -> None:
    import torch

    for name, weight in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
        (tmp_path / name / "csv" / "version_0").mkdir(parents=True)
        torch.save({"state_dict": {"w": torch.tensor([weight])}, "note": name}, tmp_path / name / "last.ckpt")
        (tmp_path / name / "csv" / "version_0" / "metrics.csv").write_text("epoch,step,loss\n0,1,2.0\n1,2,1.0\n")
    (tmp_path / "b" / "csv" / "version_0" / "metrics.csv").write_text("epoch,step,loss\n0,1,2.0\n")
    (tmp_path / "b" / "csv" / "version_1").mkdir()
    (tmp_path / "b" / "csv" / "version_1" / "metrics.csv").write_text("epoch,step,loss\n1,2,1.0\n")
    (tmp_path / "b" / ".last.ckpt.0123").touch()
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert (differing(a, b), differing(a, c), drafts(tmp_path / "b")) == ([], ["last.ckpt"], [".last.ckpt.0123"])


def test_cases_and_kills_by_a_fixed_seed(tmp_path: Path) -> None:
    words = ["--only", "fuzz", "kills", "--families", *QUICK, "--cases", "40", "--kills", "label", "render, 1 job"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", "--quick", "--out", str(tmp_path), *words],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "faults.json").read_text())
    total = record["fuzz"]["rows"][-1]
    assert {kind: total[kind] for kind in judge.WRONG} == dict.fromkeys(judge.WRONG, 0), record["fuzz"]["failing"]
    assert total["cases"] == 40
    for row in record["kills"]:
        assert row["ended at work"] >= 1 and row["resumed exactly"] == row["ended at work"], row
        assert (row["orphans after 10 s"], row["drafts left"]) == (0, 0), row
    made = page.tables(record)
    assert "40 cases with seed 0: 40 as they should be" in made["counts"] and made["failing"] == page.NOTHING


def test_the_page_has_a_place_for_each_table(tmp_path: Path) -> None:
    copy = tmp_path / "reliability.md"
    copy.write_text((ROOT / "docs" / "reliability.md").read_text())
    record = {"machine": {"threads": 1}, "seed": 0} | {name: [{"a": f"{name} | 1"}] for name in page.TABLES}
    page.write_page(record, copy)
    for name in page.TABLES:
        assert f"<!-- {name} -->\n\n| a |\n| --- |\n| {name} ¦ 1 |\n\n<!-- end of {name} -->" in copy.read_text()
    copy.write_text("nothing")
    with pytest.raises(ValueError, match="found no mark"):
        page.write_page(record, copy)
