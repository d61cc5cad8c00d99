"""Boxes of a sample of nuScenes as its detection challenge has them: upright in the world, with velocity and attribute.

https://github.com/nutonomy/nuscenes-devkit/blob/master/python-sdk/nuscenes/eval/detection/README.md
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike

from crosspoint.scene.data.calibration import invert
from crosspoint.scene.datasets.nuscenes import BOX_CLASSES

ATTRIBUTES = (
    "cycle.with_rider", "cycle.without_rider", "pedestrian.moving", "pedestrian.sitting_lying_down",
    "pedestrian.standing", "vehicle.moving", "vehicle.parked", "vehicle.stopped",
)  # fmt: skip
NO_ATTRIBUTE = -1
MOST_BOXES = 500  # that may be found in a sample

_MOVING = 0.2  # meters a second
_WHEN_MOVING = dict.fromkeys(("car", "construction_vehicle", "bus", "truck", "trailer"), "vehicle.moving")
_WHEN_MOVING |= dict.fromkeys(("bicycle", "motorcycle"), "cycle.with_rider")
_AT_REST = {"pedestrian": "pedestrian.standing", "bus": "vehicle.stopped"}
_MOST_FREQUENT = dict.fromkeys(("car", "construction_vehicle", "truck", "trailer"), "vehicle.parked")
_MOST_FREQUENT |= dict.fromkeys(("bicycle", "motorcycle"), "cycle.without_rider")
_MOST_FREQUENT |= {"bus": "vehicle.moving", "pedestrian": "pedestrian.moving"}


@dataclass(frozen=True, eq=False)
class NuScenesBoxes:
    """Boxes of one sample, labeled or found, in the world's frame.

    Args:
        geometry: (n, 7) center x y z, length, width, height in meters, heading in radians about z from x.
        labels: (n,) integers, index into `crosspoint.scene.datasets.nuscenes.BOX_CLASSES`.
        velocity: (n, 2) meters a second along x and y; NaN where a labeled one is not known.
        attributes: (n,) integers, index into `ATTRIBUTES`, or −1 for none.
        scores: (n,) from 0, or None for labels.
        points: (n,) integers, returns of LiDAR and radar inside, or None where they are not counted.

    Raises:
        ValueError: if shapes differ, geometry or scores are not finite, a size is not above 0, a score is negative, a
            velocity that was found is NaN, or a class or attribute is unknown.
    """

    geometry: np.ndarray
    labels: np.ndarray
    velocity: np.ndarray
    attributes: np.ndarray
    scores: np.ndarray | None = None
    points: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = len(self.geometry)
        for name, tail, kind in (
            ("geometry", (7,), np.float64),
            ("labels", (), np.int64),
            ("velocity", (2,), np.float64),
            ("attributes", (), np.int64),
            ("scores", (), np.float64),
            ("points", (), np.int64),
        ):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _column(getattr(self, name), name, (count, *tail), kind))
        _refuse(~np.all(np.isfinite(self.geometry), axis=1), self.geometry, "NaN or infinite numbers", "finite ones")
        _refuse(np.any(self.geometry[:, 3:6] <= 0, axis=1), self.geometry, "a size of 0 or less", "meters above 0")
        _refuse(
            (self.labels < 0) | (self.labels >= len(BOX_CLASSES)), self.labels, "an unknown class", _up_to(BOX_CLASSES)
        )
        wrong = (self.attributes < NO_ATTRIBUTE) | (self.attributes >= len(ATTRIBUTES))
        _refuse(wrong, self.attributes, "an unknown attribute", f"−1 or {_up_to(ATTRIBUTES)}")
        if self.scores is not None:
            _refuse(~((self.scores >= 0) & np.isfinite(self.scores)), self.scores, "no score", "a number from 0")
            _refuse(~np.all(np.isfinite(self.velocity), axis=1), self.velocity, "no velocity", "meters a second")

    def __len__(self) -> int:
        return len(self.geometry)

    def keep(self, kept: np.ndarray) -> NuScenesBoxes:
        """Those boxes alone for which `kept` (n,) bool is true."""
        columns = (self.geometry, self.labels, self.velocity, self.attributes, self.scores, self.points)
        return NuScenesBoxes(*(None if each is None else each[kept] for each in columns))  # type: ignore[arg-type]


def likely_attributes(labels: ArrayLike, velocity: ArrayLike) -> np.ndarray:
    """The attribute of each box by its class and speed, as OpenPCDet guesses it.

    Above 0.2 m/s a vehicle moves and a cycle has a rider; below, a pedestrian stands and a bus stops; all others have
    the most frequent attribute of their class. Barriers and cones have none.

    Args:
        labels: (n,) index into `BOX_CLASSES`.
        velocity: (n, 2) meters a second.

    Returns:
        (n,) int64, index into `ATTRIBUTES`, or −1.
    """
    tables = [
        np.array([ATTRIBUTES.index(table[name]) if name in table else NO_ATTRIBUTE for name in BOX_CLASSES])
        for table in (_MOST_FREQUENT | _AT_REST, _MOST_FREQUENT | _WHEN_MOVING)
    ]
    moving = np.hypot(*np.asarray(velocity, dtype=np.float64).reshape(-1, 2).T) > _MOVING
    labels = np.asarray(labels, dtype=np.int64)
    return np.where(moving, tables[1][labels], tables[0][labels])


def to_world(geometry: ArrayLike, velocity: ArrayLike, pose: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of a LiDAR's frame, upright in the world: the way back of what `NuScenes` reads.

    Args:
        geometry: (n, 7) in the LiDAR's frame, as `crosspoint.scene.data.sample.Boxes`.
        velocity: (n, 2) meters a second along the LiDAR's x and y.
        pose: (4, 4) LiDAR → world, such as a sample's.

    Returns:
        (n, 7) and (n, 2) in the world. A LiDAR that is tilted sees headings and velocities turned a little, which is
        taken back exactly.

    Raises:
        ValueError: if the pose is not rigid.
    """
    geometry = torch.as_tensor(geometry, dtype=torch.float64).numpy().reshape(-1, 7)
    velocity = torch.as_tensor(velocity, dtype=torch.float64).numpy().reshape(-1, 2)
    pose = torch.as_tensor(pose, dtype=torch.float64).numpy()
    level = np.linalg.inv(invert(pose)[:2, :2])  # of a level direction in the world, what the LiDAR sees from above
    ahead = np.stack([np.cos(geometry[:, 6]), np.sin(geometry[:, 6])], axis=1) @ level.T
    center = geometry[:, :3] @ pose[:3, :3].T + pose[:3, 3]
    heading = np.arctan2(ahead[:, 1], ahead[:, 0])
    return np.concatenate([center, geometry[:, 3:6], heading[:, None]], axis=1), velocity @ level.T


def _column(values: np.ndarray, name: str, shape: tuple[int, ...], kind: type) -> np.ndarray:
    array = np.asarray(values)
    whole = kind is np.int64
    if array.shape != shape or array.dtype.kind not in ("iu" if whole and array.size else "iuf"):
        numbers = "whole numbers" if whole else "numbers"
        raise ValueError(
            f"found {name} of shape {array.shape} and type {array.dtype}, expected {numbers} of shape {shape}"
        )
    return array.astype(kind)


def _refuse(wrong: np.ndarray, values: np.ndarray, found: str, expected: str) -> None:
    if wrong.any():
        place = int(wrong.argmax())
        raise ValueError(
            f"found {found} in box {place} of {len(wrong)} ({values[place].tolist()}), expected {expected}"
        )


def _up_to(names: tuple[str, ...]) -> str:
    return f"0 to {len(names) - 1}, {names[0]} to {names[-1]}"
