from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError

import pytest
from packaging.requirements import Requirement

from crosspoint.cli import doctor


def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *lines: str) -> tuple[int, str]:
    monkeypatch.setattr(doctor, "requirements", lambda: [Requirement(line) for line in lines])
    monkeypatch.setenv("COLUMNS", "200")
    return doctor.examine(), capsys.readouterr().out


def test_what_is_installed_in_a_version_that_will_do_is_healthy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown = ask(monkeypatch, capsys, "torch>=2", "jsonargparse[signatures]>=4")
    assert code == 0
    assert "torch" in shown and "jsonargparse" in shown and "pip install 'torch" not in shown


@pytest.mark.parametrize(
    ("line", "found"),
    [("torch>=99", "expected >=99"), ("no-such-thing[more]>=3", "missing"), ("torch<1", "expected <1")],
)
def test_what_is_missing_or_too_old_is_named_with_its_remedy(
    line: str, found: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown = ask(monkeypatch, capsys, "torch>=2", line)
    assert code == 1
    assert found in shown
    assert f"pip install '{line}'" in shown  # brackets are no markup


def test_a_checkout_that_is_not_installed_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> list[Requirement]:
        raise PackageNotFoundError("crosspoint3d")

    monkeypatch.setattr(doctor, "requirements", fail)
    monkeypatch.setenv("COLUMNS", "200")
    assert doctor.examine() == 1
    assert "pip install -e ." in capsys.readouterr().out


def test_an_extra_that_is_missing_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    code, shown = ask(monkeypatch, capsys, "torch>=2")
    assert code == 0
    assert "optional: pip install 'crosspoint3d[labels]'" in shown
