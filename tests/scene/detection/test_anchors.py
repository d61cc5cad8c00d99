"""Anchors, their matching and the loss on them, against loops over anchors and boxes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crosspoint.scene.data.sample import Boxes
from crosspoint.scene.detection.anchor_head import AnchorHead, AnchorsSaid
from crosspoint.scene.detection.anchors import (
    BACKGROUND,
    KITTI,
    UNDECIDED,
    AnchorClass,
    anchor_grid,
    anchors_of_boxes,
    match_anchors,
)
from crosspoint.scene.detection.box_codes import decode_boxes, directed, encode_boxes, heading_directions

EXTENT = (0.0, -8.0, -3.0, 16.0, 8.0, 1.0)
SIZE = (8, 9)
FOUND = [
    [4.0, -6.0, -1.0, 4.0, 1.7, 1.5, 0.2],
    [9.0, 4.0, -1.0, 3.7, 1.5, 1.6, -1.7],
    [12.0, -1.0, 0.2, 0.9, 0.5, 1.7, 3.0],
]


def objects() -> Boxes:
    return Boxes(torch.tensor(FOUND, dtype=torch.float64), torch.tensor([0, 0, 1]))


def test_anchors_lie_end_to_end() -> None:
    anchors = anchor_grid(KITTI, EXTENT, SIZE)
    assert anchors.shape == (8, 9, 3, 2, 7)
    assert anchors[0, 0, 0, 0].tolist() == pytest.approx([0, -8, -1.78 + 0.78, 3.9, 1.6, 1.56, 0])
    assert anchors[7, 8, 2, 1].tolist() == pytest.approx([16, 8, -0.6 + 0.865, 1.76, 0.6, 1.73, math.pi / 2])
    assert anchors[3, 5, 1, 0, :2].tolist() == pytest.approx([5 * 2.0, -8 + 3 * 16 / 7])


def slow_iou(a: list[float], b: list[float]) -> float:
    """Of rectangles along the axes, from above."""
    sides = []
    for box in (a, b):
        turn = abs((box[6] + math.pi / 2) % math.pi - math.pi / 2)
        sides.append((box[4], box[3]) if turn > math.pi / 4 else (box[3], box[4]))
    shared = 1.0
    for axis in range(2):
        low = max(box[axis] - side[axis] / 2 for box, side in zip((a, b), sides, strict=True))
        high = min(box[axis] + side[axis] / 2 for box, side in zip((a, b), sides, strict=True))
        shared *= max(0.0, high - low)
    areas = [side[0] * side[1] for side in sides]
    return shared / (sum(areas) - shared)


def slow_match(anchors: Tensor, boxes: Tensor, kind: AnchorClass) -> list[int]:
    table = [[slow_iou(anchor, box) for box in boxes.tolist()] for anchor in anchors.double().tolist()]
    rows = []
    for anchor in table:
        best = max(range(len(anchor)), key=anchor.__getitem__)
        is_nearest = any(
            value > 0 and value >= max(other[place] for other in table) - 1e-7 for place, value in enumerate(anchor)
        )
        if anchor[best] >= kind.matched or is_nearest:
            rows.append(best)
        else:
            rows.append(BACKGROUND if anchor[best] < kind.unmatched else UNDECIDED)
    return rows


def test_anchors_answer_for_objects_as_the_definition_says() -> None:
    car = KITTI[0]
    anchors = anchor_grid([car], EXTENT, (25, 26)).flatten(0, 3)
    boxes = objects().geometry[:2]
    rows = match_anchors(anchors, boxes, car)
    assert rows.tolist() == slow_match(anchors, boxes, car)
    assert {BACKGROUND, UNDECIDED, 0, 1} == set(rows.tolist())


def test_an_object_that_no_anchor_fits_gets_the_nearest_one() -> None:
    person = KITTI[1]
    anchors = anchor_grid([person], EXTENT, SIZE).flatten(0, 3)
    box = torch.tensor([[4.4, -3.3, 0.0, 0.8, 0.6, 1.7, 0.0]])
    rows = match_anchors(anchors, box, person)
    assert (rows >= 0).sum() >= 1 and rows.tolist() == slow_match(anchors, box, person)
    assert set(match_anchors(anchors, torch.zeros(0, 7), person).tolist()) == {BACKGROUND}


def test_boxes_come_back_from_their_codes() -> None:
    generator = torch.Generator().manual_seed(0)
    boxes, anchors = (torch.rand(20, 7, generator=generator).double() + 0.5 for _ in range(2))
    torch.testing.assert_close(decode_boxes(encode_boxes(boxes, anchors), anchors), boxes)
    code = encode_boxes(torch.tensor([[5.0, 2, 1, 8, 2, 3, 1]]), torch.tensor([[2.0, 6, 0, 4, 3, 2, 0.5]]))
    expected = [3 / 5, -4 / 5, 1 / 2, math.log(2), math.log(2 / 3), math.log(1.5), 0.5]
    assert code[0].tolist() == pytest.approx(expected)


def test_a_heading_comes_back_from_its_half_turn_and_direction() -> None:
    headings = torch.linspace(-7, 7, 500, dtype=torch.float64)
    directions = heading_directions(headings)
    for turn in (0, math.pi, -math.pi):  # a network that knows sines alone may be wrong by half turns
        back = directed(headings + turn, directions)
        torch.testing.assert_close(back.cos(), headings.cos())
        torch.testing.assert_close(back.sin(), headings.sin())
    assert heading_directions(torch.tensor([0.0, 1.0, math.pi, -1.0])).tolist() == [1, 0, 0, 1]


def head_of(classes: tuple[AnchorClass, ...] = KITTI[:2]) -> AnchorHead:
    torch.manual_seed(0)
    return AnchorHead(6, classes, EXTENT, SIZE)


def test_the_loss_is_that_of_a_loop_over_anchors() -> None:
    head = head_of()
    said = head(torch.randn(2, 6, *SIZE))
    said = AnchorsSaid(
        said.scores + torch.randn_like(said.scores), said.codes + torch.randn_like(said.codes) / 5, said.directions
    )
    frames = [objects(), Boxes(torch.zeros(0, 7, dtype=torch.float64), torch.zeros(0, dtype=torch.int64))]
    parts = head.loss(said, frames)
    totals = torch.zeros(3)
    for frame, boxes in enumerate(frames):
        rows = torch.full((8 * 9, 2, 2), BACKGROUND)
        for kind in range(2):
            own = (boxes.labels == kind).nonzero().squeeze(1)
            if len(own):
                found = slow_match(head.anchors[:, kind].flatten(0, 1), boxes.geometry[own], KITTI[kind])
                rows[:, kind] = torch.tensor([own[r] if r >= 0 else r for r in found]).view(-1, 2)
        flat, anchors = rows.flatten().tolist(), head.anchors.flatten(0, 2)
        answering = [a for a, row in enumerate(flat) if row >= 0]
        count = max(1, len(answering))
        for a, row in enumerate(flat):
            for kind in range(2):
                if row != UNDECIDED:
                    hit = row >= 0 and int(boxes.labels[row]) == kind
                    p = float(said.scores[frame, a, kind].detach().sigmoid())
                    p = p if hit else 1 - p
                    totals[0] -= (0.25 if hit else 0.75) * (1 - p) ** 2 * math.log(p) / count
        for a in answering:
            box = boxes.geometry[flat[a]].float()
            code, wanted = said.codes[frame, a].detach(), encode_boxes(box[None], anchors[a : a + 1])[0]
            for place in range(7):
                gap = float((code - wanted)[place]) if place < 6 else math.sin(float(code[6] - wanted[6]))
                size = abs(gap)
                totals[1] += 2 * (0.5 * size**2 * 9 if size < 1 / 9 else size - 0.5 / 9) / count
            direction = int(((float(box[6]) - math.pi / 4) % (2 * math.pi)) // math.pi)
            totals[2] += 0.2 * F.cross_entropy(said.directions[frame, a].detach(), torch.tensor(direction)) / count
    for value, expected in zip(parts.values(), totals / 2, strict=True):
        torch.testing.assert_close(value.detach(), expected, rtol=1e-4, atol=1e-5)
    assert list(parts) == ["classes", "boxes", "directions"]
    sum(parts.values()).backward()
    assert all(weight.grad is not None for weight in head.parameters())


def test_what_is_asked_for_is_what_is_found() -> None:
    """The codes, scores and directions that the loss wants give back the objects."""
    head, boxes = head_of(), objects()
    rows = head.match(boxes)
    answering = (rows >= 0).nonzero().squeeze(1)
    said = AnchorsSaid(torch.full((1, len(rows), 2), -9.0), torch.zeros(1, len(rows), 7), torch.zeros(1, len(rows), 2))
    truth = boxes.geometry.float()[rows[answering]]
    said.scores[0, answering, boxes.labels[rows[answering]]] = 4.0
    said.codes[0, answering] = encode_boxes(truth, head.anchors.flatten(0, 2)[answering])
    said.directions[0, answering, heading_directions(truth[:, 6])] = 5.0
    (found,) = head.detect(said)
    assert len(found.scores) == 3
    order = found.geometry[:, 0].argsort()
    torch.testing.assert_close(found.geometry[order][:, :6], boxes.geometry.float()[:, :6])
    torch.testing.assert_close(found.geometry[order][:, 6].cos(), boxes.geometry[:, 6].float().cos())
    torch.testing.assert_close(found.geometry[order][:, 6].sin(), boxes.geometry[:, 6].float().sin())
    assert found.labels[order].tolist() == [0, 0, 1]


def test_a_perfect_answer_costs_next_to_nothing() -> None:
    head, boxes = head_of(), objects()
    rows = head.match(boxes)
    answering = (rows >= 0).nonzero().squeeze(1)
    truth = boxes.geometry.float()[rows[answering]]
    said = AnchorsSaid(torch.full((1, len(rows), 2), -20.0), torch.zeros(1, len(rows), 7), torch.zeros(1, len(rows), 2))
    said.scores[0, answering, boxes.labels[rows[answering]]] = 20.0
    said.codes[0, answering] = encode_boxes(truth, head.anchors.flatten(0, 2)[answering])
    said.directions[0, answering, heading_directions(truth[:, 6])] = 20.0
    assert sum(head.loss(said, [boxes]).values()) < 1e-6


def test_the_heads_number_of_parameters_is_that_of_the_public_code() -> None:
    """second.yaml: 1 × 1 convolutions with bias from 512 channels to 18 scores, 42 codes and 12 directions."""
    head = AnchorHead(512, KITTI, EXTENT, SIZE)
    assert sum(weight.numel() for weight in head.parameters()) == 512 * 72 + 72 == 36_936
    assert torch.allclose(head.class_layer.bias.sigmoid(), torch.tensor(0.01))
    assert isinstance(head.box_layer, nn.Conv2d) and float(head.box_layer.weight.detach().std()) == pytest.approx(
        1e-3, rel=0.1
    )


def test_anchors_of_boxes_are_means() -> None:
    made = anchors_of_boxes(["car", "person"], *objects()[:2])
    assert made[0].size == pytest.approx((3.85, 1.6, 1.55)) and made[0].bottom == pytest.approx(-1.775)
    assert (made[0].matched, made[1].matched) == (0.6, 0.5)
    with pytest.raises(ValueError, match="found no box of the class bike"):
        anchors_of_boxes(["car", "person", "bike"], *objects()[:2])
    with pytest.raises(ValueError, match="expected three meters above 0"):
        AnchorClass("car", (1.0, 0.0, 2.0), 0.0)
    with pytest.raises(ValueError, match="expected two IoUs from 0 to 1"):
        AnchorClass("car", (1.0, 1.0, 2.0), 0.0, 0.3, 0.4)
