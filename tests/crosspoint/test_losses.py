from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from lightly.loss import NTXentLoss
from torch import Tensor

from crosspoint.losses import info_nce, nt_xent
from crosspoint.ops import contrastive_cross_entropy


def embeddings(batch: int, channels: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(batch)
    a, b = (torch.randn(batch, channels, generator=generator, dtype=dtype, requires_grad=True) for _ in range(2))
    return a, b


def slow_nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Row by row, as equation 1 of SimCLR is printed."""
    rows = [x / x.norm() for x in [*a, *b]]
    total, count = a.new_zeros(()), len(a)
    for i, row in enumerate(rows):
        positive = torch.exp(row @ rows[(i + count) % (2 * count)] / temperature)
        others = sum(torch.exp(row @ other / temperature) for j, other in enumerate(rows) if j != i)
        total = total - torch.log(positive / others)
    return total / (2 * count)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize(("batch", "channels"), [(1, 4), (2, 3), (7, 16)])
def test_equals_the_slow_reference_in_value_and_gradient(batch: int, channels: int, temperature: float) -> None:
    a, b = embeddings(batch, channels)
    fast, slow = nt_xent(a, b, temperature=temperature), slow_nt_xent(a, b, temperature)
    assert torch.allclose(fast, slow, rtol=1e-10)
    for found, expected in zip(torch.autograd.grad(fast, (a, b)), torch.autograd.grad(slow, (a, b)), strict=True):
        assert torch.allclose(found, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("batch", [1, 2, 5, 64])
def test_equal_embeddings_give_the_closed_form(batch: int) -> None:
    same = torch.ones(batch, 8, dtype=torch.float64)
    assert math.isclose(float(nt_xent(same, 3 * same)), math.log(2 * batch - 1), abs_tol=1e-12)


def test_orthogonal_pairs_give_the_closed_form() -> None:
    pairs = torch.eye(6, dtype=torch.float64)
    expected = math.log(1 + (2 * 6 - 2) * math.exp(-1 / 0.1))
    assert math.isclose(float(nt_xent(pairs, pairs)), expected, rel_tol=1e-9)


@pytest.mark.parametrize("batch", [20, 300])
@pytest.mark.parametrize("temperature", [0.02, 0.1, 1.0])
def test_equals_lightly(batch: int, temperature: float) -> None:
    """300 pairs are streamed, and at a temperature of 0.02 in another way than above it."""
    a, b = embeddings(batch, 32, torch.float32)
    ours = nt_xent(a, b, temperature=temperature)
    theirs = NTXentLoss(temperature=temperature, memory_bank_size=0)(a, b)
    assert torch.allclose(ours, theirs, rtol=1e-5)
    for found, expected in zip(torch.autograd.grad(ours, (a, b)), torch.autograd.grad(theirs, (a, b)), strict=True):
        assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5


def slow_info_nce(queries: Tensor, keys: Tensor, temperature: float, normalize: bool) -> Tensor:
    """Row by row."""
    if normalize:
        queries, keys = (torch.stack([x / x.norm() for x in some]) for some in (queries, keys))
    total = torch.zeros((), dtype=queries.dtype)
    for i, query in enumerate(queries):
        likeness = [torch.exp(query @ key / temperature) for key in keys]
        total = total - torch.log(likeness[i] / sum(likeness))
    return total / len(queries)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize(("pairs", "channels"), [(1, 4), (2, 3), (9, 16)])
def test_info_nce_equals_the_slow_reference(pairs: int, channels: int, temperature: float, normalize: bool) -> None:
    q, k = embeddings(pairs, channels)
    fast = info_nce(q, k, temperature=temperature, normalize=normalize)
    slow = slow_info_nce(q, k, temperature, normalize)
    assert torch.allclose(fast, slow, rtol=1e-10)
    for found, expected in zip(torch.autograd.grad(fast, (q, k)), torch.autograd.grad(slow, (q, k)), strict=True):
        assert torch.allclose(found, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("pairs", [1, 2, 5, 600])
def test_info_nce_of_equal_embeddings_is_the_logarithm_of_their_number(pairs: int) -> None:
    same = torch.ones(pairs, 8, dtype=torch.float64)
    assert math.isclose(float(info_nce(same, 3 * same)), math.log(pairs), abs_tol=1e-12)


@pytest.mark.parametrize("pairs", [6, 600])
def test_info_nce_of_orthogonal_pairs_is_the_closed_form(pairs: int) -> None:
    basis = torch.eye(pairs, dtype=torch.float64)
    expected = math.log(1 + (pairs - 1) * math.exp(-1 / 0.07))
    assert math.isclose(float(info_nce(2 * basis, basis)), expected, rel_tol=1e-9)


def test_info_nce_looks_from_queries_to_keys_alone() -> None:
    """Two equal keys halve the chance of a query; two equal queries halve nothing."""
    q = torch.eye(3, dtype=torch.float64)
    k = torch.eye(3, dtype=torch.float64)[[0, 1, 1]]
    assert math.isclose(float(info_nce(k, q, temperature=0.001)), 1000 / 3, rel_tol=1e-9)
    assert math.isclose(float(info_nce(q, k, temperature=0.001)), (math.log(2) + math.log(3)) / 3, rel_tol=1e-9)


@pytest.mark.parametrize(("loss", "pairs"), [(nt_xent, 2048), (info_nce, 4096)])
def test_peak_memory_is_a_fraction_of_the_formula(
    loss: Callable[[Tensor, Tensor], Tensor],
    pairs: int,
    monkeypatch: pytest.MonkeyPatch,
    peak_memory: Callable[..., int],
) -> None:
    a, b = (x.detach().requires_grad_() for x in embeddings(pairs, 16, torch.float32))
    ours = peak_memory(lambda: torch.autograd.grad(loss(a, b), (a, b)))
    for limit in ("FORMULA_LOGITS_CPU", "FORMULA_LOGITS_PAIRED_CPU", "FORMULA_LOGITS_GPU"):
        monkeypatch.setattr(contrastive_cross_entropy, limit, 2**40)
    formula = peak_memory(lambda: torch.autograd.grad(loss(a, b), (a, b)))
    assert ours < formula / 4


@pytest.mark.parametrize("loss", [nt_xent, info_nce])
def test_peak_memory_of_8192_pairs(loss: Callable[[Tensor, Tensor], Tensor], peak_memory: Callable[..., int]) -> None:
    """Their logits alone are a gigabyte for nt_xent, and a quarter for info_nce."""
    a, b = (x.detach().requires_grad_() for x in embeddings(8192, 16, torch.float32))
    assert peak_memory(lambda: torch.autograd.grad(loss(a, b), (a, b))) < 2**27


def test_is_symmetric_and_blind_to_scale_rotation_and_order() -> None:
    a, b = embeddings(9, 5)
    loss = nt_xent(a, b)
    rotation = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))).Q
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    for other in (
        nt_xent(b, a),
        nt_xent(3 * a, 0.5 * b),
        nt_xent(a @ rotation, b @ rotation),
        nt_xent(a[order], b[order]),
    ):
        assert torch.allclose(loss, other, rtol=1e-10)


@pytest.mark.parametrize("loss", [nt_xent, info_nce])
@pytest.mark.parametrize("batch", [16, 600])
def test_autocast_keeps_full_precision(loss: Callable[[Tensor, Tensor], Tensor], batch: int) -> None:
    a, b = embeddings(batch, 32, torch.float32)
    half_a, half_b = a.bfloat16(), b.bfloat16()
    expected = loss(half_a.float(), half_b.float())
    assert torch.equal(loss(half_a, half_b), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(F.linear(a, torch.eye(32)), half_b)
        gradients = torch.autograd.grad(found, (a, b))
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    for some, other in zip(gradients, torch.autograd.grad(expected, (a, b)), strict=True):
        assert float((some - other).abs().max() / other.abs().max()) < 0.01  # they pass through bfloat16


@pytest.mark.parametrize("loss", [nt_xent, info_nce])
@pytest.mark.parametrize(
    ("a", "b", "temperature"),
    [((4, 3), (5, 3), 0.1), ((4,), (4,), 0.1), ((4, 3), (4, 3), 0.0), ((4, 3), (4, 3), math.nan)],
)
def test_bad_input_is_named(
    loss: Callable[..., Tensor], a: tuple[int, ...], b: tuple[int, ...], temperature: float
) -> None:
    with pytest.raises(ValueError, match=r"found (embeddings of shapes|temperature)"):
        loss(torch.rand(a), torch.rand(b), temperature=temperature)
