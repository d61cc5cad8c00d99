from __future__ import annotations

import json
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from crosspoint.datasets.procedural.shapes import FAMILIES
from crosspoint.eval import quickstart as module
from crosspoint.eval.quickstart import NETWORKS, PROTOCOLS, gains, quickstart, table
from crosspoint.eval.results import Result


def test_the_whole_toolkit_at_a_tiny_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"SHAPES": 2, "PROBED": (4, 30), "POINTS": 32, "VIEWS": 2, "SIZE": 24, "TASKS": 3, "FAMILIES": FAMILIES[:5]}
    for name, value in sizes.items():
        monkeypatch.setattr(module, name, value)
    results = quickstart(tmp_path, seeds=1, epochs=1, jobs=1)
    assert set(results) == set(NETWORKS)
    scores = {(name, p): [r.metrics["accuracy"] for r in row[p]] for name, row in results.items() for p in PROTOCOLS}
    assert all(len(score) == 1 and 0 <= score[0] <= 100 for score in scores.values())
    # Not the same network twice: one epoch moves the weights.
    assert any(scores[NETWORKS[0], p] != scores[NETWORKS[1], p] for p in PROTOCOLS)
    console = Console(width=120, record=True, quiet=True)
    console.print(table(results))
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved[NETWORKS[1]][PROTOCOLS[0]][0]["metrics"]["accuracy"] == scores[NETWORKS[1], PROTOCOLS[0]][0]
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert {(name, p): figures["accuracy"][name][p] for name in NETWORKS for p in PROTOCOLS} == scores
    assert figures["versions"]["torch"] == version("torch")
    assert figures["machine"]["processor"]
    again = quickstart(tmp_path, seeds=1, epochs=1, jobs=1)  # nothing is done anew but the probing
    assert again == results


def test_the_gain_is_that_of_each_seed() -> None:
    scores = {NETWORKS[0]: [50.0, 60.0, 70.0], NETWORKS[1]: [53.0, 64.0, 75.0]}
    results = {
        name: {protocol: [Result("linear_svm", {"accuracy": each}, {}) for each in found] for protocol in PROTOCOLS}
        for name, found in scores.items()
    }
    assert gains(results, PROTOCOLS[0]) == [3.0, 4.0, 5.0]
    shown = StringIO()
    Console(width=120, file=shown).print(table(results))
    # The networks move by 8 and 9 points between seeds, the gain by one.
    assert [line.split("│")[2].strip() for line in shown.getvalue().splitlines() if "gain" in line] == ["4.0 ± 0.8"]


def test_nothing_to_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found 0 seeds and 3 epochs"):
        quickstart(tmp_path, seeds=0, epochs=3)
