from __future__ import annotations

import math

import pytest
import torch

import crosspoint.scene.ops.box_suppression
from crosspoint.scene.ops.box_suppression import circle_nms, rotated_nms
from crosspoint.scene.ops.rotated_boxes import rotated_iou
from tests.scene.ops.random_boxes import random_boxes


def greedy(close: torch.Tensor, scores: torch.Tensor, most: int | None) -> list[int]:
    """As the definition says, box after box."""
    kept: list[int] = []
    for index in sorted(range(len(scores)), key=lambda row: (-float(scores[row]), row)):
        if not any(close[better, index] for better in kept):
            kept.append(index)
    return kept[:most]


@pytest.mark.parametrize("block", [4, 128])  # several blocks, or all at once
@pytest.mark.parametrize("most", [None, 1, 9, 1000])
@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.3, 0.7, 1.0])
def test_equals_the_definition(block: int, most: int | None, threshold: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crosspoint.scene.ops.box_suppression, "BLOCK", block)
    boxes = random_boxes(90, 12.0, seed=0)
    boxes[60:] = boxes[:30] + 0.1 * torch.rand(30, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    boxes[50:60] = boxes[40:50]  # copies
    scores = torch.rand(90, generator=torch.Generator().manual_seed(2)).mul(20).round()  # many are equal
    kept = rotated_nms(boxes, scores, threshold, most)
    assert kept.dtype == torch.int64
    assert kept.tolist() == greedy(rotated_iou(boxes, boxes) > threshold, scores, most)
    centers = boxes[:, :2]
    radius = 4 * threshold
    close = torch.cdist(centers, centers, compute_mode="donot_use_mm_for_euclid_dist") <= radius
    assert circle_nms(centers, scores, radius, most).tolist() == greedy(close, scores, most)


def test_a_box_that_fell_removes_nothing() -> None:
    row = torch.tensor([[0.0, 0, 0, 4, 2, 2, 0], [2, 0, 0, 4, 2, 2, 0], [4, 0, 0, 4, 2, 2, 0]])
    assert rotated_nms(row, torch.tensor([0.9, 0.8, 0.7]), 0.3).tolist() == [0, 2]
    assert rotated_nms(row, torch.tensor([0.8, 0.9, 0.7]), 0.3).tolist() == [1]
    assert circle_nms(row[:, :2], torch.tensor([0.9, 0.8, 0.7]), 2.0).tolist() == [0, 2]
    assert circle_nms(row[:, :2], torch.tensor([0.9, 0.8, 0.7]), 1.99).tolist() == [0, 1, 2]


def test_no_boxes() -> None:
    assert rotated_nms(torch.zeros(0, 7), torch.zeros(0), 0.5).tolist() == []
    assert circle_nms(torch.zeros(0, 2), torch.zeros(0), 0.5).tolist() == []


def test_wrong_input_is_named() -> None:
    boxes, scores = random_boxes(5, 5.0, seed=0), torch.rand(5)
    with pytest.raises(ValueError, match=r"found scores of shape \(4,\), expected \(5,\)"):
        rotated_nms(boxes, scores[:4], 0.5)
    with pytest.raises(ValueError, match="found 1 scores that are NaN, expected numbers"):
        rotated_nms(boxes, torch.tensor([1.0, 2, math.nan, 3, 4]), 0.5)
    for threshold in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"found a threshold of .*, expected an IoU from 0 to 1"):
            rotated_nms(boxes, scores, threshold)
    with pytest.raises(ValueError, match="found 0 boxes to keep at most, expected 1 or more"):
        rotated_nms(boxes, scores, 0.5, most=0)
    with pytest.raises(ValueError, match="found a negative size in box 4"):
        rotated_nms(torch.cat([boxes[:4], -boxes[4:].abs()]), scores, 0.5)
    with pytest.raises(ValueError, match=r"found centers of shape \(5, 7\)"):
        circle_nms(boxes, scores, 1.0)
    with pytest.raises(ValueError, match=r"found a radius of -1"):
        circle_nms(boxes[:, :2], scores, -1.0)
