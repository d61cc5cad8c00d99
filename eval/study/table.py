"""The table of a study: which figure of which protocol stands in which column, and means over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.modelnet40_hdf5 import MODELNET40
from crosspoint.datasets.shapenetpart import SHAPENETPART
from crosspoint.eval.protocols.pointbert_folds import stored_settings
from crosspoint.eval.report.report_model import Cell, Row
from crosspoint.eval.results import Result
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.study.published import PUBLISHED


@dataclass(frozen=True)
class Column:
    """One figure of a protocol.

    Args:
        title: "protocol, data".
        protocol: of the study.
        metric: of its result.
        published: protocol and data by which papers' figures are found.
    """

    title: str
    protocol: str
    metric: str
    published: tuple[str, str] | None = None


def columns(study: StudyConfig) -> list[Column]:
    """Those of the protocols that were chosen, in their order."""
    return [column for protocol in study.chosen for column in _of(protocol, study)]


def _of(protocol: str, study: StudyConfig) -> list[Column]:
    data = _label(study.clouds("test"), study.root)
    known = known_data(study.clouds("test"))
    if protocol in ("linear", "knn", "finetune"):
        name = {"linear": "linear SVM", "knn": "kNN", "finetune": "fine-tuned"}[protocol]
        return [Column(f"{name}, {data}", protocol, "accuracy", (protocol, known) if known else None)]
    if protocol == "retrieval":
        return [Column(f"retrieval mAP, {data}", protocol, "mAP")]
    if protocol == "fewshot":
        return [_task("few-shot", *each, data, protocol) for each in study.few_shot_settings]
    if protocol == "folds":
        assert study.folds is not None
        return [_task("folds, SVM", *each, "ModelNet40", protocol) for each in stored_settings(study.folds)]
    if protocol == "crossmodal":
        data = _label(study.rendered_set[0], study.rendered_set[1].root)
        return [
            Column(f"image → shape mAP, {data}", protocol, "image_to_shape_class_mAP"),
            Column(f"shape → image mAP, {data}", protocol, "shape_to_image_class_mAP"),
            Column(f"image → its shape R@1, {data}", protocol, "image_to_shape_object_recall@1"),
        ]
    assert study.parts is not None
    clouds = study.part_clouds["test"]
    data, known = _label(clouds, study.parts), known_data(clouds)
    return [
        Column(f"parts, instance mIoU, {data}", protocol, "instance_miou", ("partseg", known) if known else None),
        Column(
            f"parts, category mIoU, {data}", protocol, "category_miou", ("partseg_category", known) if known else None
        ),
    ]


def _task(name: str, ways: int, shots: int, data: str, protocol: str) -> Column:
    return Column(f"{name} {ways}-way {shots}-shot, {data}", protocol, f"{ways}way_{shots}shot")


def _label(clouds: Clouds, root: Path) -> str:
    """What a dataset is called: benchmarks by their names, sets of a user's own by their folders."""
    names = {"modelnet40": "ModelNet40", "shapenetpart": "ShapeNetPart"}
    known = known_data(clouds)
    if known is None:
        return clouds.name if clouds.name.startswith("scanobjectnn/") else (root.name or clouds.name)
    return names.get(known, "ScanObjectNN OBJ_BG")


def known_data(clouds: Clouds) -> str | None:
    """The benchmark that clouds are of, by name and classes, as `PUBLISHED` has it."""
    if clouds.name.startswith("modelnet") and sorted(clouds.classes) == sorted(MODELNET40):
        return "modelnet40"
    if clouds.name == "scanobjectnn/obj_bg":
        return clouds.name
    if clouds.name == "shapenetpart" and clouds.classes == list(SHAPENETPART):
        return "shapenetpart"
    return None


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
