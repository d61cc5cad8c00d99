"""Average precision of detections on any frames with boxes, by the rules of KITTI's object benchmark.

Every labeled box counts: where a dataset says nothing of occlusion or of how large an object is in an image, there are
no difficulties. Boxes from above and volumes are compared; AP is the mean over 40 positions of recall (Simonelli et
al., 2019, https://arxiv.org/abs/1905.12365), so n objects, all found and nothing else, give 100 (min(n, 41) − 1) / 40.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from crosspoint.eval.metrics.detection.kitti import METRICS, kitti_scores
from crosspoint.eval.metrics.detection.nuscenes import nuscenes_scores
from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import Boxes, LidarSample
from crosspoint.scene.datasets.kitti_labels import KittiLabels
from crosspoint.scene.datasets.kitti_object import KittiObject
from crosspoint.scene.datasets.nuscenes import NuScenes
from crosspoint.scene.datasets.nuscenes_boxes import MOST_BOXES, NO_ATTRIBUTE, NuScenesBoxes, to_world
from crosspoint.scene.detection.found_boxes import FoundBoxes
from crosspoint.scene.detection.points_in_boxes import points_in_boxes

LONG = 3.0  # meters; objects of a mean length above it must overlap by more than 0.7, as KITTI's cars, others by 0.5
CLASS = "Car"  # under which each class stands in turn, so that no other one is its neighbor


def box_scores(
    found: Sequence[FoundBoxes], truth: Sequence[Boxes], names: Sequence[str]
) -> tuple[dict[str, float], list[JsonObject]]:
    """Figures of all classes, and a row for each.

    Args:
        found: of each frame.
        truth: likewise.
        names: of the classes.

    Returns:
        "ap_3d" and "ap_bev" in percent, the means over the classes that occur; and of each class its name, objects,
        least overlap, and both, None where it has no object.

    Raises:
        ValueError: if there is no frame or no object, or there are detections of another number of frames.
    """
    check_frames(found, truth)
    rows: list[JsonObject] = []
    for label, name in enumerate(names):
        own = [boxes.geometry[boxes.labels == label] for boxes in truth]
        lengths = torch.cat(own)[:, 3]
        row: JsonObject = {"class": name, "objects": len(lengths), "least_overlap": None}
        row |= {"ap_3d": None, "ap_bev": None}
        if len(lengths):
            least = 0.7 if float(lengths.mean()) > LONG else 0.5
            said = [(boxes.geometry[boxes.labels == label], boxes.scores[boxes.labels == label]) for boxes in found]
            table = kitti_scores(
                [_labels(geometry) for geometry in own],
                [_labels(geometry, scores) for geometry, scores in said],
                [CLASS],
                {CLASS: (least, least, least)},
            ).r40
            row |= {"least_overlap": least}
            row |= {f"ap_{metric}": float(table[METRICS.index(metric), 0, 0]) for metric in ("3d", "bev")}
        rows.append(row)
    there = [row for row in rows if row["objects"]]
    return {key: float(np.mean([row[key] for row in there])) for key in ("ap_3d", "ap_bev")}, rows


def check_frames(found: Sequence[FoundBoxes], truth: Sequence[Boxes]) -> None:
    """Refuse frames that nothing can be measured on.

    Raises:
        ValueError: if there is no frame or no object, or there are detections of another number of frames.
    """
    if len(found) != len(truth) or not truth:
        raise ValueError(f"found detections of {len(found)} frames, expected {len(truth)}, of 1 frame or more")
    if sum(len(boxes.labels) for boxes in truth) == 0:
        raise ValueError(f"found no box in {len(truth)} frames to measure on, expected some: choose another extent")


def benchmark_scores(found: Sequence[FoundBoxes], dataset: LidarDataset, indices: Sequence[int]) -> dict[str, float]:
    """Figures as a dataset's own benchmark defines them; none where it has none here.

    Of KITTI: AP over 40 positions of recall, of volumes and from above, for each class and difficulty and their mean:
    "car_3d_moderate", …, "mean_bev_hard". Of nuScenes: "map", "nds", AP of each class and errors; frames know no
    attributes, so that error is 1 and NDS at most 90; where the detector says no velocities, their error is 1, too, and
    NDS at most 80; distances are from the LiDAR; and boxes without a return of the LiDAR do not count, whatever the
    radars saw.

    Args:
        found: of each frame.
        dataset: of the frames.
        indices: of the frames in it.
    """
    if isinstance(dataset, KittiObject):
        results = [
            dataset.results(index, Boxes(boxes.geometry, boxes.labels), boxes.scores)
            for index, boxes in zip(indices, found, strict=True)
        ]
        figures = kitti_scores([dataset.labels(index) for index in indices], results).figures()
        return {name: value for name, value in figures.items() if "_3d_" in name or "_bev_" in name}
    if isinstance(dataset, NuScenes):
        samples = [dataset[index] for index in indices]
        moving = all(boxes.velocities is not None for boxes in found)
        truth = [_labels_in_world(sample, moving) for sample in samples]
        poses = [sample.pose for sample in samples if sample.pose is not None]
        said = [nuscenes_answers(pose, boxes) for pose, boxes in zip(poses, found, strict=True)]
        places = np.array([pose[:3, 3].tolist() for pose in poses])
        return nuscenes_scores(truth, said, places).figures()
    return {}


def nuscenes_answers(pose: Tensor, found: FoundBoxes) -> NuScenesBoxes:
    """What was found in a frame, in the world and without attributes, as `write_results` of nuScenes takes it.

    Args:
        pose: (4, 4) of the frame, LiDAR → world.
        found: in the frame, of which the best 500 are kept; without velocities all stand still.
    """
    found = found.keep(found.scores.argsort(descending=True, stable=True)[:MOST_BOXES])
    count = len(found.scores)
    speed = torch.zeros(count, 2) if found.velocities is None else found.velocities
    geometry, velocity = to_world(found.geometry.double(), speed.double(), pose)
    scores = found.scores.double().numpy()
    return NuScenesBoxes(geometry, found.labels.numpy(), velocity, np.full(count, NO_ATTRIBUTE), scores)


def _labels_in_world(sample: LidarSample, moving: bool) -> NuScenesBoxes:
    """Labeled boxes of a frame with the returns in each; where nothing is `moving`, no velocity is known."""
    assert sample.pose is not None and sample.boxes is not None
    boxes, own = sample.boxes, sample.points
    if "sweep" in sample.point_fields:
        own = own[sample.point_fields["sweep"] == 0]
    speed = boxes.velocities if moving else None
    if speed is None:
        speed = torch.full((len(boxes.labels), 2), torch.nan)
    geometry, velocity = to_world(boxes.geometry.double(), speed.double(), sample.pose)
    inside = points_in_boxes(own, boxes.geometry).sum(dim=0).numpy()
    attributes = np.full(len(boxes.labels), NO_ATTRIBUTE)
    return NuScenesBoxes(geometry, boxes.labels.numpy(), velocity, attributes, points=inside)


def _labels(geometry: Tensor, scores: Tensor | None = None) -> KittiLabels:
    """Boxes (n, 7) of one class under KITTI's names for our axes, large in an image and hidden by nothing.

    `KittiLabels.upright` leads back to them.
    """
    x, y, z, length, width, height, heading = geometry.double().numpy().T
    count = len(x)
    return KittiLabels(
        [CLASS] * count,
        np.zeros(count),
        np.zeros(count),
        np.full(count, -10.0),
        np.tile([0.0, 0.0, 100.0, 100.0], (count, 1)),
        np.stack([height, width, length], axis=1),
        np.stack([-y, height / 2 - z, x], axis=1),
        -(math.pi / 2 + heading),
        None if scores is None else scores.double().numpy(),
    )
