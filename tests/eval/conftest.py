from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from eval.report.contents import Cell, Curve, Embedding, Report, Retrieved, Row, Section, Segmented

COLOURS = np.random.default_rng(0).integers(0, 256, (12, 3))  # one for each object of the toy report


def toy_picture(index: int, side: int = 8) -> bytes:
    """One colour all over, by which an object is known again."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), tuple(COLOURS[index].tolist())).save(file, "PNG")
    return file.getvalue()


def toy_sections() -> list[Section]:
    labels = np.repeat(np.arange(3), 4)
    predicted = labels.copy()
    predicted[[3, 7]] = [1, 2]
    grid = np.stack(np.meshgrid(np.arange(4.0), np.arange(3.0)), axis=-1).reshape(-1, 2) * 10
    pictures = [toy_picture(index) for index in range(12)]
    embedding = Embedding(grid, labels, predicted, pictures)
    cloud = np.random.default_rng(1).uniform(-1, 1, (50, 3)).astype(np.float32)
    parts = (cloud[:, 1] > 0).astype(np.int64) + 7
    guess = np.where(cloud[:, 1] > 0.2, 8, 7)
    strip = Retrieved(pictures[0], "chair", [(pictures[1], "chair"), (pictures[5], "sofa")])
    curve = Curve("loss", [1, 2, 3, 4], [3.0, float("nan"), 1.5, 1.25])
    whole = Section("CrossPoint", embedding, [strip], [Segmented("lamp", cloud, parts, guess)], [curve])
    return [whole, Section("random", Embedding(grid[::-1], labels, labels, pictures))]


@pytest.fixture
def make_report() -> Callable[..., Report]:
    """A small report that has everything, with any field replaced."""

    def make(**changes: object) -> Report:
        rows = [
            Row("CrossPoint", {"linear SVM, toys": Cell(83.3333, 1.25, 3), "kNN": Cell(75.0)}),
            Row("random", {"linear SVM, toys": Cell(50.0)}),
            Row("Someone", {"kNN": Cell(91.2)}, source="Someone et al., 2022, table 1"),
        ]
        report = {
            "title": "Toys",
            "classes": ["chair", "sofa", "table"],
            "columns": ["linear SVM, toys", "kNN"],
            "rows": rows,
            "sections": toy_sections(),
            "facts": {"seed": "0", "10": "a name that looks like a number"},
        }
        return Report(**{**report, **changes})

    return make
