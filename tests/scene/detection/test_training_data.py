"""Mirrors, turns, scales and pasted objects: what is true of a frame stays true."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Generator

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.sample import Boxes, LidarSample
from crosspoint.scene.detection.box_augmentation import BoxAugmentation, mirror_cloud, scale_cloud, turn_cloud
from crosspoint.scene.detection.object_sampling import ObjectBank, ObjectSampling, paste_objects
from crosspoint.scene.detection.points_in_boxes import points_in_boxes
from crosspoint.scene.ops.rotated_boxes import rotated_iou
from tests.scene.frames import boxes_of


def frame(seed: int = 0, count: int = 500, boxes: int = 3) -> LidarSample:
    generator = torch.Generator().manual_seed(seed)
    geometry = torch.rand(boxes, 7, generator=generator, dtype=torch.float64)
    geometry[:, :2] = 16 * geometry[:, :2] - 8
    geometry[:, 2] = 0
    geometry[:, 3:6] = 1 + 2 * geometry[:, 3:6]
    geometry[:, 6] = 6 * geometry[:, 6] - 3
    points = torch.rand(count, 3, generator=generator) * torch.tensor([20.0, 20, 4]) - torch.tensor([10.0, 10, 2])
    fields = {"intensity": torch.rand(count, generator=generator), "label": torch.arange(count)}
    labels = torch.randint(0, 2, (boxes,), generator=generator)
    return LidarSample(f"frame {seed}", points, fields, boxes=Boxes(geometry, labels))


def test_points_in_boxes_are_those_between_the_six_faces() -> None:
    sample = frame()
    found = points_in_boxes(sample.points, boxes_of(sample).geometry)
    for row, (x, y, z, length, width, height, heading) in enumerate(boxes_of(sample).geometry.tolist()):
        for point in range(0, 500, 7):
            px, py, pz = sample.points[point].tolist()
            ahead = np.array([math.cos(heading), math.sin(heading)])
            left = np.array([-math.sin(heading), math.cos(heading)])
            offset = np.array([px - x, py - y])
            inside = abs(offset @ ahead) <= length / 2 and abs(offset @ left) <= width / 2 and abs(pz - z) <= height / 2
            assert bool(found[point, row]) == inside
    assert 0 < int(found.sum()) < found.numel()


CHANGES = {
    "mirror x": lambda s: mirror_cloud(s, -1.0, 1.0),
    "mirror y": lambda s: mirror_cloud(s, 1.0, -1.0),
    "turn": lambda s: turn_cloud(s, 0.7),
    "scale": lambda s: scale_cloud(s, 1.3),
    "all": lambda s: BoxAugmentation(mirror_x=0.5)(s, Generator().manual_seed(3)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_points_stay_in_their_boxes_and_under_their_pixels(name: str) -> None:
    K, R, t = (
        torch.rand(1, 3, 3) + torch.eye(3),
        torch.tensor([[[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]]),
        torch.rand(1, 3),
    )
    sample = replace(frame(), images=torch.zeros(1, 3, 8, 8, dtype=torch.uint8), cameras=Cameras(K, R, t, (8, 8)))
    changed = CHANGES[name](sample)
    assert torch.equal(
        points_in_boxes(sample.points, boxes_of(sample).geometry),
        points_in_boxes(changed.points, boxes_of(changed).geometry),
    )

    def pixels(one: LidarSample) -> torch.Tensor:
        seen = (one.points.double() @ one.cameras.R[0].T.double() + one.cameras.t[0].double()) @ one.cameras.K[
            0
        ].T.double()
        return seen[:, :2] / seen[:, 2:]

    torch.testing.assert_close(pixels(changed), pixels(sample), rtol=1e-3, atol=1e-3)
    assert torch.equal(changed.point_fields["label"], sample.point_fields["label"])


def test_a_pose_leads_to_the_same_place_of_the_world() -> None:
    sample = replace(frame(), pose=torch.tensor([[0.0, -1, 0, 3], [1, 0, 0, 4], [0, 0, 1, 5], [0, 0, 0, 1]]).double())

    def world(one: LidarSample) -> torch.Tensor:
        return one.points.double() @ one.pose[:3, :3].T + one.pose[:3, 3]

    for name, change in CHANGES.items():
        torch.testing.assert_close(world(change(sample)), world(sample), rtol=1e-5, atol=1e-5, msg=name)


def test_draws_depend_on_the_generator_and_keep_their_limits() -> None:
    augmentation, sample = BoxAugmentation(rotation=30, scale=(0.9, 1.2), mirror_y=0.0), frame()
    first, again = (augmentation(sample, Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first.points, again.points)
    factors, angles = [], []
    for seed in range(60):
        changed = augmentation(sample, Generator().manual_seed(seed))
        factors.append(float(boxes_of(changed).geometry[0, 3] / boxes_of(sample).geometry[0, 3]))
        turned = float(boxes_of(changed).geometry[0, 6] - boxes_of(sample).geometry[0, 6])
        angles.append((turned + math.pi) % (2 * math.pi) - math.pi)
    assert 0.9 <= min(factors) < 0.95 and 1.15 < max(factors) <= 1.2
    assert -math.pi / 6 - 1e-9 <= min(angles) < -0.4 and 0.4 < max(angles) <= math.pi / 6 + 1e-9


def bank_of(count: int = 12) -> ObjectBank:
    return ObjectBank([frame(seed, boxes=6, count=3000) for seed in range(1, count)], 2, least_points=5)


def test_the_bank_has_the_objects_of_the_frames() -> None:
    bank, expected = bank_of(), 0
    for seed in range(1, 12):
        sample = frame(seed, boxes=6, count=3000)
        expected += int((points_in_boxes(sample.points, boxes_of(sample).geometry).sum(dim=0) >= 5).sum())
    assert sum(map(len, bank.objects)) == expected > 20
    one = bank.objects[1][0]
    assert bool(points_in_boxes(one.points, one.box[None]).all())
    assert len(one.fields["intensity"]) == len(one.points)


@pytest.mark.parametrize("seed", range(5))
def test_pasted_objects_stand_free_and_whole(seed: int) -> None:
    bank, sample = bank_of(), frame()
    pasted = paste_objects(sample, bank, [4, 5], Generator().manual_seed(seed))
    geometry, labels = boxes_of(pasted)[:2]
    before = len(boxes_of(sample).labels)
    assert torch.equal(geometry[:before], boxes_of(sample).geometry)
    assert len(geometry) > before
    overlap = rotated_iou(geometry[before:], geometry)
    overlap[:, before:].fill_diagonal_(0)
    assert float(overlap.max()) == 0
    assert all(int((labels == label).sum()) <= most for label, most in enumerate((4, 5)))
    inside = points_in_boxes(pasted.points, geometry[before:])
    known = {id(one): one for objects in bank.objects for one in objects}
    for row, box in enumerate(geometry[before:]):
        (own,) = [one for one in known.values() if torch.equal(one.box, box)]
        assert torch.equal(pasted.points[inside[:, row]], own.points)  # and no point of the frame is left there
        assert torch.equal(pasted.point_fields["intensity"][inside[:, row]], own.fields["intensity"])
    kept = ~points_in_boxes(sample.points, geometry[before:]).any(dim=1)
    assert torch.equal(pasted.points[: int(kept.sum())], sample.points[kept])


def test_nothing_is_pasted_where_enough_stands() -> None:
    sample = frame()
    assert paste_objects(sample, bank_of(3), [0, 0], Generator().manual_seed(0)) is sample
    assert paste_objects(sample, ObjectBank([], 2), [5, 5], Generator().manual_seed(0)) is sample


def test_bad_settings_are_said() -> None:
    with pytest.raises(ValueError, match="found sampling of the class Bus, expected some of Car"):
        ObjectSampling({"Bus": 3}).of(["Car"])
    assert ObjectSampling({"Car": 3}).of(["Van", "Car"]) == [0, 3]
    with pytest.raises(ValueError, match="expected none below 0, and 1 point"):
        ObjectSampling({"Car": -1})
    with pytest.raises(ValueError, match="expected two positive factors"):
        BoxAugmentation(scale=(1.1, 0.9))
    with pytest.raises(ValueError, match="expected probabilities, and degrees up to 180"):
        BoxAugmentation(mirror_y=2.0)
