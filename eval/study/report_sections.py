"""The sections of a report, one a method, from what its first seed left behind."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from crosspoint.eval.report.report_model import Curve, Embedding, Retrieved, Section, Segmented
from crosspoint.eval.results import Result
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.study.embedding_map import FROZEN, SCENERY
from crosspoint.eval.study.evaluation_run import EvaluationRun
from crosspoint.eval.study.pictures import cloud_picture, view_picture
from crosspoint.eval.supervised.cloud_training import PREDICTIONS

SEGMENTED = 8  # clouds shown with their parts
TRAINED = {"finetune": "fine-tuning", "partseg": "part segmentation"}


class Gallery:
    """Pictures of the test clouds, drawn once for all methods: rendered views where there are some."""

    def __init__(self, study: StudyConfig) -> None:
        self.study = study

    @cached_property
    def pictures(self) -> list[bytes]:
        """One of each test cloud."""
        if self.study.dataset == "rendered" and self.study.rendered is None:
            rendered = self.study.rendered_set[1]
            return [view_picture(rendered, index) for index in range(len(rendered))]
        return [cloud_picture(points) for points in self.study.clouds("test").points]


def section(subject: EvaluationRun, results: dict[str, Result], gallery: Gallery) -> Section:
    """All there is to see of a method.

    Args:
        subject: its first network.
        results: of this network, by protocol.
        gallery: pictures of the test split.
    """
    embedding = _embedding(subject, gallery) if "linear" in results else None
    retrieved: Sequence[Retrieved] = ()
    if "crossmodal" in results:
        retrieved = _across(subject)
    elif results.keys() & FROZEN:
        retrieved = _within(subject, gallery)
    curves = [] if subject.method.random_init else pretraining_curves(subject.checkpoint.parent)
    for protocol, name in TRAINED.items():
        if protocol in results:
            curves += _recorded_curves(name, results[protocol])
    segmented = _segmented(subject) if "partseg" in results else ()
    return Section(subject.method.name, embedding, retrieved, segmented, curves)


def pretraining_curves(folder: Path) -> list[Curve]:
    """Losses and probes by epoch, from the `csv/version_*/metrics.csv` of a run; none where there is none.

    A resumed run has a file for each time it was started; of an epoch in several, the last one counts.
    """
    found: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("csv/version_*/metrics.csv"), key=_version):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for name, text in row.items():
                    value, epoch = _number(text), _number(row.get("epoch"))
                    if name not in ("epoch", "step", None) and value is not None and epoch is not None:
                        found.setdefault(name, {})[int(epoch)] = value
    return [
        Curve(f"pre-training: {name.replace('train/', '')}", [*epochs], [*epochs.values()])
        for name, epochs in sorted((name, dict(sorted(values.items()))) for name, values in found.items())
    ]


def _number(text: str | None) -> float | None:
    """A finite number; None for an empty cell, and for whatever else stands in a file that is not ours."""
    try:
        value = float(text or "")
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _version(path: Path) -> int:
    number = path.parent.name.removeprefix("version_")
    return int(number) if number.isdigit() else -1


def _recorded_curves(name: str, result: Result) -> list[Curve]:
    figures = [key for key in result.records[0] if key not in ("epoch", "learning_rate")] if result.records else []
    shown = [key for key in figures if key in ("train_loss", *(f"{split}_{main}" for split in SPLITS for main in MAIN))]
    epochs = [row["epoch"] for row in result.records]
    return [Curve(f"{name}: {key.replace('_', ' ')}", epochs, [row[key] for row in result.records]) for key in shown]


SPLITS, MAIN = ("validation", "test"), ("accuracy", "instance_miou")


def _embedding(subject: EvaluationRun, gallery: Gallery) -> Embedding:
    arrays, answers = np.load(subject.folder / SCENERY), np.load(subject.folder / "linear.npz")
    mapped = arrays["mapped"]
    return Embedding(
        positions=arrays["positions"],
        labels=subject.study.clouds("test").labels[mapped],
        predicted=answers["predicted"][mapped],
        pictures=[gallery.pictures[index] for index in mapped],
    )


def _within(subject: EvaluationRun, gallery: Gallery) -> list[Retrieved]:
    """Clouds that ask for clouds."""
    arrays, clouds = np.load(subject.folder / SCENERY), subject.study.clouds("test")
    named = [clouds.classes[label] for label in clouds.labels]
    return [
        Retrieved(gallery.pictures[query], named[query], [(gallery.pictures[item], named[item]) for item in found])
        for query, found in zip(arrays["queries"], arrays["found"], strict=True)
    ]


def _across(subject: EvaluationRun) -> list[Retrieved]:
    """Views that ask for clouds."""
    arrays = np.load(subject.folder / "crossmodal.npz")
    clouds, rendered = subject.study.rendered_set
    named = [clouds.classes[label] for label in clouds.labels]
    return [
        Retrieved(
            view_picture(rendered, int(query)),
            named[query],
            [(cloud_picture(clouds.points[item]), named[item]) for item in found],
        )
        for query, found in zip(arrays["queries"], arrays["found"], strict=True)
    ]


def _segmented(subject: EvaluationRun) -> list[Segmented]:
    """One cloud of each category, until there are enough."""
    arrays, clouds = np.load(subject.folder / "partseg" / PREDICTIONS), subject.study.part_clouds["test"]
    _, first = np.unique(clouds.labels, return_index=True)
    return [
        Segmented(
            clouds.classes[clouds.labels[index]], clouds.points[index], arrays["truth"][index], arrays["parts"][index]
        )
        for index in first[:SEGMENTED]
    ]
