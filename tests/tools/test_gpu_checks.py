from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from tools import gpu_checks
from tools.gpu_checks import LIMIT, STEPS, TESTS, command, run


def test_all_steps_together_stay_under_eight_minutes() -> None:
    assert sum(step.seconds for step in STEPS) <= LIMIT < 8 * 60
    assert [step.name for step in STEPS[1:]] == ["gpu", "edgeconv", "losses", "sparse", "rendering"]


def test_tests_are_those_of_files_that_have_the_mark(tmp_path: Path) -> None:
    arguments = command(STEPS[0], "cuda", tmp_path)
    files = {Path(each).name for each in arguments if each.endswith(".py")}
    assert {"test_gpu.py", "test_spconv_backend.py"} <= files
    assert "test_losses.py" not in files


def test_benchmarks_run_whole_on_a_gpu_and_small_on_a_cpu(tmp_path: Path) -> None:
    for step in STEPS[1:]:
        assert "--quick" not in command(step, "cuda", tmp_path)
        assert command(step, "cuda", tmp_path)[3:5] == ["--device", "cuda"]
        assert "--quick" in command(step, "cpu", tmp_path)


def test_a_process_is_stopped_at_its_limit_with_all_that_it_started(tmp_path: Path) -> None:
    child = f"import time; time.sleep(3); open({str(tmp_path / 'late')!r}, 'w')"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    ended, seconds = run([sys.executable, "-c", code], 1.5, tmp_path / "log")
    assert ended.startswith("stopped at its limit")
    assert seconds < 30
    time.sleep(3)
    assert not (tmp_path / "late").exists()


def test_a_failure_is_said_with_its_log(tmp_path: Path) -> None:
    ended, _ = run([sys.executable, "-c", "print('why'); raise SystemExit(3)"], 60, tmp_path / "log")
    assert ended == "failed, exit code 3: see log"
    assert (tmp_path / "log").read_text() == "why\n"


def test_one_table_says_how_each_step_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"path": "ours", "ours_faster": 1.0, "ours_smaller": 1.0},
        {"path": "formula", "ours_faster": 5.25, "ours_smaller": 7.0},
    ]

    def finish(arguments: list[str], seconds: float, log: Path) -> tuple[str, float]:
        log.write_text("== 3 passed, 2 skipped in 4.00s ==\n")
        if arguments[2] == "benchmarks.edgeconv":
            (tmp_path / "edgeconv.json").write_text(json.dumps({"rows": rows}))
            return "passed", 7.0
        return ("passed", 5.0) if arguments[2] == "pytest" else ("stopped at its limit of 40 s", 40.0)

    (tmp_path / "sparse.json").write_text("of an earlier run")
    monkeypatch.setattr(gpu_checks, "run", finish)
    monkeypatch.setattr(sys, "argv", ["gpu_checks", "--device", "cpu", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        gpu_checks.main()
    assert ended.value.code == 1
    page = (tmp_path / "summary.md").read_text()
    assert page in capsys.readouterr().out
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    assert cells[0] == ["step", "ended", "seconds", "figure"]
    assert cells[2] == [TESTS, "passed", "5", "3 passed, 2 skipped in 4.00s"]
    assert cells[4] == ["edgeconv", "passed", "7", "5.2 × as fast as the formula, 1/7.0 of its memory"]
    assert cells[6] == ["sparse", "stopped at its limit of 40 s", "40", "–"]
