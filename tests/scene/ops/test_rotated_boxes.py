from __future__ import annotations

import math

import pytest
import torch
from shapely import Polygon

import crosspoint.scene.ops.rotated_boxes
from crosspoint.scene.ops.rotated_boxes import aligned_iou, box_corners, rotated_iou, rotated_iou_3d, rotated_overlap
from tests.scene.ops.random_boxes import random_boxes, turned


def polygon(box: torch.Tensor) -> Polygon:
    """By the definition of a box alone."""
    x, y, _, length, width, _, heading = box.double().tolist()
    cos, sin = math.cos(heading), math.sin(heading)
    sides = [(length / 2, width / 2), (-length / 2, width / 2), (-length / 2, -width / 2), (length / 2, -width / 2)]
    return Polygon([(x + cos * u - sin * v, y + sin * u + cos * v) for u, v in sides])


def areas_by_shapely(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    ones, others = [polygon(box) for box in a], [polygon(box) for box in b]
    return torch.tensor([[one.intersection(other).area for other in others] for one in ones], dtype=torch.float64)


@pytest.mark.parametrize(("pairs", "distances"), [(2**14, 2**18), (7, 50)])  # all at once, or in parts
def test_overlap_equals_shapely(pairs: int, distances: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crosspoint.scene.ops.rotated_boxes, "PAIRS_CPU", pairs)
    monkeypatch.setattr(crosspoint.scene.ops.rotated_boxes, "DISTANCES_CPU", distances)
    a, b = random_boxes(40, 8.0, seed=0), random_boxes(30, 8.0, seed=1)
    expected = areas_by_shapely(a, b)
    assert 200 < int((expected > 0).sum()) < 1100
    torch.testing.assert_close(rotated_overlap(a, b), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("heading", [0.0, 1e-12, 1e-7, 0.3, math.pi / 4, math.pi / 2, -2.0, 3.0 + 40 * math.pi])
def test_touching_identical_nested_and_crossing_boxes_equal_shapely(heading: float) -> None:
    """The special positions, in which edges coincide or end upon another: exact, and turned by any angle."""
    base = torch.tensor([[0.0, 0, 0, 4, 2, 2, 0]], dtype=torch.float64)
    others = [
        *[(4, 0, 4, 2, 0), (0, 2, 4, 2, 0), (4, 2, 4, 2, 0), (-4, 1, 4, 2, 0)],  # beside it, at a corner, shifted
        *[(0, 0, 4, 2, 0), (0, 0, 4, 2, math.pi), (0, 0, 2, 4, math.pi / 2), (0, 0, 4, 2, 1e-9)],  # the same
        *[(0, 0, 3, 1, 0), (0.5, 0.5, 3, 1, 0), (0, 0, 9, 9, 0.4), (0.5, 0, 3, 2, 0)],  # within, with a shared edge
        *[(0, 0, 4, 2, math.pi / 2), (0, 0, 0.5, 9, 0), (2, 1, 2, 2, math.pi / 4), (3, 0, 2**0.5, 2**0.5, math.pi / 4)],
        *[(1e-9, 0, 4, 2, 0), (4 - 1e-9, 0, 4, 2, 0), (0, 2 + 1e-12, 4, 2, 0)],
    ]
    boxes = torch.tensor(
        [(x, y, 0, length, width, 2, turn) for x, y, length, width, turn in others], dtype=torch.float64
    )
    a, b = turned(base, heading, torch.tensor([70.0, -35.0])), turned(boxes, heading, torch.tensor([70.0, -35.0]))
    expected = areas_by_shapely(base, boxes)
    torch.testing.assert_close(rotated_overlap(a, b), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(rotated_overlap(b, a).T, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(rotated_overlap(a.float(), b.float()), expected.float(), rtol=0, atol=1e-4)


def test_degenerate_boxes_overlap_nothing() -> None:
    boxes = torch.tensor(
        [[0.0, 0, 0, 4, 2, 2, 0.3], [0, 0, 0, 4, 0, 2, 0.3], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 4, 2, 0, 0.3]]
    )
    assert rotated_overlap(boxes, boxes)[1:3].abs().max() == 0
    expected = torch.tensor([[1.0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 1]])
    torch.testing.assert_close(rotated_iou(boxes, boxes), expected)
    expected[3], expected[:, 3] = 0, 0
    torch.testing.assert_close(rotated_iou_3d(boxes, boxes), expected)


def test_iou_equals_shapely_and_volumes_count_heights() -> None:
    a, b = random_boxes(25, 5.0, seed=2), random_boxes(20, 5.0, seed=3)
    shared, above = areas_by_shapely(a, b), rotated_iou(a, b)
    union = (a[:, 3] * a[:, 4])[:, None] + b[:, 3] * b[:, 4] - shared
    torch.testing.assert_close(above, shared / union, rtol=0, atol=1e-9)
    volumes = torch.zeros_like(shared)
    for i, one in enumerate(a.tolist()):
        for j, other in enumerate(b.tolist()):
            low, high = (
                max(one[2] - one[5] / 2, other[2] - other[5] / 2),
                min(one[2] + one[5] / 2, other[2] + other[5] / 2),
            )
            volumes[i, j] = shared[i, j] * max(0.0, high - low)
    union = a[:, 3:6].prod(1)[:, None] + b[:, 3:6].prod(1) - volumes
    torch.testing.assert_close(rotated_iou_3d(a, b), volumes / union, rtol=0, atol=1e-9)


def test_nothing_changes_where_the_whole_scene_is_moved() -> None:
    a, b = random_boxes(20, 6.0, seed=4), random_boxes(20, 6.0, seed=5)
    away = torch.tensor([1200.0, -800.0])
    torch.testing.assert_close(rotated_iou_3d(turned(a, 0.7, away), turned(b, 0.7, away)), rotated_iou_3d(a, b))
    torch.testing.assert_close(rotated_iou(a, b), rotated_iou(b, a).T)


def test_corners_go_around_from_the_front_left_one() -> None:
    corners = box_corners(torch.tensor([[1.0, 2, 0, 4, 2, 1, 0], [0, 0, 0, 4, 2, 1, math.pi / 2]]))
    torch.testing.assert_close(corners[0], torch.tensor([[3.0, 3], [-1, 3], [-1, 1], [3, 1]]))
    torch.testing.assert_close(corners[1], torch.tensor([[-1.0, 2], [-1, -2], [1, -2], [1, 2]]))


@pytest.mark.parametrize(
    ("heading", "across"),
    [(0.0, False), (0.78, False), (0.79, True), (2.35, True), (2.36, False), (-1.0, True), (9, False)],
)
def test_aligned_boxes_turn_to_the_nearer_axis(heading: float, across: bool) -> None:
    one = torch.tensor([[0.0, 0, 0, 4, 2, 2, heading]], dtype=torch.float64)
    anchors = torch.tensor([[1.0, 0, 0, 4, 2, 2, 0], [1, 0, 0, 4, 2, 2, math.pi / 2]], dtype=torch.float64)
    snapped = torch.tensor([[0.0, 0, 0, 2, 4, 2, 0] if across else [0.0, 0, 0, 4, 2, 2, 0]], dtype=torch.float64)
    expected = areas_by_shapely(snapped, anchors)
    torch.testing.assert_close(aligned_iou(one, anchors), expected / (16 - expected))


def test_no_boxes() -> None:
    none, some = torch.zeros(0, 7), random_boxes(3, 5.0, seed=0)
    assert box_corners(none).shape == (0, 4, 2)
    for measure in (rotated_overlap, rotated_iou, rotated_iou_3d, aligned_iou):
        assert measure(none, some).shape == (0, 3) and measure(some, none).shape == (3, 0)


@pytest.mark.parametrize("measure", [rotated_overlap, rotated_iou, rotated_iou_3d, aligned_iou])
def test_wrong_boxes_are_named(measure) -> None:
    good = random_boxes(4, 5.0, seed=0)
    nan, negative = good.clone(), good.clone()
    nan[2, 6], negative[1, 4] = math.nan, -1.0
    for a, b in ((good, nan), (nan, good)):
        with pytest.raises(ValueError, match=r"found NaN or infinite numbers in box 2 \(.*nan\), one of 1 .* of 4"):
            measure(a, b)
    with pytest.raises(ValueError, match=r"found a negative size in box 1 \(.*expected meters from 0"):
        measure(negative, good)
    with pytest.raises(ValueError, match=r"found boxes of shape \(4, 6\), expected \(N, 7\)"):
        measure(good[:, :6], good)
