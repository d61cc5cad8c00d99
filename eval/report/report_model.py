"""Plain data that a report shows: protocols fill them in, pages and figures draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Cell:
    """One figure of a table, in percent; `runs` is how many the deviation is over (1: none)."""

    mean: float
    deviation: float | None = None
    runs: int = 1


@dataclass(frozen=True)
class Row:
    """One method, or one line of a paper, in the table."""

    name: str
    cells: dict[str, Cell]  # by column; columns that are missing stay empty
    source: str | None = None  # paper and table, for published figures


@dataclass(frozen=True)
class Embedding:
    """Clouds of the test split on a plane."""

    positions: np.ndarray  # (n, 2)
    labels: np.ndarray  # (n,) int
    predicted: np.ndarray  # (n,) int, of the linear SVM or another protocol that gives answers
    pictures: Sequence[bytes]  # one PNG or JPEG each, a rendered view where there is one, else the cloud


@dataclass(frozen=True)
class Retrieved:
    """A query and what was found, nearest first; pictures are PNG or JPEG."""

    query: bytes
    label: str
    found: Sequence[tuple[bytes, str]]  # picture and class


@dataclass(frozen=True)
class Segmented:
    """One cloud with its parts."""

    category: str
    points: np.ndarray  # (N, 3), y up
    truth: np.ndarray  # (N,) int
    predicted: np.ndarray  # (N,) int


@dataclass(frozen=True)
class Curve:
    """One quantity over the epochs of training."""

    name: str
    epochs: Sequence[int]
    values: Sequence[float]


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix of things that no map shows: points of frames."""

    counts: np.ndarray  # (C, C) int, rows the truth
    classes: Sequence[str]  # names of the C classes
    counted: str = "point"  # what is counted, in the singular


@dataclass(frozen=True)
class ClassTable:
    """Figures of each class by one protocol."""

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float | str | None]]]  # a class; figures in percent, whole numbers, words, None


@dataclass(frozen=True)
class Picture:
    """A picture that is shown large."""

    caption: str
    data: bytes  # PNG or JPEG


@dataclass(frozen=True)
class Contribution:
    """What one protocol shows of a network beside its figures; what there is none of stays empty."""

    answers: np.ndarray | None = None  # (n,) int, classes given to the test clouds: they mark the map
    retrieved: Sequence[Retrieved] = ()
    segmented: Sequence[Segmented] = ()
    curves: Sequence[Curve] = ()
    matrix: Matrix | None = None
    tables: Sequence[ClassTable] = ()
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True)
class Section:
    """All there is to see of one method; what was not measured is None or empty, and not drawn."""

    name: str
    embedding: Embedding | None = None
    retrieved: Sequence[Retrieved] = ()
    segmented: Sequence[Segmented] = ()
    curves: Sequence[Curve] = ()
    matrix: Matrix | None = None
    tables: Sequence[ClassTable] = ()
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True)
class Report:
    """A whole report.

    Args:
        title: first line of the page.
        classes: names of the classes that labels count.
        columns: of the table, in order: "protocol, data".
        rows: measured first, published after them.
        sections: one per method.
        facts: what decided the figures: name → value, as text.
    """

    title: str
    classes: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[Row]
    sections: Sequence[Section]
    facts: dict[str, str] = field(default_factory=dict)
