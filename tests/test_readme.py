"""README's figures are those of the file that the command wrote, made with the versions that are installed for it."""

from __future__ import annotations

import json
from pathlib import Path

from packaging.requirements import Requirement

from crosspoint.eval.quickstart import NETWORKS, PROTOCOLS, mean_and_deviation
from crosspoint.installation import requirements

ROOT = Path(__file__).parents[1]
FIGURES = json.loads(
    (ROOT / "docs" / "quickstart.json").read_text()
)  # runs/quickstart/figures.json of `make quickstart`


def table_with(columns: tuple[str, ...]) -> list[list[str]]:
    """The rows below the one heading of README that has these columns, after its first."""
    lines = [line.strip() for line in (ROOT / "README.md").read_text().splitlines()]
    rows = [[cell.strip().strip("*") for cell in line.strip("|").split("|")] for line in lines]
    (start,) = (number for number, row in enumerate(rows) if tuple(row[1:]) == columns)
    return rows[start + 2 : start + 2 + len(NETWORKS)]


def test_the_table_shows_the_figures_of_the_file() -> None:
    shown = table_with(PROTOCOLS)
    for (name, *cells), network in zip(shown, NETWORKS, strict=True):
        assert name.startswith(network)
        assert cells == [mean_and_deviation(FIGURES["accuracy"][network][protocol]) for protocol in PROTOCOLS]


def test_the_figures_were_made_with_the_versions_that_make_installs() -> None:
    pinned = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line[0] != "#"]
    expected = {each.name: str(each.specifier).removeprefix("==") for each in pinned}
    assert FIGURES["versions"] == {each.name: expected[each.name] for each in requirements()}
    assert set(FIGURES["machine"]) == {"processor", "architecture", "instructions", "system", "python"}
