"""Two layers on edges in chunks against the defining formula."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from crosspoint.ops import edge_moments
from crosspoint.ops.edge_mlp import EdgeMLP, edge_mlp
from crosspoint.ops.knn import knn

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def block(channels: int, hidden: int, width: int, dtype: torch.dtype) -> EdgeMLP:
    """A block whose BatchNorms have weights of both signs."""
    torch.manual_seed(0)
    made = EdgeMLP(channels, hidden, width).to(dtype)
    for layer in (made.first, made.second):
        nn.init.normal_(layer.norm.weight)
        nn.init.normal_(layer.norm.bias)
        assert (layer.norm.weight < 0).any() and (layer.norm.weight > 0).any()
    return made


def cloud(batch: int, count: int, channels: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(batch, count, channels, generator=torch.Generator().manual_seed(2), dtype=dtype)


def relative(found: Tensor | None, expected: Tensor | None) -> float:
    assert found is not None and expected is not None
    return float((found - expected).detach().abs().max() / expected.detach().abs().max().clamp_min(1e-30))


def compare(made: EdgeMLP, x: Tensor, k: int, tolerance: float) -> None:
    """Values, gradients and running statistics of both paths."""
    reference = copy.deepcopy(made)
    x_fast, x_slow = x.clone().requires_grad_(), x.clone().requires_grad_()
    neighbors = knn(x, k)
    fast, slow = made(x_fast, neighbors), edge_mlp(x_slow, neighbors, reference.first, reference.second)
    assert relative(fast, slow) < tolerance
    gradient = torch.randn(slow.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    fast.backward(gradient)
    slow.backward(gradient)
    assert relative(x_fast.grad, x_slow.grad) < 10 * tolerance
    for (name, found), expected in zip(made.named_parameters(), reference.parameters(), strict=True):
        assert relative(found.grad, expected.grad) < 10 * tolerance, name
    for (name, found), expected in zip(made.named_buffers(), reference.buffers(), strict=True):
        assert relative(found.double(), expected.double()) < tolerance, name


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("channels", "k", "chunk"), [(3, 6, 2**18), (5, 1, 2**18), (8, 12, 7 * 12 * 12)])
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_formula(
    channels: int, k: int, chunk: int, training: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_moments, "CHUNK_CPU", chunk)
    made = block(channels, 10, 12, dtype)
    made(cloud(2, 30, channels, dtype), knn(cloud(2, 30, channels, dtype), 5))  # running statistics of something
    compare(made.train(training), cloud(3, 40, channels, dtype), k, TOLERANCE[dtype])


def test_numerical_gradient() -> None:
    made = block(3, 8, 8, torch.float64)
    x = cloud(2, 6, 3, torch.float64).requires_grad_()
    neighbors = knn(x, 3)
    assert torch.autograd.gradcheck(lambda points: made(points, neighbors), (x,), eps=1e-7, atol=1e-6)


def test_a_mean_far_from_zero_does_not_cancel() -> None:
    made = block(3, 8, 8, torch.float32)
    nn.init.constant_(made.first.norm.bias, 1000.0)  # h has a mean of thousands and a deviation near one
    x = cloud(4, 50, 3, torch.float32)
    neighbors = knn(x, 8)
    exact = edge_mlp(x.double(), neighbors, copy.deepcopy(made.first).double(), copy.deepcopy(made.second).double())
    assert relative(made(x, neighbors).double(), exact) < 1e-3


def test_copies_of_a_point_share_one_gradient_sum() -> None:
    made = block(3, 8, 8, torch.float64)
    x = cloud(1, 30, 3, torch.float64)
    x[0, 20:] = x[0, 0]  # ties: either copy may take the gradient
    found, expected = (x.clone().requires_grad_() for _ in range(2))
    neighbors = knn(x, 6)
    reference = copy.deepcopy(made)
    made(found, neighbors).square().sum().backward()
    edge_mlp(expected, neighbors, reference.first, reference.second).square().sum().backward()
    assert found.grad is not None and expected.grad is not None
    copies = [0, *range(20, 30)]
    assert torch.allclose(found.grad[0, copies].sum(0), expected.grad[0, copies].sum(0), atol=1e-9)
    assert torch.allclose(found.grad[0, 1:20], expected.grad[0, 1:20], atol=1e-9)


def test_autocast_stays_near_full_precision() -> None:
    made = block(3, 16, 16, torch.float32)
    x = cloud(4, 64, 3, torch.float32)
    neighbors = knn(x, 8)
    full = copy.deepcopy(made)(x, neighbors)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = made(x, neighbors)
    assert half.dtype == torch.float32 and made.second.norm.running_mean.dtype == torch.float32
    half.sum().backward()
    assert float((half - full).detach().abs().mean() / full.detach().abs().mean()) < 0.03  # bf16 keeps 8 bits
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in made.parameters())


def test_memory_is_a_fraction_of_the_formula(peak_memory: Callable[..., int]) -> None:
    made = block(3, 64, 64, torch.float32)
    x = cloud(4, 1024, 3, torch.float32)
    neighbors = knn(x, 20)
    fast = peak_memory(lambda: made(x, neighbors).sum().backward())
    slow = peak_memory(lambda: edge_mlp(x, neighbors, made.first, made.second).sum().backward())
    assert fast < slow / 3  # a sixth to a ninth; less of the formula is seen where its tensors fill holes of the heap
