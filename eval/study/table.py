"""The table of a study: means over seeds, and papers' figures in the columns of the same data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crosspoint.eval.protocols.protocol import Column
from crosspoint.eval.report.report_model import Cell, Row
from crosspoint.eval.results import Result
from crosspoint.eval.study.published import PUBLISHED


def measured_row(name: str, results: Sequence[dict[str, Result]], table: Sequence[Column]) -> Row:
    """A method's row.

    Args:
        name: of the method.
        results: of each seed, by protocol.
        table: the columns.
    """
    cells = {}
    for column in table:
        found = [result[column.protocol].metrics for result in results if column.protocol in result]
        if found:
            cells[column.title] = _cell(column, found)
    return Row(name, cells)


def _cell(column: Column, found: list[dict[str, float]]) -> Cell:
    """Mean and population deviation over seeds; of a single seed, the deviation over its tasks where it has one."""
    values = [metrics[column.metric] for metrics in found]
    if len(values) > 1:
        return Cell(float(np.mean(values)), float(np.std(values)), len(values))
    return Cell(values[0], found[0].get(f"{column.metric}_std"))


def published_rows(table: Sequence[Column]) -> list[Row]:
    """Lines of papers that have a figure in one of the columns."""
    titles = {column.published: column.title for column in table if column.published is not None}
    rows = []
    for line in PUBLISHED:
        cells = {titles[key]: Cell(value) for key, value in line.figures.items() if key in titles}
        if cells:
            rows.append(Row(line.method, cells, line.source))
    return rows
