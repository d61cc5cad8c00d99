"""Result files of nuScenes' detection challenge: JSON of the boxes of each sample.

https://github.com/nutonomy/nuscenes-devkit/blob/master/python-sdk/nuscenes/eval/detection/README.md#results-format
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.files import short
from crosspoint.renderers.records import read_json
from crosspoint.scene.datasets.nuscenes import BOX_CLASSES
from crosspoint.scene.datasets.nuscenes_boxes import ATTRIBUTES, MOST_BOXES, NO_ATTRIBUTE, NuScenesBoxes

MODALITIES = ("use_camera", "use_lidar", "use_radar", "use_map", "use_external")
_MOST_BYTES = 2**32  # 500 boxes in each of 6,019 samples are a gigabyte
_EXPECTED = "results of nuScenes' detection challenge"

_Triple = tuple[float, float, float]


class _Box(msgspec.Struct):
    sample_token: str
    translation: _Triple
    size: _Triple  # width, length, height
    rotation: tuple[float, float, float, float]  # w x y z
    velocity: tuple[float, float]
    detection_name: str
    detection_score: float
    attribute_name: str


class _Results(msgspec.Struct):
    meta: dict[str, object]
    results: Annotated[dict[str, list[_Box]], msgspec.Meta(max_length=10**6)]


def write_results(found: Mapping[str, NuScenesBoxes], path: Path, uses: tuple[str, ...] = ("use_lidar",)) -> None:
    """Write the boxes of all samples of a split, atomically; a file that is there is written over.

    Args:
        found: by the sample's token, in the world's frame, with scores; samples without boxes must be there, too.
        path: the file.
        uses: those of `MODALITIES` that the detector used, at training or later.

    Raises:
        ValueError: if a sample has no scores or more than 500 boxes, or a modality is unknown.
        OSError: if the file cannot be written.
    """
    unknown = [name for name in uses if name not in MODALITIES]
    if unknown:
        raise ValueError(f"found the modality {unknown[0]!r}, expected some of: {', '.join(MODALITIES)}")
    results = {token: _as_records(token, boxes) for token, boxes in found.items()}
    content = {"meta": {name: name in uses for name in MODALITIES}, "results": results}
    with atomic_write(path) as file:
        file.write(json.dumps(content, allow_nan=False).encode())


def read_results(path: Path) -> dict[str, NuScenesBoxes]:
    """The boxes of each sample in a result file; of a tilted box the heading is that of its length from above.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is of another structure, a class or attribute is unknown, a quaternion is none, a box names
            another sample, a sample has more than 500 boxes, or as `NuScenesBoxes`.
    """
    content = read_json(path, _Results, _EXPECTED, "write it again", _MOST_BYTES)
    boxes = {}
    for token, records in content.results.items():
        try:
            boxes[token] = _as_boxes(token, records)
        except ValueError as error:
            raise ValueError(f"{error}: sample {short(token)} in {path}") from None
    return boxes


def _as_records(token: str, boxes: NuScenesBoxes) -> list[dict[str, object]]:
    if boxes.scores is None:
        raise ValueError(f"found boxes without scores in sample {token}, expected one for each: give the detector's")
    if len(boxes) > MOST_BOXES:
        raise ValueError(f"found {len(boxes)} boxes in sample {token}, expected at most {MOST_BOXES}: keep the best")
    records: list[dict[str, object]] = []
    for place in range(len(boxes)):
        *center, length, width, height, heading = boxes.geometry[place].tolist()
        attribute = int(boxes.attributes[place])
        records.append(
            {
                "sample_token": token,
                "translation": center,
                "size": [width, length, height],
                "rotation": [float(np.cos(heading / 2)), 0.0, 0.0, float(np.sin(heading / 2))],
                "velocity": boxes.velocity[place].tolist(),
                "detection_name": BOX_CLASSES[boxes.labels[place]],
                "detection_score": float(boxes.scores[place]),
                "attribute_name": "" if attribute == NO_ATTRIBUTE else ATTRIBUTES[attribute],
            }
        )
    return records


def _as_boxes(token: str, records: list[_Box]) -> NuScenesBoxes:
    if len(records) > MOST_BOXES:
        raise ValueError(f"found {len(records)} boxes, expected at most {MOST_BOXES}")
    other = [record.sample_token for record in records if record.sample_token != token]
    if other:
        raise ValueError(f"found a box of sample {short(other[0])}, expected those of one")
    names = [record.detection_name for record in records]
    attributes = [record.attribute_name for record in records]
    for given, known, what in ((names, BOX_CLASSES, "class"), (attributes, ("", *ATTRIBUTES), "attribute")):
        unknown = [name for name in given if name not in known]
        if unknown:
            raise ValueError(f"found the {what} {short(unknown[0])}, expected one of: {', '.join(filter(None, known))}")
    quaternions = np.array([record.rotation for record in records]).reshape(-1, 4)
    lengths = np.linalg.norm(quaternions, axis=1)
    if (abs(lengths - 1) > 1e-3).any():
        wrong = quaternions[int((abs(lengths - 1) > 1e-3).argmax())]
        raise ValueError(f"found the quaternion {wrong.tolist()}, expected w x y z of length 1")
    w, x, y, z = (quaternions / lengths[:, None]).T
    heading = np.arctan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z))
    sizes = np.array([record.size for record in records]).reshape(-1, 3)[:, [1, 0, 2]]
    center = np.array([record.translation for record in records]).reshape(-1, 3)
    return NuScenesBoxes(
        np.concatenate([center, sizes, heading[:, None]], axis=1),
        np.array([BOX_CLASSES.index(name) for name in names], dtype=np.int64),
        np.array([record.velocity for record in records], dtype=np.float64).reshape(-1, 2),
        np.array([ATTRIBUTES.index(name) if name else NO_ATTRIBUTE for name in attributes], dtype=np.int64),
        np.array([record.detection_score for record in records], dtype=np.float64),
    )
