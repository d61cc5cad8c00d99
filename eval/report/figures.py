"""The figures of a report as PNG files, for papers and slides."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from crosspoint.eval.report.checks import check
from crosspoint.eval.report.figure_charts import draw_bars, draw_confusion, draw_curves, draw_embedding
from crosspoint.eval.report.figure_objects import draw_parts, draw_strips
from crosspoint.eval.report.file_names import file_names
from crosspoint.eval.report.page_data import confusion
from crosspoint.eval.report.report_model import Report, Section
from crosspoint.eval.report.thumbnails import open_picture
from crosspoint.renderers.atomic import atomic_write


def save_figures(report: Report, folder: Path) -> list[Path]:
    """Draw all that the report holds of each method, and write it as `<method>_<figure>.png`, atomically.

    Returns:
        The files, in the order of the report.

    Raises:
        ValueError: if arrays of the report do not fit each other, or a picture is neither PNG nor JPEG.
    """
    check(report)
    paths = []
    for name, section in zip(file_names([section.name for section in report.sections]), report.sections, strict=True):
        for kind, figure in _figures(section, report.classes):
            file = io.BytesIO()
            figure.savefig(file, format="png", dpi=150, bbox_inches="tight", metadata={"Software": None})
            paths.append(_save(folder / f"{name}_{kind}.png", file.getvalue()))
        for number, picture in enumerate(section.pictures, 1):
            file = io.BytesIO()
            open_picture(picture.data).save(file, format="PNG")
            paths.append(_save(folder / f"{name}_frame-{number}.png", file.getvalue()))
    return paths


def _save(path: Path, data: bytes) -> Path:
    with atomic_write(path) as file:
        file.write(data)
    return path


def _figures(section: Section, classes: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    if section.embedding:
        counts = confusion(section.embedding.labels, section.embedding.predicted, len(classes))
        yield "embedding", draw_embedding(section.embedding, classes)
        yield "confusion", draw_confusion(counts, classes)
        yield "classes", draw_bars(counts, classes)
    elif section.matrix is not None:
        yield "confusion", draw_confusion(section.matrix.counts, section.matrix.classes)
        yield "classes", draw_bars(section.matrix.counts, section.matrix.classes)
    if section.retrieved:
        yield "retrieval", draw_strips(section.retrieved)
    if section.segmented:
        yield "segmentation", draw_parts(section.segmented)
    if section.curves:
        yield "training", draw_curves(section.curves)
