"""The eight corruptions of Robo3D: pure functions of a LiDAR frame, a severity from 1 to 3 and a generator.

Kong et al., Robo3D: Towards Robust and Reliable 3D Perception against Corruptions, ICCV 2023,
https://arxiv.org/abs/2303.17597; constants follow its code, https://github.com/ldkong1205/Robo3D, which states those
of motion blur and crosstalk for SemanticKITTI alone. Fog, snow and wet ground have files of their own. Pairs of points
and pixels go with their points; images stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from crosspoint.eval.corruptions.fog import fog
from crosspoint.eval.corruptions.snow import snow
from crosspoint.eval.corruptions.wet_ground import wet_ground
from crosspoint.scene.data.sample import IGNORED, LidarSample

SEVERITIES = 3

# Classes whose echoes may be incomplete: vehicles, by the names of SemanticKITTI, nuScenes and the embedded world.
VEHICLES = frozenset(
    {"car", "bicycle", "motorcycle", "truck", "other-vehicle", "bus", "construction_vehicle", "trailer"}
)
ECHO_POINTS = 10  # fewer points of vehicles than this in a frame are left as they are

FrameCorruption = Callable[[LidarSample, int, Generator, Sequence[str]], LidarSample]


def motion_blur(frame: LidarSample, severity: int, generator: Generator, classes: Sequence[str] = ()) -> LidarSample:
    """The whole frame shifted by a normal step of 0.20 to 0.30 m along each axis, each point by a tenth of that."""
    deviation = (0.20, 0.25, 0.30)[severity - 1]
    shift = generator.normal(0.0, deviation, 3)
    each = generator.normal(0.0, 1.0, (len(frame.points), 3)) * deviation * np.array([0.1, 0.1, 0.05])
    return replace(frame, points=frame.points + torch.from_numpy(shift + each).to(frame.points))


def beam_missing(frame: LidarSample, severity: int, generator: Generator, classes: Sequence[str] = ()) -> LidarSample:
    """A quarter, half or three quarters of the LiDAR's beams drawn with repeats, so that fewer are lost."""
    ring = _rings(frame)
    beams = int(ring.max()) + 1
    low, high = beams // 16, beams - beams // 8  # 2 to 28 of 32, 4 to 58 of 64
    lost = generator.integers(low, max(high, low + 1), round(beams * severity / 4))
    return frame.keep_points(torch.from_numpy(~np.isin(ring.numpy(), lost)))


def cross_sensor(frame: LidarSample, severity: int, generator: Generator, classes: Sequence[str] = ()) -> LidarSample:
    """A LiDAR of fewer beams, a quarter at severity 3 to three quarters at 1, of which every second point is kept."""
    ring = _rings(frame)
    beams = int(ring.max()) + 1
    kept = np.unique(np.floor(np.arange(1, beams, 4 / (4 - severity))).astype(int))
    keep = torch.from_numpy(np.isin(ring.numpy(), kept))
    keep &= keep.cumsum(0) % 2 == 1
    return frame.keep_points(keep)


def crosstalk(frame: LidarSample, severity: int, generator: Generator, classes: Sequence[str] = ()) -> LidarSample:
    """0.6 to 1.0 % of the points moved by some 3 m along each axis, and their intensity; they have no label then."""
    share = (0.006, 0.008, 0.010)[severity - 1]
    chosen = torch.from_numpy(generator.permutation(len(frame.points))[: round(share * len(frame.points))])
    noise = torch.from_numpy(generator.normal(0.0, 3.0, (len(chosen), 4)))
    points, fields = frame.points.clone(), dict(frame.point_fields)
    points[chosen] += noise[:, :3].to(points)
    if "intensity" in fields:
        fields["intensity"] = fields["intensity"].clone()
        fields["intensity"][chosen] += noise[:, 3].to(fields["intensity"])
    if "label" in fields:
        fields["label"] = fields["label"].clone()
        fields["label"][chosen] = IGNORED
    return replace(frame, points=points, point_fields=fields)


def incomplete_echo(
    frame: LidarSample, severity: int, generator: Generator, classes: Sequence[str] = ()
) -> LidarSample:
    """75, 85 or 95 % of the points of vehicles removed; needs labels, and the names of the classes.

    Raises:
        ValueError: if the frame has no labels, or no class is one of vehicles.
    """
    vehicles = [number for number, name in enumerate(classes) if name in VEHICLES]
    if "label" not in frame.point_fields or not vehicles:
        raise ValueError(
            f"found no labels of vehicles in {frame.name}, expected some of {', '.join(sorted(VEHICLES))}: "
            "incomplete_echo removes their points, so leave it out"
        )
    of_vehicles = torch.isin(frame.point_fields["label"], torch.tensor(vehicles)).nonzero().squeeze(1)
    keep = torch.ones(len(frame.points), dtype=torch.bool)
    if len(of_vehicles) > ECHO_POINTS:
        count = round((0.75, 0.85, 0.95)[severity - 1] * len(of_vehicles))
        keep[of_vehicles[torch.from_numpy(generator.permutation(len(of_vehicles))[:count])]] = False
    return frame.keep_points(keep)


ROBO3D: Mapping[str, FrameCorruption] = {
    "motion_blur": motion_blur,
    "beam_missing": beam_missing,
    "crosstalk": crosstalk,
    "incomplete_echo": incomplete_echo,
    "cross_sensor": cross_sensor,
    "fog": fog,
    "wet_ground": wet_ground,
    "snow": snow,
}


def corrupt_frame(
    frame: LidarSample, name: str, severity: int, generator: Generator, classes: Sequence[str] = ()
) -> LidarSample:
    """A corrupted frame; the frame itself stays as it is.

    Args:
        frame: with the field `ring` for beam_missing, cross_sensor and snow, `label` for incomplete_echo, wet_ground
            and snow, `intensity` for fog, wet_ground and snow.
        name: of the corruption.
        severity: from 1 to 3.
        generator: all that is drawn comes from it.
        classes: names of the labels.

    Raises:
        ValueError: if there is no such corruption or severity, or the frame lacks what it needs.
    """
    if name not in ROBO3D:
        raise ValueError(f"found the corruption {name!r}, expected one of {', '.join(ROBO3D)}")
    if severity not in range(1, SEVERITIES + 1):
        raise ValueError(f"found severity {severity}, expected 1 to {SEVERITIES}")
    return ROBO3D[name](frame, severity, generator, classes)


def beams_in_file_order(points: Tensor, beams: int = 64) -> Tensor:
    """Beams of a sweep whose points stand in the order of a Velodyne's file, one turn of a beam after the other.

    A turn ends where the angle jumps back; Robo3D finds the beams of SemanticKITTI so.

    Args:
        points: (N, 3), in the order of the file, x forward, y left.
        beams: of the LiDAR; turns beyond the last are counted to it.

    Returns:
        (N,) int64 from 0, for the field `ring`.
    """
    turn = 0.5 * (1 - torch.atan2(points[:, 1], points[:, 0]) / torch.pi)  # clockwise from behind, 0 to 1
    begins = (turn[1:] < 0.2) & (turn[:-1] > 0.8)
    found = torch.zeros(len(points), dtype=torch.int64)
    found[1:] = begins.cumsum(0)
    return found.clamp(max=beams - 1)


def _rings(frame: LidarSample) -> Tensor:
    """(N,) int64, which of the LiDAR's beams saw each point."""
    if "ring" not in frame.point_fields or len(frame.points) == 0:
        raise ValueError(
            f"found no beams of points in {frame.name}, expected the field ring: take a dataset that has it (nuScenes, "
            "the embedded world), or find them (crosspoint.eval.corruptions.robo3d.beams_in_file_order)"
        )
    return frame.point_fields["ring"]
