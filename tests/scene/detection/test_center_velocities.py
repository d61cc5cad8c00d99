"""Velocities of CenterPoint's head: the loss against a loop, and what is found."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from crosspoint.scene.data.sample import Boxes
from crosspoint.scene.detection.center_head import CenterHead, GroupSaid
from crosspoint.scene.detection.detector import DetectorConfig
from crosspoint.scene.detection.found_boxes import FoundBoxes, join_found, suppress
from tests.scene.detection.test_centers import CELL, EXTENT, FOUND, SIZE

NAN = math.nan
GROUPS = [[0, 1], [2]]


def moving(velocities: Sequence[Sequence[float]]) -> Boxes:
    geometry, labels = torch.tensor(FOUND, dtype=torch.float64), torch.tensor([0, 1, 2])
    return Boxes(geometry, labels, torch.tensor(velocities, dtype=torch.float64))


def heads() -> list[CenterHead]:
    made = []
    for velocity in (False, True):
        torch.manual_seed(0)
        made.append(CenterHead(5, GROUPS, EXTENT, SIZE, CELL, width=4, velocity=velocity))
    return made


def slow_loss(head: CenterHead, said: list[GroupSaid], frames: list[Boxes]) -> Tensor:
    total = torch.zeros(())
    for group, one in zip(GROUPS, said, strict=True):
        gap, known = torch.zeros(()), 0
        for b, boxes in enumerate(frames):
            assert boxes.velocities is not None
            for box, label, speed in zip(boxes.geometry.tolist(), boxes.labels.tolist(), boxes.velocities, strict=True):
                if label not in group or bool(speed.isnan().any()):
                    continue
                column, row = math.floor((box[0] + 8) / CELL), math.floor((box[1] + 6) / CELL)
                x, y = one.codes[b, 8:, row, column]
                gap = gap + (x - float(speed[0])).abs() + (y - float(speed[1])).abs()
                known += 1
        total = total + 0.25 * 0.2 * gap / max(1, known)
    return total


@pytest.mark.parametrize("lost", [[], [0], [0, 1], [0, 1, 2]])
def test_the_loss_of_velocities_and_its_gradients_are_those_of_a_loop(lost: list[int]) -> None:
    _, head = heads()
    speeds = [[3.0, -1.0], [0.0, 0.5], [-8.0, 2.0]]
    first, second = moving([[NAN, NAN] if row in lost else speeds[row] for row in range(3)]), moving([[NAN, NAN]] * 3)
    frames = [first, second] if 0 in lost else [first, moving(speeds[::-1])]
    said = head(torch.randn(2, 5, *SIZE))
    codes = [one.codes for one in said]
    found, expected = head.loss(said, frames)["velocities"], slow_loss(head, said, frames)
    torch.testing.assert_close(found, expected)
    assert bool(found.detach().isfinite()) and (float(found.detach()) == 0) == (len(lost) == 3)
    if len(lost) < 3:
        ours, theirs = (torch.autograd.grad(x, codes, retain_graph=True, allow_unused=True) for x in (found, expected))
        for one, other in zip(ours, theirs, strict=True):
            assert bool(one.isfinite().all())
            torch.testing.assert_close(one, torch.zeros_like(one) if other is None else other)


def test_all_else_is_what_it_is_without_velocities() -> None:
    """With the same weights, the other parts of the loss and the boxes do not differ in a bit."""
    plain, head = (one.eval() for one in heads())
    shared = {name: weight for name, weight in head.state_dict().items() if ".velocity." not in name}
    plain.load_state_dict(shared)
    maps, frames = torch.randn(1, 5, *SIZE), [moving([[1.0, 2.0], [NAN, NAN], [0.0, 0.0]])]
    ours, theirs = head.loss(head(maps), frames), plain.loss(plain(maps), frames)
    assert {*ours} - {*theirs} == {"velocities"} and all(torch.equal(ours[name], theirs[name]) for name in theirs)
    head.score = plain.score = 0.0
    (one,), (other,) = head.detect(head(maps)), plain.detect(plain(maps))
    assert all(torch.equal(*parts) for parts in zip(one[:3], other[:3], strict=True)) and other.velocities is None
    assert one.velocities is not None and one.velocities.shape == (len(one.scores), 2)


def test_the_velocities_asked_for_are_found_with_their_boxes() -> None:
    _, head = heads()
    head.overlap = 1.0  # two of the boxes overlap
    boxes = moving([[3.0, -1.0], [0.25, 0.5], [-8.0, 2.0]])
    said = []
    for group in GROUPS:
        target = head.targets(group, boxes)
        codes = torch.zeros(1, 10, SIZE[0] * SIZE[1])
        codes[0, :8, target.cells], codes[0, 8:, target.cells] = target.codes.T, target.velocities.T
        said.append(GroupSaid(target.heat.clamp(1e-6, 1 - 1e-6).logit()[None], codes.view(1, 10, *SIZE)))
    (found,) = head.detect(said)
    for geometry, label, speed in zip(*boxes, strict=True):
        near = ((found.geometry[:, :2] - geometry[:2]).norm(dim=1) < 1e-3) & (found.labels == label)
        assert int(near.sum()) == 1
        torch.testing.assert_close(found.velocities[near][0].double(), speed)


def test_boxes_without_velocities_are_refused() -> None:
    _, head = heads()
    with pytest.raises(ValueError, match="found boxes without velocities, expected them to learn velocities from"):
        head.loss(head(torch.zeros(1, 5, *SIZE)), [moving([[0.0, 0.0]] * 3)._replace(velocities=None)])
    with pytest.raises(ValueError, match="found velocity true with the head anchor, expected it with center alone"):
        DetectorConfig("anchor", velocity=True)


def test_of_many_candidates_each_keeps_its_own_velocity() -> None:
    """The number of a box is its x, and its velocity's x, too; one that is infinite goes."""
    number = torch.arange(6.0)
    geometry = torch.tensor([0.0, 0, 0, 1, 1, 1, 0]).repeat(6, 1)
    geometry[:, 0] = 10 * number
    speeds = torch.stack([number, torch.where(number == 2, math.inf, 0.0)], dim=1)
    found = FoundBoxes(geometry, number.long(), torch.tensor([0.2, 0.9, 0.8, 0.05, 0.5, 0.7]), speeds)
    kept = suppress(found, score=0.1, overlap=0.2, before=4, after=3)
    assert kept.labels.tolist() == [1, 5, 4] and kept.velocities[:, 0].tolist() == [1, 5, 4]
    joined = join_found([kept, found.keep(torch.tensor([0, 3]))])
    assert joined.labels.tolist() == joined.velocities[:, 0].tolist() == [1, 5, 4, 0, 3]
    assert join_found([kept, kept._replace(velocities=None)]).velocities is None
    assert joined.to_cpu().velocities is not None and joined._replace(velocities=None).to_cpu().velocities is None
