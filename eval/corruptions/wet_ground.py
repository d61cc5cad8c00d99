"""Wet ground of Robo3D: a film of water that mirrors light away, so that weak echoes of the ground are lost.

Hahner et al., LiDAR Snowfall Simulation for Robust 3D Object Detection, CVPR 2022, https://arxiv.org/abs/2203.15118;
constants and what papers leave open follow https://github.com/ldkong1205/Robo3D, create/nuscenes_c/wet_ground and
create/semantickitti_c/wet_ground/phy_equations.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.random import Generator
from scipy.stats import linregress

from crosspoint.scene.data.sample import LidarSample

# Classes of ground, by the names of SemanticKITTI, nuScenes and the embedded world, and by its own.
GROUND = frozenset({"road", "parking", "sidewalk", "other-ground", "driveable_surface", "other_flat", "ground"})
LEAST = 1000  # points of ground below which a frame stays as it is
WATER = (0.2, 1.0, 1.2)  # mm by severity
PAVEMENT = 1.2  # mm, how deep its texture is
FLOOR = (0.2, 0.3, 0.7)  # share of the fitted intensity below which an echo is lost, by severity
POWER = 15.0  # of the laser, as a multiple of what the ground sends back
AIR, SEA = 1.0003, 1.33  # refractive indices
DARKEST = 0.05  # reflectivity of ground


def wet_ground(frame: LidarSample, severity: int, generator: Generator, classes: Sequence[str] = ()) -> LidarSample:
    """Points of ground dimmed by 0.2, 1.0 or 1.2 mm of water, and removed where they fall below the noise.

    Nothing is drawn. Frames with fewer than 1,000 points of ground stay as they are. The public code also looks for a
    noise of its own among intensities above 5, which there are none of from 0 to 1, and takes the fit otherwise.

    Raises:
        ValueError: if the frame has no intensity, no labels, or no class is one of ground.
    """
    ground = ground_points(frame, classes, "wet_ground")
    if len(ground) < LEAST:
        return frame
    points = frame.points.double().numpy()[ground]
    intensity = frame.point_fields["intensity"].double().numpy()[ground]
    distance, cosine = np.linalg.norm(points, axis=1), incidence(points)
    angle = np.arccos(cosine)
    fitted = linregress(distance, intensity / cosine)
    returned = fitted.slope * distance + fitted.intercept
    power = POWER * returned
    reflectivity = intensity / cosine / power
    wet = transmitted(angle, np.clip(reflectivity, DARKEST, 1.0)) / angle
    share = min(WATER[severity - 1] / PAVEMENT, 1.0)
    left = np.clip(power * cosine * ((1 - share) * reflectivity + share * wet), 0.0, intensity)
    lost = left <= FLOOR[severity - 1] * returned * cosine
    rows = torch.from_numpy(ground)
    fields = dict(frame.point_fields)
    fields["intensity"] = fields["intensity"].clone()
    fields["intensity"][rows] = torch.from_numpy(left).to(fields["intensity"])
    keep = torch.ones(len(frame.points), dtype=torch.bool)
    keep[rows] = torch.from_numpy(~lost)
    return replace(frame, point_fields=fields).keep_points(keep)


def ground_points(frame: LidarSample, classes: Sequence[str], name: str) -> np.ndarray:
    """Rows of the points of ground below the sensor, (n,) int64.

    Raises:
        ValueError: if the frame has no intensity, no labels, or no class is one of ground.
    """
    numbers = [number for number, each in enumerate(classes) if each in GROUND]
    lacks = [field for field in ("intensity", "label") if field not in frame.point_fields]
    if lacks or not numbers:
        found = f"no {' and no '.join(lacks)}" if lacks else "no class of ground"
        raise ValueError(
            f"found {found} in {frame.name}, expected intensities and labels, some of {', '.join(sorted(GROUND))}: "
            f"{name} is about their light, so leave it out"
        )
    of_ground = torch.isin(frame.point_fields["label"], torch.tensor(numbers)) & (frame.points[:, 2] < 0)
    return of_ground.nonzero().squeeze(1).numpy()


def incidence(points: np.ndarray) -> np.ndarray:
    """Cosine of the angle at which rays to points (n, 3) below the sensor meet flat ground."""
    cosine: np.ndarray = -points[:, 2] / np.linalg.norm(points, axis=1)
    return np.clip(cosine, 1e-6, 1 - 1e-12)


def transmitted(angle: np.ndarray, reflectivity: np.ndarray) -> np.ndarray:
    """Share of light that comes back through water from ground: into it, off the ground, out of it, again and again.

    Args:
        angle: of incidence in air, radians.
        reflectivity: of the ground below, from 0 to 1.

    Returns:
        The larger share of both polarizations.
    """
    inside = np.arcsin(np.clip(np.sin(angle) * AIR / SEA, -1, 1))
    into, out = fresnel(angle, AIR, SEA), fresnel(inside, SEA, AIR)
    shares = [
        enters * reflectivity * leaves / (1 - reflectivity * stays)
        for (_, enters), (stays, leaves) in zip(into, out, strict=True)
    ]
    larger: np.ndarray = np.maximum(*shares)
    return larger


def fresnel(angle: np.ndarray, first: float, second: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Shares of power that a plane between two media reflects and lets through, of both polarizations.

    Args:
        angle: of incidence in the first medium, radians.
        first: its refractive index.
        second: that of the other medium.
    """
    refracted = np.arcsin(np.clip(np.sin(angle) * first / second, -1, 1))
    here, there = np.cos(angle), np.cos(refracted)
    wider = second * there / (first * here)  # the beam's cross-section and the medium's impedance
    found = []
    for near, far in ((first * here, second * there), (second * here, first * there)):
        reflected, through = (near - far) / (near + far), 2 * first * here / (near + far)
        found.append((reflected**2, through**2 * wider))
    return found
