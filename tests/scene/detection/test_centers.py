"""CenterPoint's head against loops over cells and objects."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from crosspoint.scene.data.sample import Boxes
from crosspoint.scene.detection.center_head import CenterHead, GroupSaid
from crosspoint.scene.detection.center_targets import center_targets, gaussian_radius
from crosspoint.scene.detection.losses import heat_focal

EXTENT = (-8.0, -6.0, -3.0, 8.0, 6.0, 1.0)
CELL, SIZE = 0.5, (24, 32)
NUSCENES = [[0], [1, 2], [3, 4], [5], [6, 7], [8, 9]]
FOUND = [
    [1.3, -2.4, -1.0, 4.0, 1.7, 1.5, 0.2],
    [2.6, -2.1, -0.9, 3.0, 1.5, 1.6, -1.7],
    [-7.9, 5.9, 0.2, 0.9, 0.5, 1.7, 3.0],
]


def objects() -> Boxes:
    return Boxes(torch.tensor(FOUND, dtype=torch.float64), torch.tensor([0, 0, 2]))


def head_of(groups: list[list[int]]) -> CenterHead:
    torch.manual_seed(0)
    return CenterHead(5, groups, EXTENT, SIZE, CELL, width=4)


def test_the_radius_is_the_smallest_of_three_cases() -> None:
    """Written out for l = 5, w = 2 and an overlap of 0.1."""
    first = (7 + math.sqrt(49 - 4 * 10 * 0.9 / 1.1)) / 2
    second = (14 + math.sqrt(196 - 16 * 0.9 * 10)) / 2
    third = (-1.4 + math.sqrt(1.96 - 4 * 0.4 * -0.9 * 10)) / 2
    assert gaussian_radius(5, 2) == pytest.approx(min(first, second, third))


def test_targets_are_those_of_a_loop_over_cells() -> None:
    boxes = objects()
    targets = center_targets(boxes.geometry, boxes.labels, 3, SIZE, EXTENT[:2], CELL)
    heat = torch.zeros(3, *SIZE)
    for (x, y, _, length, width, *_), label in zip(FOUND, [0, 0, 2], strict=True):
        column, row = math.floor((x + 8) / CELL), math.floor((y + 6) / CELL)
        radius = max(2, math.floor(gaussian_radius(length / CELL, width / CELL)))
        sigma = (2 * radius + 1) / 6
        for j in range(SIZE[0]):
            for i in range(SIZE[1]):
                if abs(i - column) <= radius and abs(j - row) <= radius:
                    value = math.exp(-((i - column) ** 2 + (j - row) ** 2) / (2 * sigma**2))
                    heat[label, j, i] = max(float(heat[label, j, i]), value)
    torch.testing.assert_close(targets.heat, heat)
    assert (targets.heat == 1).sum() == 3
    assert targets.cells.tolist() == [7 * 32 + 18, 7 * 32 + 21, 23 * 32 + 0]
    offset, rest = targets.codes[0, :2], targets.codes[0, 2:]
    torch.testing.assert_close(offset, torch.tensor([0.6, 0.2]))
    expected = [-1.0, math.log(4), math.log(1.7), math.log(1.5), math.cos(0.2), math.sin(0.2)]
    torch.testing.assert_close(rest, torch.tensor(expected))


def test_what_lies_outside_or_has_no_area_is_left_out() -> None:
    boxes = torch.tensor(
        [[9.0, 0, 0, 1, 1, 1, 0], [0, -6.1, 0, 1, 1, 1, 0], [0, 0, 0, 1, 0, 1, 0], [1, 1, 0, 1, 1, 1, 0]]
    )
    targets = center_targets(boxes, torch.zeros(4, dtype=torch.int64), 1, SIZE, EXTENT[:2], CELL)
    assert len(targets.codes) == 1 and (targets.heat == 1).sum() == 1
    assert center_targets(boxes[:0], torch.zeros(0, dtype=torch.int64), 1, SIZE, EXTENT[:2], CELL).heat.max() == 0


def test_focal_loss_is_that_of_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, heat = torch.randn(2, 3, 4, generator=generator), torch.rand(2, 3, 4, generator=generator)
    heat[0, 1, 2] = heat[1, 0, 0] = 1.0
    total = 0.0
    for logit, target in zip(logits.flatten().tolist(), heat.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-logit))
        total -= (1 - p) ** 2 * math.log(p) if target == 1 else (1 - target) ** 4 * p**2 * math.log(1 - p)
    assert float(heat_focal(logits, heat)) == pytest.approx(total / 2, rel=1e-5)
    nothing = heat_focal(torch.full((2, 2), -30.0), torch.zeros(2, 2))
    assert torch.isfinite(nothing) and nothing < 1e-6


def test_the_loss_is_that_of_a_loop_over_objects() -> None:
    head = head_of([[0, 1], [2]])
    said = head(torch.randn(2, 5, *SIZE))
    frames = [objects(), Boxes(objects().geometry[1:2], torch.tensor([1]))]
    parts = head.loss(said, frames)
    heat = boxes = 0.0
    for group, one in zip(head.groups, said, strict=True):
        targets = [head.targets(group, frame) for frame in frames]
        heat += float(heat_focal(one.heat.detach(), torch.stack([t.heat for t in targets])))
        gaps = [
            float((one.codes.detach()[b, :, cell // 32, cell % 32] - code).abs().sum())
            for b, target in enumerate(targets)
            for cell, code in zip(target.cells.tolist(), target.codes, strict=True)
        ]
        boxes += 0.25 * sum(gaps) / max(1, len(gaps))
    assert float(parts["heat"].detach()) == pytest.approx(heat, rel=1e-5)
    assert float(parts["boxes"].detach()) == pytest.approx(boxes, rel=1e-5)
    sum(parts.values()).backward()
    assert all(weight.grad is not None for weight in head.parameters())


def perfect(head: CenterHead, boxes: Boxes) -> list[GroupSaid]:
    said = []
    for group in head.groups:
        target = head.targets(group, boxes)
        codes = torch.zeros(1, 8, SIZE[0] * SIZE[1])
        codes[0, :, target.cells] = target.codes.T
        said.append(GroupSaid(target.heat.clamp(1e-6, 1 - 1e-6).logit()[None], codes.view(1, 8, *SIZE)))
    return said


@pytest.mark.parametrize("groups", [[[0, 1, 2]], [[2], [1, 0]]])
def test_what_is_asked_for_is_what_is_found(groups: list[list[int]]) -> None:
    head = head_of(groups)
    boxes = Boxes(objects().geometry[[0, 2]], torch.tensor([0, 2]))
    (found,) = head.detect(perfect(head, boxes))
    assert [round(score, 3) for score in found.scores[:2].tolist()] == [1.0, 1.0]
    order = found.geometry[:2, 0].argsort(descending=True)
    torch.testing.assert_close(found.geometry[:2][order], boxes.geometry.float(), rtol=0, atol=1e-4)
    assert found.labels[:2][order].tolist() == [0, 2]
    assert torch.equal(found.scores, found.scores.sort(descending=True).values)


def test_of_overlapping_boxes_of_a_group_the_best_stays() -> None:
    boxes = Boxes(objects().geometry[[0, 0]] + torch.tensor([[0.0] * 7, [1.0, 0, 0, 0, 0, 0, 0]]), torch.tensor([0, 1]))
    together, apart = (
        len(head_of(groups).detect(perfect(head_of(groups), boxes))[0].scores) for groups in ([[0, 1]], [[0], [1]])
    )
    assert together < apart


def test_the_heads_number_of_parameters_is_that_of_the_public_code() -> None:
    """cbgs_voxel01_res3d_centerpoint.yaml: convolutions 3 × 3 with bias, also before the BatchNorms of 64 channels."""
    convolution = 64 * 64 * 9 + 64 + 2 * 64  # within a branch, with its BatchNorm
    shared = 512 * 64 * 9 + 64 + 2 * 64
    public = shared + 6 * 6 * convolution + (64 * 9 + 1) * (10 + 6 * (2 + 1 + 3 + 2 + 2))
    velocities = 6 * (convolution + (64 * 9 + 1) * 2)
    still, moving = (CenterHead(512, NUSCENES, EXTENT, SIZE, CELL, velocity=velocity) for velocity in (False, True))
    assert sum(weight.numel() for weight in moving.parameters()) == public == 1_669_510
    assert sum(weight.numel() for weight in still.parameters()) == public - velocities == 1_440_250
    assert all(
        isinstance(heat, nn.Sequential) and float(heat[-1].bias.detach().max()) == pytest.approx(-2.19)
        for heat in still.heats
    )


def test_a_map_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"found a map of \(4, 4\) cells, expected \(24, 32\)"):
        head_of([[0]])(torch.zeros(1, 5, 4, 4))
