"""A report as the page reads it: plain JSON, each picture once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from crosspoint.eval.report.checks import check
from crosspoint.eval.report.palette import palette
from crosspoint.eval.report.report_model import (
    ClassTable,
    Curve,
    Embedding,
    Matrix,
    Report,
    Retrieved,
    Row,
    Section,
    Segmented,
)
from crosspoint.eval.report.thumbnails import LARGE, SIDE, thumbnail
from crosspoint.renderers.json_object import JsonObject


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts (classes, classes) of labels (rows) against predictions (columns), all from 0 to classes − 1."""
    cells = labels.astype(np.int64) * classes + predicted
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def parts_by_category(segmented: Sequence[Segmented]) -> dict[str, list[int]]:
    """The parts that occur in each category, in truth or prediction: a part has one color in all its clouds."""
    found: dict[str, set[int]] = {}
    for cloud in segmented:
        found.setdefault(cloud.category, set()).update(np.union1d(cloud.truth, cloud.predicted).tolist())
    return {category: sorted(parts) for category, parts in found.items()}


def payload(report: Report) -> JsonObject:
    """What the page embeds, of numbers, strings, lists and dicts alone.

    Raises:
        ValueError: if arrays do not fit each other, or a picture is neither PNG nor JPEG.
    """
    check(report)
    album = _Album()
    sections = [_section(section, len(report.classes), album) for section in report.sections]
    parts = [len(parts) for section in report.sections for parts in parts_by_category(section.segmented).values()]
    return {
        "title": report.title,
        "classes": list(report.classes),
        "colors": palette(max([len(report.classes), *parts])),
        "columns": list(report.columns),
        "rows": [_row(row) for row in report.rows],
        "facts": list(report.facts.items()),  # an object would put names that look like numbers first
        "sections": sections,
        "pictures": album.uris,
    }


class _Album:
    """Pictures by number: several methods show the same objects."""

    def __init__(self) -> None:
        self.uris: list[str] = []
        self._numbers: dict[bytes, int] = {}

    def add(self, data: bytes, side: int = SIDE) -> int:
        if data not in self._numbers:
            self._numbers[data] = len(self.uris)
            self.uris.append(thumbnail(data, side))
        return self._numbers[data]


def _row(row: Row) -> JsonObject:
    cells = {
        column: {"mean": _number(cell.mean), "deviation": _number(cell.deviation), "runs": cell.runs}
        for column, cell in row.cells.items()
    }
    return {"name": row.name, "cells": cells, "source": row.source}


def _section(section: Section, classes: int, album: _Album) -> JsonObject:
    return {
        "name": section.name,
        "embedding": section.embedding and _embedding(section.embedding, classes, album),
        "retrieved": [_retrieved(strip, album) for strip in section.retrieved],
        "segmented": _segmented(section.segmented),
        "curves": [_curve(curve) for curve in section.curves],
        **_optional(section, album),
    }


def _optional(section: Section, album: _Album) -> JsonObject:
    """What few reports have; left out where there is none."""
    found: JsonObject = {}
    if section.matrix is not None:
        found["matrix"] = _matrix(section.matrix)
    if section.tables:
        found["tables"] = [_table(table) for table in section.tables]
    if section.pictures:
        found["frames"] = [{"picture": album.add(each.data, LARGE), "label": each.caption} for each in section.pictures]
    return found


def _table(table: ClassTable) -> JsonObject:
    rows = [{"name": name, "values": [_shown(value) for value in values]} for name, values in table.rows]
    return {"title": table.title, "columns": list(table.columns), "rows": rows}


def _shown(value: float | str | None) -> float | str | None:
    """A count as text: JavaScript has one kind of number."""
    return str(value) if isinstance(value, int | str) else _number(value)


def _matrix(matrix: Matrix) -> JsonObject:
    return {"confusion": matrix.counts.tolist(), "classes": list(matrix.classes), "counted": matrix.counted}


def _embedding(embedding: Embedding, classes: int, album: _Album) -> JsonObject:
    return {
        "confusion": confusion(embedding.labels, embedding.predicted, classes).tolist(),
        "positions": [[float(f"{value:.6g}") for value in position] for position in embedding.positions.tolist()],
        "labels": embedding.labels.tolist(),
        "predicted": embedding.predicted.tolist(),
        "pictures": [album.add(picture) for picture in embedding.pictures],
    }


def _retrieved(strip: Retrieved, album: _Album) -> JsonObject:
    found = [{"picture": album.add(picture), "label": label} for picture, label in strip.found]
    return {"picture": album.add(strip.query), "label": strip.label, "found": found}


def _segmented(clouds: Sequence[Segmented]) -> list[JsonObject]:
    parts = parts_by_category(clouds)
    return [
        {
            "category": cloud.category,
            "parts": parts[cloud.category],
            "points": [[float(f"{value:.5g}") for value in point] for point in cloud.points.tolist()],
            "truth": cloud.truth.tolist(),
            "predicted": cloud.predicted.tolist(),
        }
        for cloud in clouds
    ]


def _curve(curve: Curve) -> JsonObject:
    values = [_number(value) for value in curve.values]
    return {"name": curve.name, "epochs": [int(epoch) for epoch in curve.epochs], "values": values}


def _number(value: float | None) -> float | None:
    """JSON has no NaN: what was not measured, or diverged, is null."""
    return float(value) if value is not None and math.isfinite(value) else None
