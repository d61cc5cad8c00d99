"""Whether a report can be drawn, found out before anything is written."""

from __future__ import annotations

import numpy as np

from crosspoint.eval.report.report_model import ClassTable, Curve, Embedding, Matrix, Report, Segmented


def check(report: Report) -> None:
    """Check that arrays fit each other, and labels the names of classes.

    Raises:
        ValueError: if they do not, naming the method.
    """
    for section in report.sections:
        try:
            if section.embedding:
                _check_embedding(section.embedding, len(report.classes))
            for cloud in section.segmented:
                _check_segmented(cloud)
            for curve in section.curves:
                _check_curve(curve)
            for table in section.tables:
                _check_table(table)
            if section.matrix is not None:
                _check_matrix(section.matrix)
        except ValueError as error:
            raise ValueError(f"{section.name}: {error}") from error


def _check_embedding(embedding: Embedding, classes: int) -> None:
    count = len(embedding.labels)
    if count == 0:
        raise ValueError("found a map of no cloud, expected at least one: leave the map out")
    if embedding.positions.shape != (count, 2) or not np.isfinite(embedding.positions).all():
        raise ValueError(f"found positions {embedding.positions.shape}, expected ({count}, 2), finite")
    if len(embedding.pictures) != count:
        raise ValueError(f"found {len(embedding.pictures)} pictures, expected {count}, one for each cloud")
    for name, given in (("labels", embedding.labels), ("predictions", embedding.predicted)):
        _check_integers(name, given, count)
        if given.min() < 0 or given.max() >= classes:
            raise ValueError(f"found {name} {given.min()}…{given.max()}, expected 0…{classes - 1}: name every class")


def _check_segmented(cloud: Segmented) -> None:
    count = len(cloud.points)
    if count == 0 or cloud.points.shape != (count, 3) or not np.isfinite(cloud.points).all():
        raise ValueError(f"found a {cloud.category} with points {cloud.points.shape}, expected (N, 3), finite")
    _check_integers(f"true parts of a {cloud.category}", cloud.truth, count)
    _check_integers(f"predicted parts of a {cloud.category}", cloud.predicted, count)


def _check_curve(curve: Curve) -> None:
    if len(curve.epochs) != len(curve.values):
        raise ValueError(
            f"found {len(curve.epochs)} epochs for {len(curve.values)} values of {curve.name}, expected as many"
        )


def _check_table(table: ClassTable) -> None:
    for name, values in table.rows:
        if len(values) != len(table.columns):
            raise ValueError(
                f"found {len(values)} figures of {name} in {table.title}, expected {len(table.columns)}, one for each "
                "column"
            )


def _check_matrix(matrix: Matrix) -> None:
    count = len(matrix.classes)
    if matrix.counts.shape != (count, count) or matrix.counts.dtype.kind not in "iu" or (matrix.counts < 0).any():
        raise ValueError(
            f"found a confusion matrix {matrix.counts.shape} of type {matrix.counts.dtype}, expected counts "
            f"({count}, {count}): name every class"
        )


def _check_integers(name: str, given: np.ndarray, count: int) -> None:
    if given.shape != (count,) or given.dtype.kind not in "iu":
        raise ValueError(f"found {name} {given.shape} of type {given.dtype}, expected ({count},) integers")
