from __future__ import annotations

import json
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from crosspoint.datasets.procedural.shapes import FAMILIES
from crosspoint.eval import quickstart as module
from crosspoint.eval.quickstart import NETWORKS, PROTOCOLS, gains, mean_and_deviation, quickstart, table
from crosspoint.eval.results import Result
from tests.pages import ROOT
from tests.test_requirements import constraints

FIGURES = json.loads((ROOT / "docs" / "quickstart.json").read_text())  # runs/quickstart/figures.json


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
    shown = StringIO()
    Console(width=120, file=shown).print(table(results))
    # The networks move by 8 and 9 points between seeds, the gain by one.
    assert [line.split("│")[2].strip() for line in shown.getvalue().splitlines() if "gain" in line] == ["4.0 ± 0.8"]


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_pages_show_the_figures_of_the_file(page: str) -> None:
    lines = (ROOT / page).read_text().splitlines()
    rows = [[cell.strip().strip("*") for cell in line.strip("|").split("|")] for line in lines]
    (start,) = (number for number, row in enumerate(rows) if tuple(row[1:]) == PROTOCOLS)
    scores = FIGURES["accuracy"]
    expected = [[mean_and_deviation(scores[network][protocol]) for protocol in PROTOCOLS] for network in NETWORKS]
    expected.append([mean_and_deviation(gains(scores, protocol)) for protocol in PROTOCOLS])
    shown = rows[start + 2 : start + 5]
    assert [row[0].removesuffix(" with CrossPoint") for row in shown] == [*NETWORKS, "gain"]
    assert [row[1:] for row in shown] == expected


def test_the_figures_were_made_with_the_versions_that_make_installs() -> None:
    pinned = constraints("constraints.txt", FIGURES["machine"]["python"])
    assert FIGURES["versions"] == {name: str(pinned[name]) for name in FIGURES["versions"]}


def test_nothing_to_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found 0 seeds and 3 epochs"):
        quickstart(tmp_path, seeds=0, epochs=3)
