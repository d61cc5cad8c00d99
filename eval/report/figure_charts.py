"""Maps, matrices, bars and curves by matplotlib, without its global state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from crosspoint.eval.report.palette import MARKERS, palette
from crosspoint.eval.report.report_model import Curve, Embedding

INK, QUIET, ACCENT, RIGHT, WRONG = "#1c1f24", "#626973", "#2c6cb0", "#1a7f52", "#c03d28"
AGREE = LinearSegmentedColormap.from_list("agree", ["white", ACCENT])
DIFFER = LinearSegmentedColormap.from_list("differ", ["white", WRONG])


def legible(name: str, length: int = 22) -> str:
    """A name as matplotlib can draw it: short, on one line, without the lone surrogates of file names."""
    plain = " ".join(name.encode("utf-8", "replace").decode().split())
    return plain if len(plain) <= length else f"{plain[: length - 1]}…"


def draw_embedding(embedding: Embedding, classes: Sequence[str]) -> Figure:
    """The map, colored by class; hollow marks are misclassified."""
    figure = Figure(figsize=(9, 6.5))
    axes = figure.add_subplot()
    axes.set_aspect("equal")
    axes.axis("off")
    colors = palette(len(classes))
    present = np.unique(embedding.labels).tolist()
    size = float(np.clip(8000 / max(1, len(embedding.labels)), 7, 40))
    for label in present:
        for right in (True, False):
            chosen = (embedding.labels == label) & ((embedding.predicted == label) == right)
            axes.scatter(
                embedding.positions[chosen, 0],
                embedding.positions[chosen, 1],
                s=size,
                marker=_marker(label),
                facecolors=colors[label] if right else "none",
                edgecolors=colors[label],
                linewidths=0 if right else 0.9,
            )
    handles = [Line2D([], [], color=colors[c], marker=_marker(c), linestyle="", markersize=5) for c in present]
    legend = axes.legend(
        handles,
        [""] * len(present),
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        ncols=1 + len(present) // 28,
        frameon=False,
        fontsize=8,
        handletextpad=0.2,
    )
    for text, label in zip(legend.get_texts(), present, strict=True):
        text.set_parse_math(False)  # a name may hold a dollar
        text.set_text(legible(classes[label], 30))
    return figure


def draw_confusion(counts: np.ndarray, classes: Sequence[str]) -> Figure:
    """Shares of rows of a confusion matrix (C, C), with the classes that occur."""
    present = np.flatnonzero(counts.any(axis=0) | counts.any(axis=1))
    counts = counts[np.ix_(present, present)]
    share = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    diagonal = np.eye(len(present), dtype=bool)
    side = 2.5 + 0.16 * len(present)
    figure = Figure(figsize=(side, side))
    axes = figure.add_subplot()
    for colors, hidden in ((AGREE, ~diagonal), (DIFFER, diagonal)):
        axes.imshow(np.ma.masked_array(share, hidden), cmap=colors, vmin=0, vmax=1)
    names = [legible(classes[label]) for label in present.tolist()]
    axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False, fontsize=7)
    axes.set_yticks(range(len(names)), names, parse_math=False, fontsize=7)
    axes.set_xlabel("predicted", color=QUIET)
    axes.set_ylabel("true", color=QUIET)
    axes.tick_params(length=0)
    _calm(axes)
    return figure


def draw_bars(counts: np.ndarray, classes: Sequence[str]) -> Figure:
    """Accuracy of each class that has objects, best first, from a confusion matrix (C, C)."""
    total = counts.sum(axis=1)
    present = np.flatnonzero(total)
    accuracy = 100 * counts.diagonal()[present] / total[present]
    order = np.argsort(-accuracy, kind="stable")
    figure = Figure(figsize=(5, 0.8 + 0.19 * len(present)))
    axes = figure.add_subplot()
    axes.barh(range(len(present)), accuracy[order], height=0.65, color=ACCENT)
    names = [legible(classes[label]) for label in present[order].tolist()]
    axes.set_yticks(range(len(names)), names, parse_math=False, fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel("accuracy, %", color=QUIET)
    axes.tick_params(length=0)
    _calm(axes)
    return figure


def draw_curves(curves: Sequence[Curve]) -> Figure:
    """One chart for each quantity of the training."""
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4 * columns, 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, curve in zip(grid.flat, curves, strict=False):
        axes.plot(curve.epochs, curve.values, color=ACCENT)
        axes.set_title(legible(curve.name, 50), fontsize=9, loc="left", parse_math=False)
        axes.set_xlabel("epoch", color=QUIET, fontsize=8)
        axes.grid(axis="y", color="#e2e3e0")
        _calm(axes)
    for axes in grid.flat[len(curves) :]:
        axes.remove()
    return figure


def _marker(label: int) -> str:
    return MARKERS[label % len(MARKERS)]


def _calm(axes: Axes) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(labelcolor=INK, color=QUIET, labelsize=8)
