"""Files of predictions for LiDAR frames, in the format of their dataset where it has one."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal, TypeGuard

import numpy as np
import torch

from crosspoint.eval.prediction.predictor import Prediction
from crosspoint.eval.supervised.network_record import NetworkRecord
from crosspoint.renderers.atomic import atomic_write
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import Boxes
from crosspoint.scene.datasets.kitti_labels import write_results
from crosspoint.scene.datasets.kitti_object import KittiObject
from crosspoint.scene.datasets.nuscenes import BOX_CLASSES, NuScenes

Format = Literal["dataset", "general"]


def file_format(record: NetworkRecord, frames: LidarDataset) -> Format:
    """Whether a dataset has a format of its own for such predictions; then it has the network's classes, too."""
    if record.task == "boxes":
        kitti = isinstance(frames, KittiObject) and record.classes == [*frames.box_classes]
        return "dataset" if kitti or in_one_file(frames, record) else "general"
    if record.classes != [*frames.classes]:
        return "general"
    defined = type(frames).submission is not LidarDataset.submission
    if record.task == "panoptic":
        defined = type(frames).panoptic_submission is not LidarDataset.panoptic_submission
    return "dataset" if defined else "general"


def in_one_file(frames: LidarDataset, record: NetworkRecord) -> TypeGuard[NuScenes]:
    """Whether the dataset's own format is one file for all frames, that of `nuscenes_detections`."""
    return record.task == "boxes" and isinstance(frames, NuScenes) and record.classes == [*BOX_CLASSES]


def general_numbers(record: NetworkRecord) -> list[int]:
    """The number of each class in files of the general format: as in the files of the training data, or from 1 on."""
    return record.numbers or list(range(1, len(record.classes) + 1))


def write_frame_prediction(
    out: Path, frames: LidarDataset, index: int, prediction: Prediction, record: NetworkRecord, format: Format
) -> Path:
    """Write a frame's file, of those that have one.

    - A dataset's own format: that of `LidarDataset.submission` and `panoptic_submission`; KITTI's files of boxes.
    - The general one: `labels/<name>.label`, uint32 for each point, the class in the lower 16 bits as `general_numbers`
      has it, the object in the upper ones; `boxes/<name>.txt`, a line for each box: class x y z length width height
      heading score, in meters and radians in the frame of the LiDAR, and the velocity along its x and y in m/s where
      the detector says some.

    Args:
        out: folder of the files.
        frames: the dataset.
        index: of the frame.
        prediction: for the frame.
        record: of the network.
        format: which of the two.

    Raises:
        ValueError: if the prediction does not fit the frame, or its name leaves the folder.
    """
    if record.task == "boxes":
        return _write_boxes(out, frames, index, prediction, record, format)
    assert prediction.classes is not None
    if format == "dataset" and prediction.objects is not None:
        place, content = frames.panoptic_submission(index, prediction.classes, prediction.objects)
    elif format == "dataset":
        place, numbers = frames.submission(index, prediction.classes)
        content = numbers.tobytes()
    else:
        place = f"labels/{prediction.name}.label"
        numbers = np.array(general_numbers(record), dtype="<u4")[prediction.classes]
        if prediction.objects is not None:
            numbers = numbers | prediction.objects.astype("<u4") << 16
        content = numbers.astype("<u4").tobytes()
    path = _inside(out, place)
    with atomic_write(path) as file:
        file.write(content)
    return path


def _write_boxes(
    out: Path, frames: LidarDataset, index: int, prediction: Prediction, record: NetworkRecord, format: Format
) -> Path:
    assert prediction.boxes is not None
    geometry, labels, scores, velocities = prediction.boxes
    if format == "dataset" and isinstance(frames, KittiObject):
        path = _inside(out, f"{PurePosixPath(prediction.name).name}.txt")
        write_results(frames.results(index, Boxes(geometry, labels), scores), path)
        return path
    path = _inside(out, f"boxes/{prediction.name}.txt")
    columns = [geometry, scores[:, None], *([] if velocities is None else [velocities])]
    lines = [
        " ".join([record.classes[label], *(f"{value:.6g}" for value in row)]) + "\n"
        for label, row in zip(labels.tolist(), torch.cat(columns, dim=1).tolist(), strict=True)
    ]
    with atomic_write(path) as file:
        file.write("".join(lines).encode())
    return path


def _inside(out: Path, place: str) -> Path:
    parts = PurePosixPath(place)
    if parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"found the name {place} of a frame, expected one below the folder of predictions: rename it")
    return out / parts
