"""Shared layers that are only pooled, in blocks, against the defining formulas."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from crosspoint.ops import blocks, fused_max_mean_pool, fused_max_pool
from crosspoint.ops.fused_max_mean_pool import (
    layer_max_and_mean,
    layer_max_and_mean_by_blocks,
    layer_max_and_mean_formula,
)
from crosspoint.ops.fused_max_pool import layer_max, layer_max_by_blocks, layer_max_formula
from crosspoint.ops.shared_mlp import SharedMLP

Pool = Callable[[SharedMLP, Tensor], Tensor]
PAIRS = [(layer_max_by_blocks, layer_max_formula), (layer_max_and_mean_by_blocks, layer_max_and_mean_formula)]
both = pytest.mark.parametrize(("fast", "formula"), PAIRS, ids=["max", "max_and_mean"])


def shared_layer(channels: int, width: int, dtype: torch.dtype = torch.float64, slope: float = 0.2) -> SharedMLP:
    """A layer whose BatchNorm has weights of both signs, and running statistics of something."""
    torch.manual_seed(0)
    made = SharedMLP(channels, width, slope=slope).to(dtype)
    nn.init.normal_(made.norm.weight)
    nn.init.normal_(made.norm.bias)
    assert (made.norm.weight < 0).any() and (made.norm.weight > 0).any()
    made(cloud(2, 9, channels, dtype))
    return made


def cloud(batch: int, count: int, channels: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(batch, count, channels, generator=torch.Generator().manual_seed(2), dtype=dtype) + 1


def relative(found: Tensor | None, expected: Tensor | None) -> float:
    assert found is not None and expected is not None
    return float((found - expected).detach().abs().max() / expected.detach().abs().max().clamp_min(1e-30))


def compare(fast: Pool, formula: Pool, layer: SharedMLP, x: Tensor, tolerance: float) -> None:
    """Values, gradients and running statistics of both paths."""
    reference = copy.deepcopy(layer)
    x_fast, x_slow = x.clone().requires_grad_(), x.clone().requires_grad_()
    found, expected = fast(layer, x_fast), formula(reference, x_slow)
    assert relative(found, expected) < tolerance
    gradient = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    found.backward(gradient)
    expected.backward(gradient)
    assert relative(x_fast.grad, x_slow.grad) < tolerance
    for (name, parameter), other in zip(layer.named_parameters(), reference.parameters(), strict=True):
        assert relative(parameter.grad, other.grad) < tolerance, name
    for (name, buffer), other in zip(layer.named_buffers(), reference.buffers(), strict=True):
        assert relative(buffer.double(), other.double()) < tolerance, name


@both
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("chunk", [2**18, 7 * 16, 2 * 40 * 16])  # all at once, pieces of a cloud, two clouds
@pytest.mark.parametrize("training", [True, False])
def test_equals_the_formula(
    fast: Pool,
    formula: Pool,
    training: bool,
    chunk: int,
    dtype: torch.dtype,
    tolerance: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocks, "CHUNK_CPU", chunk)
    compare(fast, formula, shared_layer(5, 16, dtype).train(training), cloud(3, 40, 5, dtype), tolerance)


@both
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_other_slopes_and_a_weight_of_zero(fast: Pool, formula: Pool, slope: float) -> None:
    layer = shared_layer(4, 9, slope=slope)
    with torch.no_grad():
        layer.norm.weight[3] = 0  # every point has the maximum
    x = cloud(2, 30, 4)
    assert relative(fast(copy.deepcopy(layer), x), formula(layer, x)) < 1e-10
    layer.norm.weight.data[3] = 1e-3
    compare(fast, formula, layer, x, 1e-9)


@both
@pytest.mark.parametrize("training", [True, False])
def test_numerical_gradient(fast: Pool, formula: Pool, training: bool) -> None:
    layer = shared_layer(3, 6).train(training)
    x, weight = cloud(2, 7, 3).requires_grad_(), layer.linear.weight
    assert torch.autograd.gradcheck(lambda points, *_: fast(layer, points), (x, weight, layer.norm.weight))


@both
def test_the_first_of_equal_points_takes_the_gradient_whatever_the_blocks(
    fast: Pool, formula: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = cloud(1, 30, 4)
    x[0, 20:] = x[0, 0]
    layer = shared_layer(4, 8)
    gradients = []
    for chunk in (2**18, 3 * 8):
        monkeypatch.setattr(blocks, "CHUNK_CPU", chunk)
        points = x.clone().requires_grad_()
        fast(copy.deepcopy(layer), points).square().sum().backward()
        gradients.append(points.grad)
    assert relative(*gradients) < 1e-10
    points = x.clone().requires_grad_()
    formula(layer, points).square().sum().backward()
    copies = [0, *range(20, 30)]
    assert relative(gradients[0][0, copies].sum(0), points.grad[0, copies].sum(0)) < 1e-9
    assert relative(gradients[0][0, 1:20], points.grad[0, 1:20]) < 1e-9


@both
def test_a_mean_far_from_zero_does_not_cancel(fast: Pool, formula: Pool) -> None:
    layer = shared_layer(6, 8, torch.float32)
    x = cloud(2, 50, 6, torch.float32) + 1000
    exact = formula(copy.deepcopy(layer).double(), x.double())
    assert relative(fast(layer, x).double(), exact) < 1e-3


@both
def test_what_is_not_finite_comes_to_light(fast: Pool, formula: Pool) -> None:
    x = cloud(2, 20, 4, torch.float32)
    x[1, 3, 2] = torch.nan
    assert fast(shared_layer(4, 8, torch.float32).eval(), x)[1].isnan().all()


@both
def test_autocast_stays_near_full_precision(fast: Pool, formula: Pool) -> None:
    layer, x = shared_layer(16, 32, torch.float32), cloud(4, 64, 16, torch.float32)
    full = fast(copy.deepcopy(layer), x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = fast(layer, x)
    assert half.dtype == torch.float32
    half.sum().backward()
    assert relative(half, full) < 0.03  # bf16 keeps 8 bits
    assert not torch.equal(half, full)
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layer.parameters())


@pytest.mark.parametrize(
    ("pool", "module", "fast"),
    [
        (layer_max, fused_max_pool, "layer_max_by_blocks"),
        (layer_max_and_mean, fused_max_mean_pool, "layer_max_and_mean_by_blocks"),
    ],
)
def test_small_inputs_take_the_formula(pool: Pool, module: object, fast: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(module, fast, lambda layer, x: calls.append(x.shape))
    for shape in ((1, 2, 8), (64, 32, 8), (2, 4096, 8)):
        pool(shared_layer(shape[2], 512, torch.float32), torch.randn(shape))
    assert calls[-1] == (2, 4096, 8) and (1, 2, 8) not in calls


def test_memory_of_the_maximum_is_a_fraction_of_the_formula(peak_memory: Callable[..., int]) -> None:
    layer, x = SharedMLP(64, 1024), cloud(8, 1024, 64, torch.float32).requires_grad_()
    ours = peak_memory(lambda: layer_max_by_blocks(layer, x).sum().backward())
    assert ours < peak_memory(lambda: layer_max_formula(layer, x).sum().backward()) / 5
