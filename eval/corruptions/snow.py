"""Snow of Robo3D: flakes that hide rays and answer in place of what is behind, and echoes too weak to be kept.

Hahner et al., LiDAR Snowfall Simulation for Robust 3D Object Detection, CVPR 2022, https://arxiv.org/abs/2203.15118;
constants follow https://github.com/ldkong1205/Robo3D, create/nuscenes_c/snow/simulation.py. Where the paper lets a
target answer by its own reflectivity, that code puts a flake's in its place for rays with flakes: so it is here, as
published baselines are of such frames. What it does more, correct intensities by the calibration of an HDL-64, is left
out: a ray that flakes hide in part has the rest of its intensity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.random import Generator
from scipy.constants import speed_of_light
from scipy.stats import linregress

from crosspoint.eval.corruptions.fog import NEAR
from crosspoint.eval.corruptions.snowflakes import Snowfall, draw_flakes, hidden_shares
from crosspoint.eval.corruptions.wet_ground import ground_points, incidence
from crosspoint.scene.data.sample import IGNORED, LidarSample

SNOWFALL = (Snowfall(0.5, 2.0), Snowfall(1.0, 1.6), Snowfall(2.5, 1.6))  # by severity
WHITE = 0.9  # reflectivity of a flake
PULSE = 1e-8 * speed_of_light  # meters
FARTHEST = 120.0  # meters, up to which echoes are added up
STEP = 0.1  # meters
FLOOR = 0.7  # share of the weakest echoes of ground below which a point is lost
DARKEST = 5 / 255  # below which echoes of ground say nothing of that
BINS, BETWEEN = 50, (10.0, 70.0)  # of distance, meters, in which the weakest is looked for


def snow(frame: LidarSample, severity: int, generator: Generator, classes: Sequence[str] = ()) -> LidarSample:
    """Snow of 0.5, 1.0 or 2.5 mm/h, with flakes of their own for each beam.

    A point becomes that of a flake, without a label, where flakes answer more strongly than what is behind. Others keep
    the share of their intensity that flakes do not hide, and are removed where it is below 0.7 of the weakest echoes of
    ground at their distance; none is removed from a frame that would have no point left.

    Raises:
        ValueError: if the frame has no beams, no intensity, no labels, or no class is one of ground.
    """
    if "ring" not in frame.point_fields:
        raise ValueError(
            f"found no beams of points in {frame.name}, expected the field ring: each beam has flakes of its own"
        )
    ground = ground_points(frame, classes, "snow")
    points, ring = frame.points.double().numpy(), frame.point_fields["ring"].numpy()
    intensity = frame.point_fields["intensity"].double().numpy()
    distance = np.linalg.norm(points, axis=1)
    floor = noise_floor(points[ground], intensity[ground], distance)
    factor, left = np.ones(len(points)), intensity.copy()
    scattered = np.zeros(len(points), dtype=bool)
    for beam in np.unique(ring):
        rows = np.flatnonzero((ring == beam) & (distance > NEAR[1]) & (distance < FARTHEST))
        flakes = draw_flakes(SNOWFALL[severity - 1], generator)
        angles = np.arctan2(points[rows, 1], points[rows, 0])
        ray, place, share = hidden_shares(angles, distance[rows], flakes)
        seen = 1 - np.bincount(ray, share, minlength=len(rows)).clip(0, 1)
        left[rows] *= seen
        strongest, power = echoes(ray, place, share, distance[rows], seen)
        hit = np.zeros(len(rows), dtype=bool)
        hit[np.unique(ray)] = True
        moved = hit & (power > 0) & (np.abs(strongest - distance[rows]) >= 2 * STEP)
        scattered[rows[moved]] = True
        factor[rows[moved]] = strongest[moved] / distance[rows[moved]]
        left[rows[moved]] = power[moved].clip(0, 1)
    fields = dict(frame.point_fields)
    fields["intensity"] = torch.from_numpy(left).to(fields["intensity"])
    fields["label"] = fields["label"].clone()
    fields["label"][torch.from_numpy(scattered)] = IGNORED
    moved_points = torch.from_numpy(points * factor[:, None]).to(frame.points)
    seen_frame = replace(frame, points=moved_points, point_fields=fields)
    keep = scattered | (left > floor)
    return seen_frame.keep_points(torch.from_numpy(keep)) if keep.any() else seen_frame


def echoes(
    ray: np.ndarray, place: np.ndarray, share: np.ndarray, distance: np.ndarray, seen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where a ray's echo is strongest, and its power.

    The echo of a flake at r is 0.9 ξ / r² times the share that it hides, that of the target behind likewise, each a
    pulse of sin² over 3 m; pulses add up in steps of 0.1 m.

    Args:
        ray: (n,) of each flake.
        place: (n,) its distance.
        share: (n,) what it hides.
        distance: (m,) of the target of each ray.
        seen: (m,) share of the ray that reaches it.

    Returns:
        Distances (m,) and powers (m,).
    """
    rays = np.concatenate([ray, np.arange(len(distance))])
    where, part = np.concatenate([place, distance]), np.concatenate([share, seen])
    visible = np.clip((where - NEAR[0]) / (NEAR[1] - NEAR[0]), 0, 1)
    peak = WHITE * part * visible / where**2
    steps = int((FARTHEST + PULSE) / STEP) + 2
    sums = np.zeros((len(distance), steps))
    first = np.ceil(where / STEP).astype(int)
    for offset in range(int(PULSE / STEP) + 1):
        at = first + offset
        behind = at * STEP - where
        value = np.where(behind <= PULSE, peak * np.sin(np.pi * behind / PULSE) ** 2, 0.0)
        np.add.at(sums, (rays, np.minimum(at, steps - 1)), value)
    best = sums.argmax(axis=1)
    return best * STEP - PULSE / 2, sums[np.arange(len(best)), best]


def noise_floor(ground: np.ndarray, intensity: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """The intensity below which a point at each distance is lost, from the weakest echoes of ground.

    Their intensities over the cosine of incidence have a line as their lower bound; 0.7 of it times the cosine, as a
    polynomial of degree 2 of the distance, is the floor. Where ground says too little, the floor is −1.

    Args:
        ground: points (n, 3) of ground.
        intensity: (n,) of them.
        distance: (m,) of all points.
    """
    if len(ground) < 3:
        return np.full(len(distance), -1.0)
    away, cosine = np.linalg.norm(ground, axis=1), incidence(ground)
    level = intensity / cosine
    edges = np.linspace(*BETWEEN, BINS + 1)
    at = np.digitize(away, edges) - 1
    lowest = [
        (center, level[there].min())
        for number, center in enumerate((edges[1:] + edges[:-1]) / 2)
        if (there := (at == number) & (level > DARKEST)).any()
    ]
    fitted = linregress(*zip(*lowest, strict=True)) if len(lowest) > 3 else linregress(away, level)
    line = FLOOR * (fitted.slope * away + fitted.intercept) * cosine
    floor: np.ndarray = np.polyval(np.polyfit(away, line, 2), distance)
    return floor
