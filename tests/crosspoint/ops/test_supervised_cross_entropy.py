from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from crosspoint.losses import feature_distance, info_nce, supervised_info_nce
from crosspoint.ops import supervised_cross_entropy as module
from crosspoint.ops.supervised_cross_entropy import supervised_cross_entropy, supervised_cross_entropy_formula


def rows(count: int, channels: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(count)
    a, b = (torch.randn(count, channels, generator=generator, dtype=torch.float64) for _ in range(2))
    return a.requires_grad_(), b.requires_grad_()


def slow(queries: Tensor, keys: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Query by query, as the loss is printed."""
    total = queries.new_zeros(())
    for query, label in zip(queries, labels.tolist(), strict=True):
        similar = [torch.exp(query @ key / temperature) for key in keys]
        own = sum(value for value, other in zip(similar, labels.tolist(), strict=True) if other == label)
        total = total - torch.log(own / sum(similar))
    return total / len(queries)


@pytest.mark.parametrize("classes", [1, 3, 40])
@pytest.mark.parametrize("count", [1, 2, 23])
def test_equals_a_loop_in_values_and_gradients(count: int, classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRIP_CPU", 3 * count)  # strips of three queries
    queries, keys = rows(count)
    labels = torch.randint(classes, (count,), generator=torch.manual_seed(0)) * 7 - 3
    fast = supervised_info_nce(queries, keys, labels, temperature=0.5, normalize=False)
    formula = supervised_cross_entropy_formula(queries, keys, labels, scale=2.0)
    expected = slow(queries, keys, labels, 0.5)
    found = [torch.autograd.grad(value, (queries, keys)) for value in (fast, formula, expected)]
    torch.testing.assert_close(fast, expected)
    torch.testing.assert_close(formula, expected)
    for gradients in zip(*found, strict=True):
        torch.testing.assert_close(gradients[0], gradients[2], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(gradients[1], gradients[2], rtol=1e-9, atol=1e-12)


def test_is_info_nce_where_all_labels_differ_and_0_where_all_are_equal() -> None:
    queries, keys = rows(50)
    assert torch.allclose(supervised_info_nce(queries, keys, torch.arange(50)), info_nce(queries, keys))
    assert abs(float(supervised_info_nce(queries.detach(), keys, torch.zeros(50, dtype=torch.int64)).detach())) < 1e-12


def test_equal_embeddings_give_the_closed_form() -> None:
    same, labels = torch.ones(12, 4), torch.arange(12) % 3
    assert float(supervised_info_nce(same, same, labels)) == pytest.approx(math.log(3))


def test_nothing_overflows_where_a_class_is_far_from_the_nearest() -> None:
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    keys = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    loss = supervised_cross_entropy(queries, keys, torch.tensor([0, 1]), scale=1000.0)
    assert float(loss.detach()) == pytest.approx(1000.0)
    assert torch.autograd.grad(loss, queries)[0].isfinite().all()


def test_shapes_that_do_not_fit_are_told() -> None:
    queries, keys = rows(4)
    with pytest.raises(ValueError, match=r"found labels of shape \(3,\), expected \(4,\)"):
        supervised_info_nce(queries, keys, torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("distance", ["l2", "cosine"])
def test_distances_of_features_equal_a_loop(distance: str, center: bool) -> None:
    a, b = rows(9)
    parts = []
    for one, other in zip(a, b, strict=True):
        if center:
            one, other = one - one.mean(), other - other.mean()
        one, other = one / one.norm(), other / other.norm()
        parts.append((one - other).norm() if distance == "l2" else 1 - one @ other)
    expected = torch.stack(parts).mean()
    found = feature_distance(a, b, distance=distance, center=center)  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(*(torch.autograd.grad(x, (a, b)) for x in (found, expected)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_equal_features_have_no_distance_and_a_finite_gradient() -> None:
    a = torch.ones(3, 4, requires_grad=True)
    loss = feature_distance(a, torch.ones(3, 4))
    assert float(loss.detach()) == pytest.approx(0.0, abs=2e-6) and torch.autograd.grad(loss, a)[0].isfinite().all()
    with pytest.raises(ValueError, match="found the distance 'l1', expected one of: l2, cosine"):
        feature_distance(a, a, distance="l1")  # type: ignore[arg-type]
