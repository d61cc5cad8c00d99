"""Curves over epochs: of pre-training, from the files of a run, and of training with labels, from a result."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from crosspoint.eval.report.report_model import Curve
from crosspoint.eval.results import Result

SHOWN = {"train_loss"} | {
    f"{split}_{figure}"
    for split in ("validation", "test")
    for figure in ("accuracy", "instance_miou", "miou", "ap_3d", "delta1", "pq")
}


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


def recorded_curves(name: str, result: Result) -> list[Curve]:
    """The loss and the main figures of each epoch in the records of a result.

    Args:
        name: of the training.
        result: of a protocol that trains: some of its records have an epoch.
    """
    rows = [row for row in result.records if "epoch" in row]
    shown = [key for key in rows[0] if key in SHOWN] if rows else []
    epochs = [row["epoch"] for row in rows]
    return [Curve(f"{name}: {key.replace('_', ' ')}", epochs, [row[key] for row in rows]) for key in shown]


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
