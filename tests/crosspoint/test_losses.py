from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from lightly.loss import NTXentLoss
from torch import Tensor

from crosspoint.losses import nt_xent


def embeddings(batch: int, channels: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(batch)
    a, b = (torch.randn(batch, channels, generator=generator, dtype=dtype, requires_grad=True) for _ in range(2))
    return a, b


def slow_nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Row by row, as equation 1 of SimCLR is printed."""
    rows = [x / x.norm() for x in [*a, *b]]
    total, count = 0.0, len(a)
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


def test_equals_lightly() -> None:
    a, b = embeddings(20, 32, torch.float32)
    theirs = NTXentLoss(temperature=0.1, memory_bank_size=0)(a, b)
    assert torch.allclose(nt_xent(a, b, temperature=0.1), theirs, rtol=1e-5)


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


def test_autocast_keeps_full_precision() -> None:
    a, b = embeddings(16, 32, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nt_xent(F.linear(a, torch.eye(32)), b)
    assert loss.dtype == torch.float32
    assert torch.allclose(nt_xent(a.bfloat16(), b.bfloat16()), nt_xent(a.bfloat16().float(), b.bfloat16().float()))


@pytest.mark.parametrize(("a", "b", "temperature"), [((4, 3), (5, 3), 0.1), ((4,), (4,), 0.1), ((4, 3), (4, 3), 0.0)])
def test_bad_input_is_named(a: tuple[int, ...], b: tuple[int, ...], temperature: float) -> None:
    with pytest.raises(ValueError, match=r"found (embeddings of shapes|temperature)"):
        nt_xent(torch.rand(a), torch.rand(b), temperature=temperature)
