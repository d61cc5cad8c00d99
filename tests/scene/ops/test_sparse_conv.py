import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from crosspoint.scene.ops.kernel_maps import Grid
from crosspoint.scene.ops.sparse_conv import (
    SparseBatchNorm,
    SparseConv3d,
    SparseTensor,
    SparseTransposedConv3d,
    SubmanifoldConv3d,
    sparse_convolution,
)

SIDE = 16  # of the dense grid, a multiple of all strides used here


def voxels(count: int = 400, frames: int = 2, seed: int = 0) -> Tensor:
    """Unique coordinates (M, 4) within the dense grid, away from its faces, in no order."""
    generator = torch.Generator().manual_seed(seed)
    space = torch.randint(2, SIDE - 2, (count, 3), generator=generator)
    found = torch.cat((torch.randint(0, frames, (count, 1), generator=generator), space), dim=1).unique(dim=0)
    return found[torch.randperm(len(found), generator=generator)]


def dense(x: SparseTensor) -> Tensor:
    """(frames, C, X, Y, Z) with zeros where there is no voxel."""
    frame, *place = x.coordinates.unbind(dim=1)
    space = x.features.new_zeros(2, *[SIDE // x.stride] * 3, x.features.shape[1])
    return space.index_put((frame, *(p // x.stride for p in place)), x.features).permute(0, 4, 1, 2, 3)


def at_voxels(space: Tensor, grid: Grid, stride: int) -> Tensor:
    """What a dense result holds at the voxels of a stride."""
    frame, *place = grid.coordinates(stride).unbind(dim=1)
    return space.permute(0, 2, 3, 4, 1)[(frame, *(p // stride for p in place))]


def dense_kernel(kernel: Tensor, size: int) -> Tensor:
    """(K, C_in, C_out), x fastest → (x, y, z, C_in, C_out)."""
    return kernel.view(size, size, size, *kernel.shape[1:]).permute(2, 1, 0, 3, 4)


def convolved(layer: SubmanifoldConv3d | SparseConv3d | SparseTransposedConv3d, x: SparseTensor) -> tuple[Tensor, int]:
    """What torch's dense convolution says, and the stride of the result."""
    weight = dense_kernel(layer.kernel, layer.size)
    padding = layer.size // 2 if layer.size % 2 else 0
    if isinstance(layer, SparseTransposedConv3d):
        weight = weight.permute(3, 4, 0, 1, 2)
        space = F.conv_transpose3d(dense(x), weight, layer.bias, stride=2, padding=padding, output_padding=padding)
        return at_voxels(space, x.grid, x.stride // 2), x.stride // 2
    stride = layer.stride if isinstance(layer, SparseConv3d) else 1
    space = F.conv3d(dense(x), weight.permute(4, 3, 0, 1, 2), layer.bias, stride=stride, padding=padding)
    return at_voxels(space, x.grid, x.stride * stride), x.stride * stride


LAYERS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "submanifold 3": (lambda: SubmanifoldConv3d(3, 5), 1),
    "submanifold 5 with bias": (lambda: SubmanifoldConv3d(3, 5, 5, bias=True), 1),
    "submanifold 1": (lambda: SubmanifoldConv3d(3, 5, 1), 1),
    "submanifold 3 at stride 4": (lambda: SubmanifoldConv3d(3, 5), 4),
    "strided 2": (lambda: SparseConv3d(3, 5), 1),
    "strided 2 from stride 2": (lambda: SparseConv3d(3, 5, bias=True), 2),
    "strided 3": (lambda: SparseConv3d(3, 5, 3), 1),
    "transposed 2": (lambda: SparseTransposedConv3d(3, 5), 2),
    "transposed 2 from stride 4": (lambda: SparseTransposedConv3d(3, 5, bias=True), 4),
    "transposed 3": (lambda: SparseTransposedConv3d(3, 5, 3), 2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_values_and_gradients_are_those_of_a_dense_convolution(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crosspoint.scene.ops.kernel_maps.ROWS", 16)  # several blocks per offset
    torch.manual_seed(0)
    make, stride = LAYERS[name]
    layer, grid = make().double(), Grid(voxels())
    features = torch.randn(grid.size(stride), 3, dtype=torch.float64, requires_grad=True)
    x = SparseTensor(features, grid, stride)
    expected, expected_stride = convolved(layer, x)
    found = layer(x)
    assert found.stride == expected_stride
    assert torch.equal(found.coordinates, grid.coordinates(expected_stride))
    torch.testing.assert_close(found.features, expected, rtol=0, atol=1e-10)
    weights = torch.randn_like(expected)
    inputs = [features, *layer.parameters()]
    ours = torch.autograd.grad((found.features * weights).sum(), inputs)
    theirs = torch.autograd.grad((expected * weights).sum(), inputs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["submanifold 3", "strided 2", "transposed 2"])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    make, stride = LAYERS[name]
    layer, grid = make().double(), Grid(voxels(30))
    features = torch.randn(grid.size(stride), 3, dtype=torch.float64, requires_grad=True)

    def run(features: Tensor, kernel: Tensor) -> Tensor:
        layer_map = {
            "submanifold 3": lambda: grid.kernel_map(3, 1, 1),
            "strided 2": lambda: grid.kernel_map(2, 1, 2),
            "transposed 2": lambda: grid.kernel_map(2, 1, 2).transposed,
        }[name]()
        return sparse_convolution(features, kernel, layer_map)

    assert torch.autograd.gradcheck(run, (features, layer.kernel))


def test_frozen_inputs_and_kernels_get_no_gradient() -> None:
    grid = Grid(voxels())
    layer, features = SubmanifoldConv3d(3, 5), torch.randn(grid.size(1), 3)
    layer(SparseTensor(features, grid)).features.sum().backward()
    assert layer.kernel.grad is not None
    layer.requires_grad_(False)
    features.requires_grad_()
    layer(SparseTensor(features, grid)).features.sum().backward()
    assert features.grad is not None


def test_autocast_multiplies_in_half_precision_and_keeps_float32_gradients() -> None:
    torch.manual_seed(0)
    layer, grid = SubmanifoldConv3d(16, 8), Grid(voxels())
    features = torch.randn(grid.size(1), 16)
    expected = layer(SparseTensor(features, grid)).features
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(SparseTensor(features, grid)).features
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.02)
    wanted = torch.autograd.grad(expected.square().sum(), layer.kernel)[0]
    grad = torch.autograd.grad(found.float().square().sum(), layer.kernel)[0]
    assert grad.dtype == torch.float32
    assert (grad - wanted).norm() < 0.02 * wanted.norm()


def test_batch_norm_is_over_voxels() -> None:
    grid, layer = Grid(voxels()), SparseBatchNorm(3, momentum=0.25)
    features = torch.randn(grid.size(1), 3) * 4 + 2
    out = layer(SparseTensor(features, grid)).features
    torch.testing.assert_close(out, (features - features.mean(0)) / (features.var(0, correction=0) + 1e-5).sqrt())
    torch.testing.assert_close(layer.norm.running_mean, 0.25 * features.mean(0))


def test_memory_stays_bounded(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    coordinates = torch.randint(0, 60, (60_000, 4), generator=generator)
    coordinates[:, 0] = 0
    grid = Grid(coordinates.unique(dim=0))
    pairs, channels = grid.kernel_map(3, 1, 1), 64
    features = torch.randn(grid.size(1), channels, generator=generator).requires_grad_()
    kernel = torch.randn(27, channels, channels, generator=generator).requires_grad_()
    everything = sum(len(inputs) for _, inputs, _ in pairs.blocks) * channels * 4  # all gathered rows at once
    result = features.numel() * 4

    def step() -> None:
        sparse_convolution(features, kernel, pairs).backward(features.detach())

    assert everything > 80e6
    # the result and the gradient of the features, and a few blocks
    assert peak_of_tensors(step, tmp_path / "trace.json") < 2 * result + 4e6


def peak_of_tensors(run: Callable[[], object], trace: Path) -> int:
    """Bytes that the tensors made in a run hold at most: exact, as a process's growth is not."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run()
    recorded.export_chrome_trace(str(trace))
    events = json.loads(trace.read_text())["traceEvents"]
    return max(event["args"]["Total Allocated"] for event in events if event["name"] == "[memory]")


def test_other_numbers_of_rows_are_named() -> None:
    grid = Grid(voxels())
    with pytest.raises(ValueError, match="pass a row per voxel"):
        SparseTensor(torch.zeros(3, 2), grid)
    with pytest.raises(ValueError, match="build both for this grid"):
        sparse_convolution(torch.zeros(grid.size(1), 2), torch.zeros(27, 3, 4), grid.kernel_map(3, 1, 1))
    with pytest.raises(ValueError, match="odd"):
        SubmanifoldConv3d(2, 2, 4)
    with pytest.raises(ValueError, match="go coarser first"):
        SparseTransposedConv3d(2, 2)(SparseTensor(torch.zeros(grid.size(1), 2), grid))
