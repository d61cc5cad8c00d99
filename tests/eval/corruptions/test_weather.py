"""Fog, wet ground and snow on LiDAR frames: the light that is lost, and the echoes that take its place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.random import Generator
from scipy.constants import speed_of_light
from scipy.integrate import quad

from crosspoint.eval.corruptions import fog, snow, snowflakes, wet_ground
from crosspoint.eval.corruptions.robo3d import corrupt_frame
from crosspoint.eval.corruptions.snowflakes import DIVERGENCE, Snowfall, draw_flakes, hidden_shares
from crosspoint.scene.data.sample import IGNORED, LidarSample

CLASSES = ["road", "car", "building"]
BEAMS, EACH = 8, 400


def draws(seed: int = 0) -> Generator:
    return np.random.default_rng(seed)


def street() -> LidarSample:
    """Rings of flat ground 1.8 m below the sensor, and a round wall."""
    generator = torch.Generator().manual_seed(0)
    around = torch.linspace(0, 2 * torch.pi, EACH + 1)[:-1].repeat(BEAMS)
    ring = torch.arange(BEAMS).repeat_interleave(EACH)
    away = torch.linspace(4, 30, BEAMS - 2)[(ring - 2).clamp(min=0)]
    away = torch.where(ring < 2, 25.0, away)
    height = torch.where(ring < 2, 1.0 + ring.float(), torch.tensor(-1.8))
    points = torch.stack([away * around.cos(), away * around.sin(), height], dim=1)
    label = torch.where(ring < 2, 2, 0)
    cosine = torch.where(ring < 2, 1.0, 1.8 / points.norm(dim=1))
    intensity = cosine * (0.02 + 0.7 * torch.rand(len(points), generator=generator))
    return LidarSample("street", points, {"ring": ring, "label": label, "intensity": intensity})


def slow_echo(target: float, alpha: float) -> tuple[float, float]:
    """Equation 11 of the fog paper at each place up to the target, by adaptive quadrature."""

    def power(place: float) -> float:
        def integrand(time: float) -> float:
            back = place - speed_of_light * time / 2
            if back <= fog.NEAR[0] or target - place + speed_of_light * time / 2 < 0:
                return 0.0
            share = min((back - fog.NEAR[0]) / (fog.NEAR[1] - fog.NEAR[0]), 1.0)
            return float(np.sin(np.pi * time / (2 * fog.PULSE)) ** 2 * np.exp(-2 * alpha * back) * share / back**2)

        return quad(integrand, 0, 2 * fog.PULSE, limit=200, epsabs=1e-16)[0]

    places = np.linspace(0, fog.FARTHEST, fog.STEPS)
    places = places[(places <= target) & (places < 8)]
    found = [power(place) for place in places]
    return float(places[np.argmax(found)]), max(found)


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
@pytest.mark.parametrize("alpha", [0.0, 0.06])
def test_fog_answers_where_its_integral_is_largest(alpha: float) -> None:
    for target in (1.5, 3.0, 40.0):
        place, answer = fog.fog_echo(np.array([target]), alpha)
        right_place, right = slow_echo(target, alpha)
        assert abs(place[0] - right_place) < 0.21 and answer[0] == pytest.approx(right, rel=2e-3)


@pytest.mark.parametrize("severity", [1, 2, 3])
def test_fog_dims_what_it_does_not_hide(severity: int) -> None:
    sample = street()
    found = corrupt_frame(sample, "fog", severity, draws(3))
    alpha = float(draws(3).choice(fog.ATTENUATION))
    ranges = sample.points.norm(dim=1)
    dimmed = sample.point_fields["intensity"] * torch.exp(-2 * alpha * ranges)
    foggy = found.point_fields["label"] == IGNORED
    assert torch.equal(found.points[~foggy], sample.points[~foggy])
    assert torch.allclose(found.point_fields["intensity"][~foggy], dimmed[~foggy], atol=1e-6)
    place, answer = fog.fog_echo(ranges.double().numpy(), alpha)
    power = torch.from_numpy(answer * fog.BACKSCATTER[severity - 1] / fog.TARGET) * ranges.double() ** 2
    assert torch.equal(foggy, power * sample.point_fields["intensity"] > dimmed)
    # What became fog stays on its line, at the place of the fog's echo times r / u, u within 10 m of r.
    assert (torch.linalg.cross(found.points[foggy], sample.points[foggy]).abs() < 1e-2).all()
    drawn = torch.from_numpy(place)[foggy] / found.points[foggy].norm(dim=1) * ranges[foggy]
    assert ((drawn - ranges[foggy]).abs() <= fog.SCATTER + 1e-3)[ranges[foggy] > 10].all()
    assert found.point_fields["intensity"].max() <= 1
    more = corrupt_frame(sample, "fog", 3, draws(3)).point_fields["label"] == IGNORED
    assert int(more.sum()) >= int(foggy.sum()) and int(more.sum()) > 0


def test_light_at_water_is_mirrored_or_passes() -> None:
    angle = np.linspace(0, 1.5, 50)
    for first, second in ((wet_ground.AIR, wet_ground.SEA), (1.0, 2.0)):
        for reflected, through in wet_ground.fresnel(angle, first, second):
            assert np.allclose(reflected + through, 1)
            assert reflected[0] == pytest.approx(((first - second) / (first + second)) ** 2)
    # What comes back is the sum over all paths below the surface.
    angle, ground = np.array([0.2, 1.2]), np.array([0.3, 0.9])
    inside = np.arcsin(np.sin(angle) * wet_ground.AIR / wet_ground.SEA)
    sums = []
    for (_, enters), (stays, leaves) in zip(
        wet_ground.fresnel(angle, wet_ground.AIR, wet_ground.SEA),
        wet_ground.fresnel(inside, wet_ground.SEA, wet_ground.AIR),
        strict=True,
    ):
        sums.append(sum(enters * ground * (stays * ground) ** bounce * leaves for bounce in range(60)))
    assert np.allclose(wet_ground.transmitted(angle, ground), np.maximum(*sums))


def test_wet_ground_is_darker_and_some_of_it_is_lost() -> None:
    sample = street()
    lost = []
    for severity in (1, 2, 3):
        found = corrupt_frame(sample, "wet_ground", severity, draws(), CLASSES)
        dry = found.point_fields["label"] == 2
        assert int(dry.sum()) == 2 * EACH
        assert torch.equal(found.points[dry], sample.points[sample.point_fields["label"] == 2])
        before = dict(zip(map(tuple, sample.points.tolist()), sample.point_fields["intensity"].tolist(), strict=True))
        kept = zip(map(tuple, found.points.tolist()), found.point_fields["intensity"].tolist(), strict=True)
        assert all(intensity <= before[point] for point, intensity in kept)
        lost.append(len(sample.points) - len(found.points))
    assert 0 < lost[0] < lost[2]
    few = sample.keep_points((sample.point_fields["label"] == 2) | (torch.arange(len(sample.points)) % 3 == 0))
    assert corrupt_frame(few, "wet_ground", 3, draws(), CLASSES) is few


@pytest.mark.parametrize("snowfall", snow.SNOWFALL)
def test_flakes_cover_their_share_of_the_plane(snowfall: Snowfall) -> None:
    flakes = draw_flakes(snowfall, draws())
    areas = np.pi * flakes[:, 2] ** 2
    wanted = snowfall.occupancy * np.pi * snowflakes.RADIUS**2
    assert areas[:-1].sum() < wanted <= areas.sum()
    assert areas.mean() == pytest.approx(np.pi * snowfall.mean_diameter**2 / 3, rel=0.1)  # of a truncated exponential
    assert (flakes[:, 1] ** 2).mean() == pytest.approx(snowflakes.RADIUS**2 / 2, rel=0.02)  # evenly spread
    assert abs(np.exp(1j * flakes[:, 0]).mean()) < 0.02
    assert flakes[:, 2].max() <= snowflakes.LARGEST / 2


def test_constants_of_snowfall_are_the_published_ones() -> None:
    light, _, heavy = snow.SNOWFALL
    assert light.occupancy == pytest.approx(0.5 / (3.6e6 * 0.1 * 2.0)) and heavy.rate == 2.5
    assert light.mean_diameter == pytest.approx(0.01 / (25.5 * 2.2388**-0.48), rel=1e-3)  # 2.24 mm/h of rain


def slow_shares(angle: float, range_: float, flakes: np.ndarray, samples: int = 4000) -> dict[float, float]:
    """Shares of a ray by distance of the flake that hides them: ray by ray within it, the nearest flake wins."""
    around = np.abs(np.angle(np.exp(1j * (flakes[:, 0] - angle)))) < 0.1 + DIVERGENCE  # no half-width reaches farther
    flakes = flakes[around]
    inside = angle + (np.arange(samples) + 0.5) / samples * DIVERGENCE - DIVERGENCE / 2
    offset = np.angle(np.exp(1j * (inside[:, None] - flakes[:, 0])))
    hides = (np.abs(offset) < np.arcsin(flakes[:, 2] / flakes[:, 1])) & (flakes[:, 1] < range_)
    nearest = np.where(hides, flakes[:, 1], np.inf).min(axis=1)
    values, counts = np.unique(nearest[np.isfinite(nearest)], return_counts=True)
    return dict(zip(values.tolist(), (counts / samples).tolist(), strict=True))


def test_nearer_flakes_hide_farther_ones() -> None:
    generator = draws(1)
    count = 3000  # many and large, so that they overlap
    away, radius = 20 * np.sqrt(generator.uniform(size=count)), generator.uniform(0.001, 0.01, count)
    flakes = np.stack([generator.uniform(0, 2 * np.pi, count), away, radius], axis=1)
    flakes = flakes[flakes[:, 1] > 0.1]
    angles, ranges = np.array([0.0, 0.0005, -0.001, 3.0, 6.28, -3.1, np.pi]), np.array([30, 8, 30, 30, 5, 30, 30.0])
    found = hidden_shares(angles, ranges, flakes)
    assert len(found.ray) > 5
    for ray, (angle, range_) in enumerate(zip(angles, ranges, strict=True)):
        mine = found.ray == ray
        assert (np.diff(found.distance[mine]) >= 0).all()
        own = {d: s for d, s in zip(found.distance[mine].tolist(), found.share[mine].tolist(), strict=True) if s > 1e-3}
        right = {d: s for d, s in slow_shares(angle, range_, flakes).items() if s > 1e-3}
        assert own.keys() == right.keys()
        assert all(abs(own[d] - right[d]) < 1e-3 for d in own)


def test_echoes_add_up() -> None:
    ray, place, share = np.array([0, 0, 1]), np.array([3.0, 3.4, 20.0]), np.array([0.1, 0.2, 0.9])
    distance, seen = np.array([30.0, 21.0]), np.array([0.7, 0.1])
    strongest, power = snow.echoes(ray, place, share, distance, seen)
    at = np.arange(0, 120, snow.STEP)
    for number in range(2):
        sums = np.zeros(len(at))
        pulses = [(at_, part) for own, at_, part in zip(ray, place, share, strict=True) if own == number]
        for begin, part in [*pulses, (distance[number], seen[number])]:
            within = (at >= begin) & (at <= begin + snow.PULSE)
            sums += within * 0.9 * part / begin**2 * np.sin(np.pi * (at - begin) / snow.PULSE) ** 2
        assert power[number] == pytest.approx(sums.max(), rel=1e-9)
        assert strongest[number] == pytest.approx(at[sums.argmax()] - snow.PULSE / 2)


def test_snow_puts_flakes_before_points_and_loses_weak_ones() -> None:
    sample = street()
    scattered = []
    for severity in (1, 3):
        found = corrupt_frame(sample, "snow", severity, draws(), CLASSES)
        snowy = found.point_fields["label"] == IGNORED
        rays = torch.nn.functional.normalize(sample.points, dim=1)
        seen = torch.nn.functional.normalize(found.points, dim=1)
        nearest = (seen @ rays.T).max(dim=1)
        assert (nearest.values > 1 - 1e-5).all()
        assert (found.points[snowy].norm(dim=1) < sample.points.norm(dim=1)[nearest.indices][snowy] + 0.2).all()
        assert {*map(tuple, found.points[~snowy].tolist())} <= {*map(tuple, sample.points.tolist())}
        scattered.append(float(snowy.float().mean()))
        assert found.point_fields["intensity"].min() >= 0
    assert 0 < scattered[0] < 0.5 and 0 < scattered[1] < 0.5


def test_the_floor_follows_the_weakest_ground() -> None:
    sample = street()
    ground = sample.points[sample.point_fields["label"] == 0].double().numpy()
    away, cosine = np.linalg.norm(ground, axis=1), wet_ground.incidence(ground)
    floor = snow.noise_floor(ground, 0.5 * cosine, away)
    right = np.polyval(np.polyfit(away, 0.7 * 0.5 * cosine, 2), away)  # one reflectivity: the bound is level
    assert np.allclose(floor, right, atol=1e-9)
    assert (snow.noise_floor(ground[:2], cosine[:2], away) == -1).all()


def test_frames_without_light_or_ground_are_told() -> None:
    sample = street()
    fields = {name: values for name, values in sample.point_fields.items() if name != "intensity"}
    dark = LidarSample("dark", sample.points, fields)
    for name in ("fog", "wet_ground", "snow"):
        with pytest.raises(ValueError, match="found no intensity in dark"):
            corrupt_frame(dark, name, 1, draws(), CLASSES)
    for name in ("wet_ground", "snow"):
        with pytest.raises(ValueError, match=f"found no class of ground in street, .*: {name} is about their light"):
            corrupt_frame(sample, name, 1, draws(), ["a", "b", "c"])
    bare = LidarSample("bare", sample.points, {"intensity": sample.point_fields["intensity"]})
    with pytest.raises(ValueError, match="found no beams of points in bare"):
        corrupt_frame(bare, "snow", 1, draws(), CLASSES)
