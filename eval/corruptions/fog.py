"""Fog of Robo3D: light that is lost on the way, and echoes of the fog in place of weak ones.

Hahner et al., Fog Simulation on Real LiDAR Point Clouds, ICCV 2021, https://arxiv.org/abs/2108.05249, whose equations
and constants the public codes have: https://github.com/MartinHahner/LiDAR_fog_sim, theory.py, and
https://github.com/ldkong1205/Robo3D, create/semantickitti_c/fog.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from numpy.random import Generator
from scipy.constants import speed_of_light
from scipy.integrate import simpson

from crosspoint.scene.data.sample import IGNORED, LidarSample

BACKSCATTER = (0.008, 0.05, 0.2)  # β by severity, per steradian
ATTENUATION = (0.0, 0.005, 0.01, 0.02, 0.03, 0.06)  # α per meter, one of which each frame draws
TARGET = 1e-6 / np.pi  # β0, of hard targets
PULSE = 2e-8  # half-power width of the pulse in seconds
NEAR = (0.9, 1.0)  # meters from where on the receiver sees some of the beam, and all of it
FARTHEST, STEPS = 200.0, 2000  # of the table, in meters
SCATTER = 10.0  # meters around a point's range, of the draw that moves its echo in the fog


def fog(frame: LidarSample, severity: int, generator: Generator, classes: Sequence[str] = ()) -> LidarSample:
    """Intensities attenuated by exp(−2 α r); where the fog's own echo is stronger, the point is there instead.

    Such a point lies on its ray where the fog answers strongest, times r / u with u uniform within 10 m of its range r:
    near ones may land anywhere on their line, as in the public code. It has the fog's intensity, at most 1, and no
    label.

    Raises:
        ValueError: if the frame has no intensity.
    """
    if "intensity" not in frame.point_fields:
        raise ValueError(
            f"found no intensity in {frame.name}, expected that of each point: fog is a matter of light, so take a "
            "dataset that has it"
        )
    points, fields = frame.points.double().numpy(), dict(frame.point_fields)
    sent = fields["intensity"].double().numpy()
    alpha = float(generator.choice(ATTENUATION))
    ranges = np.linalg.norm(points, axis=1)
    hard = np.exp(-2 * alpha * ranges) * sent
    distance, answer = fog_echo(ranges, alpha)
    soft = answer * sent * ranges**2 * BACKSCATTER[severity - 1] / TARGET
    drawn = generator.uniform(ranges - SCATTER, ranges + SCATTER)
    foggy = soft > hard
    moved = points * (distance / np.where(foggy, drawn, 1.0))[:, None]  # distance / r, times r / u
    fields["intensity"] = torch.from_numpy(np.where(foggy, np.minimum(soft, 1.0), hard)).to(fields["intensity"])
    if "label" in fields:
        fields["label"] = fields["label"].clone()
        fields["label"][torch.from_numpy(foggy)] = IGNORED
    seen = torch.from_numpy(np.where(foggy[:, None], moved, points)).to(frame.points)
    return replace(frame, points=seen, point_fields=fields)


def fog_echo(ranges: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the fog before a hard target answers strongest, and how strongly.

    Args:
        ranges: of the hard targets, meters.
        alpha: attenuation per meter.

    Returns:
        Meters, and the integral of equation 11 without its constants, of the shape of `ranges`.
    """
    places, strongest, answers = _table(alpha)
    known = np.searchsorted(places, np.minimum(np.round(ranges, 1), FARTHEST), side="right") - 1
    return places[strongest[known]], answers[strongest[known]]


@lru_cache(maxsize=len(ATTENUATION))
def _table(alpha: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places R on a ray, the index of the strongest answer up to each, and the answers.

    The answer at R is ∫ sin²(π t / 2τ) exp(−2 α ρ) ξ(ρ) / ρ² dt over the pulse, from 0 to 2τ, with ρ = R − c t / 2; all
    of it comes from before the target, as R does.
    """
    places = np.linspace(0, FARTHEST, STEPS)
    times = np.linspace(0, 2 * PULSE, STEPS)
    answers = np.empty(STEPS)
    for start in range(0, STEPS, 250):
        back = places[start : start + 250, None] - speed_of_light * times / 2
        within = np.maximum(back, NEAR[0])  # nothing is seen before
        share = np.clip((within - NEAR[0]) / (NEAR[1] - NEAR[0]), 0, 1)
        values = np.sin(np.pi * times / (2 * PULSE)) ** 2 * np.exp(-2 * alpha * within) * share / within**2
        answers[start : start + 250] = simpson(values, x=times, axis=1)
    best = np.maximum.accumulate(answers)
    strongest = np.maximum.accumulate(np.where(answers >= best, np.arange(STEPS), 0))
    first = np.searchsorted(best, best, side="left")  # of equal answers the first, as argmax has it
    return places, np.minimum(strongest, first), answers
