"""Tables of figures by class, from the records of a result."""

from __future__ import annotations

from collections.abc import Mapping

from crosspoint.eval.report.report_model import ClassTable
from crosspoint.eval.results import Result


def class_tables(title: str, result: Result, figures: Mapping[str, str]) -> list[ClassTable]:
    """A table with a row for each record that names a class; none where none does.

    Args:
        title: of the table.
        result: some of whose records have a class.
        figures: what the columns show, and their names; of other figures there is none.
    """
    rows = [row for row in result.records if "class" in row and all(key in row for key in figures)]
    if not rows:
        return []
    return [ClassTable(title, [*figures.values()], [(row["class"], [row[key] for key in figures]) for row in rows])]
