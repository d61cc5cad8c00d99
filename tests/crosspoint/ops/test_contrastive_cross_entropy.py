"""The streamed cross entropies against their formula, in tiles so small that there are many."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crosspoint.ops import contrastive_cross_entropy
from crosspoint.ops.contrastive_cross_entropy import cross_entropy, cross_entropy_formula, paired_cross_entropy

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


@pytest.fixture(params=[4, 6, 64], autouse=True)
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Always stream, in tiles of some rows, a strip no higher than a tile."""
    for device in ("CPU", "GPU"):
        monkeypatch.setattr(contrastive_cross_entropy, f"FORMULA_LOGITS_{device}", 0)
        monkeypatch.setattr(contrastive_cross_entropy, f"TILE_{device}", request.param)
    monkeypatch.setattr(contrastive_cross_entropy, "FORMULA_LOGITS_PAIRED_CPU", 0)
    monkeypatch.setattr(contrastive_cross_entropy, "STRIP_ROWS", 3)
    monkeypatch.setattr(contrastive_cross_entropy, "STRIP_CPU", 300)


def matrix(rows: int, channels: int = 5, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(1000 * seed + rows)
    return torch.randn(rows, channels, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()


def columns(queries: int, keys: int) -> tuple[Tensor, Tensor]:
    """Targets that hit the first and the last key, some twice, and another key for each row to leave out."""
    targets = (torch.arange(queries) * 3 + keys - 1) % keys
    return targets, (targets + 1 + torch.arange(queries) % (keys - 1)) % keys


def assert_equal(found: Tensor, expected: Tensor, *inputs: Tensor, size: float) -> None:
    """Values and gradients; these relative to the largest, or to the size of what cancels in them."""
    tolerance = TOLERANCE[expected.dtype]
    assert torch.allclose(found, expected, rtol=tolerance, atol=tolerance)
    gradients = (torch.autograd.grad(loss, inputs, retain_graph=True) for loss in (found, expected))
    for some, other in zip(*gradients, strict=True):
        assert float((some - other).abs().max()) <= tolerance * max(float(other.abs().max()), size)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(1, 3), (7, 7), (13, 29), (29, 13), (65, 130)])
@pytest.mark.parametrize("scale", [0.5, 10.0, 100.0])
def test_equals_the_formula(queries: int, keys: int, exclude: bool, dtype: torch.dtype, scale: float) -> None:
    q, k = matrix(queries, dtype=dtype), matrix(keys, dtype=dtype, seed=1)
    targets, others = columns(queries, keys)
    excluded = others if exclude else None
    unit_q, unit_k = F.normalize(q, dim=1), F.normalize(k, dim=1)
    found = cross_entropy(unit_q, unit_k, targets, scale=scale, excluded=excluded)
    expected = cross_entropy_formula(unit_q, unit_k, targets, scale=scale, excluded=excluded)
    assert_equal(found, expected, q, k, size=scale / queries)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("pairs", [1, 2, 3, 4, 6, 9, 37, 64])
@pytest.mark.parametrize("scale", [0.5, 10.0, 40.0, 100.0])
def test_pairs_equal_the_formula(pairs: int, dtype: torch.dtype, scale: float) -> None:
    rows = matrix(2 * pairs, dtype=dtype)
    own = torch.arange(2 * pairs)
    unit = F.normalize(rows, dim=1)
    expected = cross_entropy_formula(unit, unit, (own + pairs) % (2 * pairs), scale=scale, excluded=own)
    assert_equal(paired_cross_entropy(unit, scale=scale), expected, rows, size=scale / pairs)


@pytest.mark.parametrize(
    ("scale", "dtype"), [(20.0, torch.float32), (100.0, torch.float32), (20.0, torch.float64), (1000.0, torch.float64)]
)
@pytest.mark.parametrize("close", [True, False])
def test_opposite_embeddings_neither_overflow_nor_vanish(dtype: torch.dtype, close: bool, scale: float) -> None:
    """Half of the logits are −scale and half are scale; the target is among the large ones, or among the small."""
    sign = torch.tensor([1.0, -1.0]).repeat(12)
    q = (sign.unsqueeze(1) * torch.tensor([0.6, 0.8, 0.0])).to(dtype).requires_grad_()
    partner = torch.arange(24).roll(2 if close else 1)
    expected = cross_entropy_formula(q, q, partner, scale=scale, excluded=torch.arange(24))
    found = cross_entropy(q, q, partner, scale=scale, excluded=torch.arange(24))
    assert_equal(found, expected, q, size=scale / 24)
    assert bool(found < math.log(24)) == close
    pairs = torch.cat([q[:12], q[:12].roll(0 if close else 1, dims=0)])
    own = torch.arange(24)
    assert_equal(
        paired_cross_entropy(pairs, scale=scale),
        cross_entropy_formula(pairs, pairs, own.roll(12), scale=scale, excluded=own),
        q,
        size=scale / 24,
    )


def test_a_small_loss_keeps_its_digits() -> None:
    """Against float64; the formula in float32 has none of them left."""
    rows = torch.eye(20).repeat(2, 1)
    expected = math.log1p(38 * math.exp(-18.0))
    assert math.isclose(float(paired_cross_entropy(rows, scale=18.0)), expected, rel_tol=1e-5)
    found = cross_entropy(rows[:20], rows[:20], torch.arange(20), scale=18.0)
    assert math.isclose(float(found), math.log1p(19 * math.exp(-18.0)), rel_tol=1e-5)


def test_rows_of_any_length() -> None:
    q, k = matrix(11), matrix(23, seed=1)
    targets, excluded = columns(11, 23)
    scales = torch.logspace(-2, 2, 11, dtype=torch.float64).unsqueeze(1)
    found = cross_entropy(scales * q, k, targets, scale=3.0, excluded=excluded)
    assert_equal(found, cross_entropy_formula(scales * q, k, targets, scale=3.0, excluded=excluded), q, k, size=1.0)


def test_without_negatives_nothing_is_lost() -> None:
    q, k = matrix(5), matrix(1)
    loss = cross_entropy(q, k, torch.zeros(5, dtype=torch.int64), scale=2.0)
    assert loss == 0
    assert all(not grad.any() for grad in torch.autograd.grad(loss, (q, k)))


@pytest.mark.parametrize("where", [0, 12])
def test_nan_comes_to_light(where: int) -> None:
    q, k = matrix(13), matrix(13, seed=1)
    broken = q.detach().clone()
    broken[where, 2] = math.nan
    broken.requires_grad_()
    own = torch.arange(13)
    for loss in (cross_entropy(broken, k, own, scale=10.0), cross_entropy(k, broken, own, scale=10.0)):
        assert loss.isnan()
        assert torch.autograd.grad(loss, broken)[0].isnan().any()
    loss = paired_cross_entropy(torch.cat([broken, k]), scale=10.0)
    assert loss.isnan()
    assert torch.autograd.grad(loss, broken)[0].isnan().any()


def test_value_alone_and_gradients_of_one_side() -> None:
    q, k = matrix(13), matrix(29, seed=1)
    targets, excluded = columns(13, 29)
    loss = cross_entropy(q, k, targets, scale=2.0, excluded=excluded)
    both = torch.autograd.grad(2 * loss, (q, k), retain_graph=True)
    assert torch.equal(torch.autograd.grad(loss, q)[0] * 2, both[0])
    with torch.no_grad():
        assert torch.allclose(cross_entropy(q, k, targets, scale=2.0, excluded=excluded), loss, rtol=1e-14)
    assert not cross_entropy(q.detach(), k.detach(), targets, scale=2.0).requires_grad
    for i, inputs in enumerate([(q, k.detach()), (q.detach(), k)]):
        (alone,) = torch.autograd.grad(cross_entropy(*inputs, targets, scale=2.0, excluded=excluded), inputs[i])
        assert torch.allclose(2 * alone, both[i], rtol=1e-14)


def test_a_backward_pass_under_autocast_keeps_full_precision() -> None:
    rows = F.normalize(matrix(40, dtype=torch.float32), dim=1).detach().requires_grad_()
    expected = torch.autograd.grad(paired_cross_entropy(rows, scale=5.0), rows)[0]
    loss = paired_cross_entropy(rows, scale=5.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch.autograd.grad(loss, rows)[0]
    assert torch.equal(found, expected)


def test_layout_of_memory_does_not_matter() -> None:
    q, k = matrix(13), matrix(29, seed=1)
    targets, _ = columns(13, 29)
    expected = cross_entropy(q, k, targets, scale=2.0)
    turned = cross_entropy(q.T.contiguous().T, k.repeat(1, 2)[:, :5], targets, scale=2.0)
    assert_equal(turned, expected, q, k, size=0.0)
