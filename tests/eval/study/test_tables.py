from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.modelnet40_hdf5 import MODELNET40
from crosspoint.datasets.shapenetpart import SHAPENETPART
from crosspoint.eval.protocols.benchmarks import known_data
from crosspoint.eval.protocols.protocol import Column
from crosspoint.eval.report.report_model import Cell, Row
from crosspoint.eval.report.tables import latex_table, markdown_table
from crosspoint.eval.results import Result
from crosspoint.eval.study.published import PUBLISHED
from crosspoint.eval.study.table import measured_row, published_rows

COLUMNS = ["linear SVM, cups", "kNN, cups"]
ROWS = [
    Row("ours", {"linear SVM, cups": Cell(74.26, 0.61, 3), "kNN, cups": Cell(60.0)}),
    Row("a_b|c & 100%", {"linear SVM, cups": Cell(80.04, 1.0, 3)}),
    Row("theirs", {"linear SVM, cups": Cell(91.2)}, source="A. & B., CVPR 2022, https://example.org/a_b"),
    Row("others", {"linear SVM, cups": Cell(90.0)}, source="A. & B., CVPR 2022, https://example.org/a_b"),
]


def cells(line: str) -> list[str]:
    """A row of a Markdown table, as a reader splits it: at pipes that are not escaped."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_markdown() -> None:
    lines = markdown_table(COLUMNS, ROWS).splitlines()
    assert cells(lines[0]) == ["method", *COLUMNS]
    assert cells(lines[1]) == ["---"] * 3
    assert cells(lines[2]) == ["ours", "74.3 ± 0.6", "60.0"]  # alone in a column is not the best of it
    assert cells(lines[3]) == [r"a\_b\|c \& 100%", "**80.0 ± 1.0**", ""]
    assert cells(lines[4]) == [r"theirs (published \[1\])", "91.2", ""]  # never bold: others measured it
    assert cells(lines[5]) == [r"others (published \[1\])", "90.0", ""]
    assert lines[6:] == ["", r"\[1\] A. & B., CVPR 2022, https://example.org/a_b"]


def test_what_prints_alike_is_best_alike() -> None:
    rows = [Row("a", {"x": Cell(50.04)}), Row("b", {"x": Cell(49.96)}), Row("c", {"x": Cell(49.94)})]
    assert markdown_table(["x"], rows).count("**50.0**") == 2


def test_latex() -> None:
    text = latex_table([*COLUMNS, "image → shape, x^2~y"], ROWS)
    lines = text.splitlines()
    assert lines[0] == r"\begin{tabular}{lccc}"
    assert r"\textbf{80.0 $\pm$ 1.0}" in text
    assert r"a\_b\textbar{}c \& 100\%" in text
    assert r"image $\rightarrow$ shape, x\textasciicircum{}2\textasciitilde{}y" in text
    body = [line for line in lines if line.split("%  ")[0].rstrip().endswith(r"\\") or "% A." in line]
    assert len(body) == 5
    for line in body:
        assert len(re.split(r"(?<!\\)&", line.split(" % ")[0])) == 4
    assert lines.index(r"\midrule", 4) == 6  # between measured and published


def test_latex_compiles(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex")
    rows = [*ROWS, Row('\\ { } ~ ^ _ # $ % & < > | " → ± −', {})]
    text = latex_table(COLUMNS, rows)
    document = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n" + text + "\\end{document}\n"
    (tmp_path / "table.tex").write_text(document)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stdout[-2000:]


def result(**metrics: float) -> Result:
    return Result("any", metrics, {})


def test_means_are_over_seeds_or_else_over_tasks() -> None:
    table = [Column("linear, x", "linear", "accuracy"), Column("tasks, x", "fewshot", "5way_10shot")]
    seeds = [
        {"linear": result(accuracy=70.0), "fewshot": result(**{"5way_10shot": 80.0, "5way_10shot_std": 5.0})},
        {"linear": result(accuracy=73.0)},
        {"linear": result(accuracy=76.0)},
    ]
    row = measured_row("ours", seeds, table)
    assert row.cells["linear, x"] == Cell(73.0, pytest.approx(np.std([70, 73, 76])), 3)
    assert row.cells["tasks, x"].mean == 80.0
    assert row.cells["tasks, x"].deviation == 5.0
    assert row.source is None
    assert measured_row("ours", [{}], table).cells == {}


def clouds(name: str, classes: list[str]) -> Clouds:
    return Clouds(np.zeros((1, 2, 3), np.float32), np.zeros(1, np.int64), classes, name, "test")


def test_papers_stand_beside_their_own_data_alone() -> None:
    assert known_data(clouds("modelnet40_hdf5", list(MODELNET40))) == "modelnet40"
    assert known_data(clouds("modelnet", sorted(MODELNET40))) == "modelnet40"
    assert known_data(clouds("modelnet", [f"class {number}" for number in range(40)])) is None
    assert known_data(clouds("rendered", sorted(MODELNET40))) is None  # other points of the meshes
    assert known_data(clouds("scanobjectnn/obj_bg", ["bag"])) == "scanobjectnn/obj_bg"
    assert known_data(clouds("scanobjectnn/pb_t50_rs", ["bag"])) is None
    assert known_data(clouds("shapenetpart", list(SHAPENETPART))) == "shapenetpart"
    assert known_data(clouds("shapenetpart", ["cup", "hat"])) is None


def test_published_rows() -> None:
    column = Column("linear SVM, ScanObjectNN OBJ_BG", "linear", "accuracy", ("linear", "scanobjectnn/obj_bg"))
    rows = {row.name: row for row in published_rows([column, Column("kNN, x", "knn", "accuracy")])}
    assert rows["DGCNN + CrossPoint"].cells == {column.title: Cell(81.7)}
    assert "Afham" in str(rows["DGCNN + CrossPoint"].source)
    assert "Point-JEPA" not in rows  # has no figure there
    assert published_rows([Column("kNN, x", "knn", "accuracy", ("knn", "modelnet40"))]) == []
    assert all(entry.source and entry.figures for entry in PUBLISHED)
    assert len({entry.method for entry in PUBLISHED}) == len(PUBLISHED)
    assert all(50 < figure < 100 for entry in PUBLISHED for figure in entry.figures.values())
