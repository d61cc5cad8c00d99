"""Aggregation of sweeps: those before a frame, moved by the vehicle's own motion into the frame of its LiDAR.

As `LidarPointCloud.from_file_multisweep` of nuScenes' devkit (https://github.com/nutonomy/nuscenes-devkit).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from crosspoint.scene.data.sample import IGNORED, LidarSample

NEAREST = (
    1.0  # meters along x and along y: what is nearer to the sensor is the vehicle itself, which would leave a trail
)
INTERVAL = 0.1  # seconds between sweeps of a LiDAR that turns ten times a second, where no file says more


class EarlierSweep(NamedTuple):
    """One sweep before a frame."""

    points: Tensor  # (n, 3) float32: meters in the LiDAR's frame when this sweep was taken
    point_fields: Mapping[str, Tensor]  # (n, …) each
    to_frame: np.ndarray  # (4, 4): from there to the LiDAR's frame at the time of the frame
    seconds: float  # before the frame


def add_sweeps(sample: LidarSample, earlier: Sequence[EarlierSweep]) -> LidarSample:
    """The sample with the points of earlier sweeps behind its own, and two more fields: "time" and "sweep".

    Of all sweeps, its own among them, the points within a meter of the sensor along x and along y are left out. A field
    that an earlier sweep does not have is 0 at its points, the label `IGNORED`. What moved by itself stands where it
    stood.

    Args:
        sample: before points and pixels are paired.
        earlier: the latest first.
    """
    own = _far(sample.points)
    sample = sample.keep_points(own)
    points, times, numbers = [sample.points], [0.0], [len(sample.points)]
    fields = {name: [values] for name, values in sample.point_fields.items()}
    for sweep in earlier:
        far = _far(sweep.points)
        transform = torch.from_numpy(np.asarray(sweep.to_frame, dtype=np.float64))
        points.append((sweep.points[far].double() @ transform[:3, :3].mT + transform[:3, 3]).float())
        times.append(sweep.seconds)
        numbers.append(int(far.sum()))
        for name, parts in fields.items():
            given = sweep.point_fields.get(name)
            fill = IGNORED if name == "label" else 0
            empty = parts[0].new_full((numbers[-1], *parts[0].shape[1:]), fill)
            parts.append(empty if given is None else given[far])
    counts = torch.tensor(numbers)
    added = {
        "time": torch.tensor(times, dtype=torch.float32).repeat_interleave(counts),
        "sweep": torch.arange(len(counts)).repeat_interleave(counts),
    }
    joined = {name: torch.cat(parts) for name, parts in fields.items()}
    return replace(sample, points=torch.cat(points), point_fields={**joined, **added})


def check_sweeps(sweeps: int) -> None:
    """Raise ValueError if so many sweeps cannot be aggregated."""
    if sweeps < 1:
        raise ValueError(f"found sweeps {sweeps}, expected 1 for the frame's own alone, or more for earlier ones, too")


def _far(points: Tensor) -> Tensor:
    return (points[:, :2].abs() >= NEAREST).any(dim=1)
