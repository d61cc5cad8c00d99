from __future__ import annotations

import pytest
import torch

from crosspoint.eval.panoptic.losses import MASKINGS, Masking, center_loss, offset_loss
from crosspoint.eval.panoptic.targets import PanopticTargets

SHAPE = (2, 6, 5)


@pytest.fixture
def targets() -> PanopticTargets:
    torch.manual_seed(0)
    heat = torch.rand(SHAPE) * (torch.rand(SHAPE) < 0.5)
    heat[0, 0, :3] = 0.005  # lower than any hill
    filled = torch.rand(SHAPE) < 0.2
    labeled = filled | (torch.rand(SHAPE) < 0.2)
    offset = torch.randn(2, 2, 6, 5) * filled[:, None]
    return PanopticTargets(heat, offset, labeled, filled)


@pytest.fixture
def given() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    heat = torch.randn(SHAPE, generator=generator, requires_grad=True)
    return heat, torch.randn(2, 2, 6, 5, generator=generator, requires_grad=True)


def test_losses_are_means_of_the_cells_that_are_meant(
    targets: PanopticTargets, given: tuple[torch.Tensor, torch.Tensor]
) -> None:
    heat, offset = given
    squares, distances = [], []
    for b, r, c in torch.ones(SHAPE).nonzero().tolist():
        if targets.heat[b, r, c] > 0.01 or targets.labeled[b, r, c]:
            squares.append((heat[b, r, c] - targets.heat[b, r, c]) ** 2)
        if targets.object[b, r, c]:
            distances += [(offset[b, i, r, c] - targets.offset[b, i, r, c]).abs() for i in range(2)]
    assert 0 < len(distances) < 120 and 0 < len(squares) < 60
    losses = center_loss(heat, targets), offset_loss(offset, targets)
    expected = torch.stack(squares).mean(), torch.stack(distances).mean()
    for mine, theirs, values in zip(losses, expected, given, strict=True):
        torch.testing.assert_close(mine, theirs)
        gradients = [torch.autograd.grad(loss, values)[0] for loss in (mine, theirs)]
        torch.testing.assert_close(*gradients)


def test_published_losses_are_means_of_all_cells_whatever_the_mask(
    targets: PanopticTargets, given: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """The public code's own lines: a mean, times a mask, over the size of the mask."""
    heat, offset = given
    mask = (targets.heat > 0) | targets.labeled
    mean = torch.nn.MSELoss()(heat, targets.heat) * mask
    torch.testing.assert_close(center_loss(heat, targets, "published"), mean.sum() / mask.sum())
    mask = targets.offset != 0
    mean = torch.nn.L1Loss()(offset, targets.offset) * mask
    torch.testing.assert_close(offset_loss(offset, targets, "published"), mean.sum() / mask.sum())


@pytest.mark.parametrize("masking", MASKINGS)
def test_nothing_to_learn_is_no_loss(masking: Masking, given: tuple[torch.Tensor, torch.Tensor]) -> None:
    heat, offset = given
    nothing = torch.zeros(SHAPE, dtype=torch.bool)
    empty = PanopticTargets(torch.zeros(SHAPE), torch.zeros(2, 2, 6, 5), nothing, nothing)
    assert center_loss(heat, empty, masking) == offset_loss(offset, empty, masking) == 0
