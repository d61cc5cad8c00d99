"""Velocities of nuScenes' boxes, from where the same object is annotated before and after.

The rule of `NuScenes.box_velocity` (https://github.com/nutonomy/nuscenes-devkit, python-sdk/nuscenes/nuscenes.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crosspoint.scene.datasets.nuscenes_tables import Record, Tables

LONGEST = 1.5  # seconds between two annotations; twice as much between the one before and the one after


def box_velocities(tables: Tables, annotations: Sequence[Record]) -> np.ndarray:
    """Velocities of annotations along the world's x and y.

    The difference of the centers of the annotations before and after, of the same object, over the time between their
    samples; where there is one of the two alone, the annotation itself takes the other's place. Not known, NaN, where
    there is neither, or where the time is above 1.5 s, between two neighbors above 3 s.

    Args:
        tables: with `sample_annotation`, of which the neighbors are read that `annotations` lack, and `sample`.
        annotations: records of `sample_annotation`.

    Returns:
        (n, 2) float64, meters a second.

    Raises:
        FileNotFoundError: if a table is not there.
        ValueError: if a record is missing that another one names.
    """
    known = {record["token"]: record for record in annotations}
    named = {token for record in annotations for token in _neighbors(record) if token}
    if absent := named - known.keys():
        known |= tables.index("sample_annotation", absent)
    ends = [tuple(known[token] if token else record for token in _neighbors(record)) for record in annotations]
    tokens = {end["sample_token"] for pair in ends for end in pair}
    times = {token: record["timestamp"] for token, record in tables.index("sample", tokens).items()}
    velocities = np.full((len(annotations), 2), np.nan)
    for row, (record, (first, last)) in enumerate(zip(annotations, ends, strict=True)):
        seconds = 1e-6 * times[last["sample_token"]] - 1e-6 * times[first["sample_token"]]
        longest = 2 * LONGEST if all(_neighbors(record)) else LONGEST
        if 0 < seconds <= longest:
            velocities[row] = np.subtract(last["translation"], first["translation"])[:2] / seconds
    return velocities


def _neighbors(record: Record) -> tuple[str, str]:
    """Tokens of the annotations before and after, empty for none."""
    return record.get("prev", ""), record.get("next", "")
