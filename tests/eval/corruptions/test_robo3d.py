"""Corruptions of LiDAR frames: what each moves, removes or leaves, by the constants of Robo3D."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.random import Generator

from crosspoint.eval.corruptions.robo3d import ROBO3D, SEVERITIES, beams_in_file_order, corrupt_frame
from crosspoint.scene.data.sample import IGNORED, LidarSample

CLASSES = ["road", "car", "person"]
BEAMS, EACH = 32, 400


def draws(seed: int = 0) -> Generator:
    return np.random.default_rng(seed)


def frame() -> LidarSample:
    generator = torch.Generator().manual_seed(0)
    count = BEAMS * EACH
    ring = torch.arange(count) // EACH
    points = torch.randn(count, 3, generator=generator) * 10
    fields = {"ring": ring, "label": torch.arange(count) % 3, "intensity": torch.rand(count, generator=generator)}
    pairs = torch.arange(0, count, 7)
    return LidarSample(
        "toy",
        points,
        fields,
        images=torch.zeros((1, 3, 4, 4), dtype=torch.uint8),
        pair_point=pairs,
        pair_view=torch.zeros_like(pairs),
        pair_pixel=torch.ones(len(pairs), 2),
    )


@pytest.mark.parametrize("severity", range(1, SEVERITIES + 1))
@pytest.mark.parametrize("name", ROBO3D)
def test_frames_stay_as_they_are_and_draws_decide(name: str, severity: int) -> None:
    sample = frame()
    once, again = (corrupt_frame(sample, name, severity, draws(), CLASSES) for _ in range(2))
    torch.testing.assert_close(once.points, again.points, rtol=0, atol=0)
    assert not torch.equal(once.points, sample.points)
    untouched = frame()
    torch.testing.assert_close(sample.points, untouched.points, rtol=0, atol=0)
    for key, values in untouched.point_fields.items():
        torch.testing.assert_close(sample.point_fields[key], values, rtol=0, atol=0)
    assert (once.pair_point < len(once.points)).all()
    assert once.points.dtype == torch.float32


def test_blur_shifts_all_and_shakes_each() -> None:
    moved = [corrupt_frame(frame(), "motion_blur", 3, draws(seed)).points - frame().points for seed in range(60)]
    shifts = torch.stack([step.mean(dim=0) for step in moved])
    assert 0.2 < float(shifts.std()) < 0.4
    shaken = torch.stack([(step - step.mean(dim=0)).std(dim=0) for step in moved]).mean(dim=0)
    torch.testing.assert_close(shaken, torch.tensor([0.03, 0.03, 0.015]), rtol=0.02, atol=0)


@pytest.mark.parametrize(("severity", "drawn"), [(1, 8), (2, 16), (3, 24)])
def test_beams_are_lost_whole_and_drawn_with_repeats(severity: int, drawn: int) -> None:
    kept = corrupt_frame(frame(), "beam_missing", severity, draws()).point_fields["ring"].unique()
    lost = {*range(BEAMS)} - {*kept.tolist()}
    assert 0 < len(lost) < drawn + 1
    assert len(lost) == len({*draws().integers(2, 28, drawn).tolist()})
    assert min(lost) >= 2
    assert max(lost) < 28


@pytest.mark.parametrize(("severity", "beams"), [(1, 24), (2, 16), (3, 8)])
def test_another_sensor_has_fewer_beams_and_half_of_their_points(severity: int, beams: int) -> None:
    found = corrupt_frame(frame(), "cross_sensor", severity, draws())
    assert len(found.point_fields["ring"].unique()) == beams
    assert len(found.points) == beams * EACH / 2
    assert 0 not in found.point_fields["ring"]


@pytest.mark.parametrize(("severity", "share"), [(1, 0.006), (2, 0.008), (3, 0.01)])
def test_crosstalk_moves_a_share_and_takes_its_labels(severity: int, share: float) -> None:
    sample = frame()
    found = corrupt_frame(sample, "crosstalk", severity, draws())
    moved = (found.points != sample.points).any(dim=1)
    assert int(moved.sum()) == round(share * len(sample.points))
    assert ((found.point_fields["label"] == IGNORED) == moved).all()
    assert ((found.point_fields["intensity"] != sample.point_fields["intensity"]) == moved).all()


@pytest.mark.parametrize(("severity", "share"), [(1, 0.75), (2, 0.85), (3, 0.95)])
def test_echoes_of_vehicles_are_lost(severity: int, share: float) -> None:
    sample = frame()
    before, after = (
        torch.bincount(each.point_fields["label"])
        for each in (sample, corrupt_frame(sample, "incomplete_echo", severity, draws(), CLASSES))
    )
    assert after[[0, 2]].tolist() == before[[0, 2]].tolist()
    assert int(after[1]) == int(before[1]) - round(share * int(before[1]))
    few = sample.keep_points((sample.point_fields["label"] != 1) | (torch.arange(len(sample.points)) < 30))
    assert len(corrupt_frame(few, "incomplete_echo", severity, draws(), CLASSES).points) == len(few.points)


def test_beams_are_found_in_the_order_of_a_file() -> None:
    angles = torch.linspace(torch.pi - 0.01, -torch.pi + 0.01, 200).repeat(5)
    points = torch.stack((angles.cos(), angles.sin(), torch.zeros(1000)), dim=1)
    assert beams_in_file_order(points).tolist() == [number for number in range(5) for _ in range(200)]
    assert int(beams_in_file_order(points, beams=3).max()) == 2


def test_what_cannot_be_corrupted_is_told() -> None:
    sample = frame()
    bare = LidarSample("bare", sample.points)
    for name, why in (("beam_missing", "expected the field ring"), ("incomplete_echo", "found no labels of vehicles")):
        with pytest.raises(ValueError, match=why):
            corrupt_frame(bare, name, 1, draws(), CLASSES)
    with pytest.raises(ValueError, match="found severity 4, expected 1 to 3"):
        corrupt_frame(sample, "crosstalk", 4, draws())
    with pytest.raises(ValueError, match="found the corruption 'hail', expected one of motion_blur"):
        corrupt_frame(sample, "hail", 1, draws())
