from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crosspoint.scene.models.code_matching import code_matching


def made(count: int, codes: int = 9, channels: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    rows = (torch.randn(size, channels, dtype=torch.float64) for size in (count, count, codes))
    points, pixels, book = (F.normalize(x, dim=1) for x in rows)
    return points.requires_grad_(), pixels.requires_grad_(), book


def slow(points: Tensor, pixels: Tensor, codes: Tensor, *, published: bool = False) -> Tensor:
    """The formula, pair after pair."""
    a, b = (
        [torch.softmax(-torch.stack([(row - code).norm() for code in codes]), dim=0) for row in rows]
        for rows in (points, pixels)
    )
    scores = [
        [x @ other.log() + y @ one.log() for one, other in zip(a, b, strict=True)] for x, y in zip(a, b, strict=True)
    ]
    least = min(s.item() for row in scores for s in row) if published else 0.0
    losses = []
    for i, row in enumerate(scores):
        whole = sum(
            ((s - least).exp() for s in row), start=torch.tensor(1e-5 if published else 0.0, dtype=torch.float64)
        )
        losses.append(-((row[i] - least).exp() / whole).log())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("published", [False, True])
def test_values_and_gradients_are_those_of_a_loop_over_pairs(published: bool) -> None:
    points, pixels, codes = made(12)
    found, expected = code_matching(points, pixels, codes), slow(points, pixels, codes, published=published)
    # The public code adds 1e-5 to sums that are 12 or more.
    tolerance = {"rtol": 0.0, "atol": 1e-5 / 12} if published else {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(found, expected, **tolerance)
    ours, theirs = (torch.autograd.grad(loss, [points, pixels]) for loss in (found, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, **tolerance)
    assert not torch.equal(found, expected) or not published


def test_many_pairs_are_compared_in_tiles_with_the_same_result() -> None:
    points, pixels, codes = made(600)  # more than the formula of the cross entropy takes at once
    a, b = (torch.softmax(-torch.cdist(rows, codes), dim=1) for rows in (points, pixels))
    expected = F.cross_entropy(a @ b.log().T + b @ a.log().T, torch.arange(600))
    found = code_matching(points, pixels, codes)
    torch.testing.assert_close(found, expected)
    for one, other in zip(*(torch.autograd.grad(x, [points, pixels]) for x in (found, expected)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-10)


def test_equal_pairs_cost_the_logarithm_of_their_number() -> None:
    row = F.normalize(torch.randn(1, 5), dim=1).expand(8, 5)
    assert code_matching(row, row, made(1)[2].float()).item() == pytest.approx(math.log(8), abs=1e-6)


def test_a_feature_that_is_a_code_has_a_finite_gradient() -> None:
    codes = made(1)[2].float()
    points, pixels = codes[:4].clone().requires_grad_(), codes[:4].clone().requires_grad_()
    code_matching(points, pixels, codes).backward()
    assert points.grad is not None and points.grad.isfinite().all()


def test_no_pair_costs_nothing() -> None:
    points, pixels, codes = made(3)
    loss = code_matching(points[:0], pixels[:0], codes)
    loss.backward()
    assert loss.item() == 0 and points.grad is not None


def test_half_precision_around_it_changes_nothing() -> None:
    points, pixels, codes = (x.float() for x in made(12))
    whole = code_matching(points, pixels, codes)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(code_matching(points, pixels, codes), whole)
