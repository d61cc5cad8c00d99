"""Strided sparse convolution against torch's dense one, whose result is cut to what a voxel reaches."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crosspoint.scene.ops.kernel_maps import Grid
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.strided_conv import StridedConv3d, Triple, Window, strided_map

SHAPE = (9, 7, 8)
WINDOWS = {
    "half": Window((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    "half, low": Window((3, 3, 3), (2, 2, 2), (1, 1, 0)),
    "flatten": Window((1, 1, 3), (1, 1, 2), (0, 0, 0)),
    "uneven": Window((2, 3, 1), (1, 3, 2), (1, 0, 0)),
}


def voxels(count: int = 60, shape: Triple = SHAPE) -> Tensor:
    """Unique coordinates (M, 4) of two frames, in no order, at all faces of the space."""
    generator = torch.Generator().manual_seed(0)
    space = torch.stack([torch.randint(0, size, (count,), generator=generator) for size in shape], dim=1)
    found = torch.cat([torch.randint(0, 2, (count, 1), generator=generator), space], dim=1).unique(dim=0)
    return found[torch.randperm(len(found), generator=generator)]


def dense(features: Tensor, coordinates: Tensor, shape: Triple) -> Tensor:
    """(2, C, X, Y, Z)."""
    space = features.new_zeros(2, *shape, features.shape[1])
    return space.index_put(tuple(coordinates.long().unbind(dim=1)), features).permute(0, 4, 1, 2, 3)


@pytest.mark.parametrize("name", WINDOWS)
def test_values_and_gradients_are_those_of_a_dense_convolution(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crosspoint.scene.ops.kernel_maps.ROWS", 8)  # several blocks per offset
    torch.manual_seed(0)
    window, coordinates = WINDOWS[name], voxels()
    layer = StridedConv3d(3, 5, *window).double()
    features = torch.randn(len(coordinates), 3, dtype=torch.float64, requires_grad=True)
    out = layer(SparseTensor(features, Grid(coordinates, SHAPE)))
    kx, ky, kz = window.kernel
    weight = layer.kernel.view(kz, ky, kx, 3, 5).permute(4, 3, 2, 1, 0)  # x runs fastest among the offsets
    space = F.conv3d(dense(features, coordinates, SHAPE), weight, stride=window.stride, padding=window.padding)
    assert space.shape[2:] == window.shape(SHAPE) == out.grid.shape
    frame, *place = out.coordinates.long().unbind(dim=1)
    expected = space.permute(0, 2, 3, 4, 1)[(frame, *place)]
    torch.testing.assert_close(out.features, expected)
    torch.testing.assert_close(out.features.sum(), space.sum())  # nothing stands elsewhere
    push = torch.randn_like(expected)
    parameters = [features, layer.kernel]
    for found, wanted in zip(
        torch.autograd.grad((out.features * push).sum(), parameters),
        torch.autograd.grad((expected * push).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("name", WINDOWS)
def test_outputs_are_the_cells_that_an_occupied_voxel_reaches(name: str) -> None:
    window, coordinates = WINDOWS[name], voxels(12)
    grid, pairs = strided_map(Grid(coordinates, SHAPE), window)
    ones = torch.ones(len(coordinates), 1, dtype=torch.float64)
    kernel = torch.ones(1, 1, *window.kernel, dtype=torch.float64)
    counts = F.conv3d(dense(ones, coordinates, SHAPE), kernel, stride=window.stride, padding=window.padding)[:, 0]
    assert torch.equal(grid.coordinates(1).long(), counts.nonzero())
    assert sum(len(inputs) for _, inputs, _ in pairs.blocks) == int(counts.sum())


def test_what_cannot_be_convolved_is_said() -> None:
    window = WINDOWS["half"]
    with pytest.raises(ValueError, match="found voxels in a space without end, expected a Grid with its shape"):
        strided_map(Grid(voxels()), window)
    with pytest.raises(ValueError, match=r"found voxels from .* expected them from \(0, 0, 0\) on within \(9, 7, 4\)"):
        Grid(voxels(), (9, 7, 4))
    with pytest.raises(ValueError, match="expected more: take a larger extent"):
        WINDOWS["flatten"].shape((9, 7, 2))
    out_of_reach = Grid(torch.tensor([[0, 3, 3, 3]]), (8, 8, 4))  # of a kernel that looks at three of four layers
    with pytest.raises(ValueError, match="found no voxel within reach"):
        strided_map(out_of_reach, WINDOWS["flatten"])
