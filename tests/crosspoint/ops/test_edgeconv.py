"""The per-point form against the defining formula, and both against torch-geometric's EdgeConv."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import EdgeConv as GeometricEdgeConv

from crosspoint.models.dgcnn import DGCNN
from crosspoint.ops import edge_moments
from crosspoint.ops.edgeconv import EdgeConv, edge_conv
from crosspoint.ops.knn import knn

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def layer(channels: int, width: int, k: int, dtype: torch.dtype, seed: int = 0) -> EdgeConv:
    """A layer whose BatchNorm has weights of both signs."""
    torch.manual_seed(seed)
    made = EdgeConv(channels, width, k=k).to(dtype)
    nn.init.normal_(made.norm.weight)
    nn.init.normal_(made.norm.bias)
    assert (made.norm.weight < 0).any() and (made.norm.weight > 0).any()
    return made


def relative(found: Tensor, expected: Tensor) -> float:
    found, expected = found.detach(), expected.detach()
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-30))


def compare(made: EdgeConv, x: Tensor, tolerance: float) -> None:
    """Values, gradients and running statistics of both paths; made of x (B, N, C)."""
    norm, weight = copy.deepcopy(made.norm), made.weight.detach().clone().requires_grad_()
    x_fast, x_slow = x.clone().requires_grad_(), x.clone().requires_grad_()
    fast, slow = made(x_fast), edge_conv(x_slow, knn(x_slow, made.k), weight, norm, made.slope)
    assert relative(fast, slow) < tolerance
    gradient = torch.randn(slow.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    fast.backward(gradient)
    slow.backward(gradient)
    for found, expected in (
        (x_fast.grad, x_slow.grad),
        (made.weight.grad, weight.grad),
        (made.norm.weight.grad, norm.weight.grad),
        (made.norm.bias.grad, norm.bias.grad),
        (made.norm.running_mean, norm.running_mean),
        (made.norm.running_var, norm.running_var),
    ):
        assert relative(found, expected) < 5 * tolerance
    assert made.norm.num_batches_tracked == norm.num_batches_tracked


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("batch", "count", "channels", "k"), [(3, 40, 5, 6), (2, 20, 3, 20), (1, 30, 8, 1)])
def test_training_equals_the_formula(batch: int, count: int, channels: int, k: int, dtype: torch.dtype) -> None:
    x = torch.randn(batch, count, channels, generator=torch.Generator().manual_seed(2), dtype=dtype)
    compare(layer(channels, 12, k, dtype), x, TOLERANCE[dtype])


@pytest.mark.parametrize("training", [True, False])
def test_chunks_of_rows_give_the_same(training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 33, 4, generator=torch.Generator().manual_seed(2))
    made = layer(4, 6, 5, torch.float32).train(training)
    whole = made(x)
    monkeypatch.setattr(edge_moments, "CHUNK_CPU", 5 * 6 * 7)
    assert torch.equal(made(x), whole)


def test_evaluation_equals_the_formula() -> None:
    made = layer(5, 12, 6, torch.float64)
    x = torch.randn(4, 50, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    made(x)  # running statistics of something
    made.eval()
    compare(made, x, 1e-10)


def test_a_zero_weight_gives_the_bias_everywhere() -> None:
    made = layer(3, 6, 4, torch.float64)
    with torch.no_grad():
        made.norm.weight[0] = 0
    x = torch.randn(2, 20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = edge_conv(x, knn(x, 4), made.weight, copy.deepcopy(made.norm), made.slope)
    assert relative(made(x), expected) < 1e-10


def test_nan_comes_out_as_nan() -> None:
    made = layer(3, 6, 4, torch.float32)
    x = torch.randn(2, 20, 3, generator=torch.Generator().manual_seed(2))
    x[0, 0, 0] = float("nan")
    out = made(x.requires_grad_())
    out.sum().backward()
    assert out.isnan().any()
    assert made.weight.grad.isnan().all()


def test_large_common_offset_does_not_cancel_the_variance() -> None:
    x = 1000 + torch.randn(2, 60, 4, generator=torch.Generator().manual_seed(2))
    made = layer(4, 8, 6, torch.float32)
    exact, norm = copy.deepcopy(made).double(), copy.deepcopy(made.norm).double()
    neighbors = knn(x, 6)
    expected = edge_conv(x.double(), neighbors, exact.weight, norm, made.slope)
    assert relative(made(x).double(), expected) < 1e-2  # float32 at 1000 resolves x itself to 6e-5
    assert relative(made.norm.running_var.double(), norm.running_var) < 1e-3


def test_gradient_of_copies_is_shared_by_the_same_rows() -> None:
    """Equal neighbors may each take the gradient of a maximum: which one is free, the sum over copies is not."""
    x = torch.randn(1, 24, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    x[0, 12:] = x[0, 0]
    made = layer(3, 8, 4, torch.float64)
    norm = copy.deepcopy(made.norm)
    neighbors = knn(x, 4)
    fast, slow = x.clone().requires_grad_(), x.clone().requires_grad_()
    found, expected = made(fast), edge_conv(slow, neighbors, made.weight, norm, made.slope)
    assert relative(found, expected) < 1e-10
    weights = torch.randn(8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    copies = [0, *range(12, 24)]
    assert relative(fast.grad[0, copies].sum(0), slow.grad[0, copies].sum(0)) < 1e-9
    assert relative(fast.grad[0, 1:12], slow.grad[0, 1:12]) < 1e-9


def test_numerical_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.randn(9, 2, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(2))
    rows = torch.randint(0, 9, (9, 3), generator=generator)
    assert torch.autograd.gradcheck(lambda a, b: edge_moments.edge_maximum(a, b, rows), (u, v))
    assert torch.autograd.gradcheck(lambda a, b: edge_moments.edge_moments(a, b, rows), (u, v))


def test_formula_equals_torch_geometric() -> None:
    """Their EdgeConv takes [x_i ; x_j − x_i] and an edge list; ours the halves in the original CrossPoint's order."""
    x = torch.randn(1, 30, 4, generator=torch.Generator().manual_seed(2))
    made = layer(4, 10, 5, torch.float32)
    neighbors = knn(x, 5)
    linear, norm = nn.Linear(8, 10, bias=False), nn.BatchNorm1d(10)
    theirs = GeometricEdgeConv(nn.Sequential(linear, norm, nn.LeakyReLU(made.slope)), aggr="max")
    linear.weight = nn.Parameter(made.weight.detach().roll(4, dims=1))  # after its constructor, which draws anew
    norm.load_state_dict(made.norm.state_dict())
    edges = torch.stack([neighbors[0].flatten(), torch.arange(30).repeat_interleave(5)])
    assert relative(made(x)[0], theirs(x[0], edges)) < 1e-5


def test_autocast_normalizes_in_full_precision() -> None:
    x = torch.randn(2, 50, 8, generator=torch.Generator().manual_seed(2))
    made = layer(8, 16, 6, torch.float32)
    full = copy.deepcopy(made)(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = made(x)
    assert half.dtype == torch.float32
    assert relative(half, full) < 0.05


def test_order_of_points_does_not_matter() -> None:
    torch.manual_seed(0)
    encoder = DGCNN(k=6, channels=[8, 8], embedding=16).eval()
    x = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(2))
    shuffled = x[:, torch.randperm(40, generator=torch.Generator().manual_seed(3))]
    assert torch.allclose(encoder(x), encoder(shuffled), atol=1e-5)
