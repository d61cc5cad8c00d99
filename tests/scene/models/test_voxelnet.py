"""VoxelNet: the public code's numbers of parameters, and a dense network as its oracle."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crosspoint.checkpoints.record import Inputs
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.voxelnet import FLATTEN, HALVE, HALVE_LOW, VoxelNet
from crosspoint.scene.ops.kernel_maps import Grid
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.strided_conv import StridedConv3d

GRID = (24, 16, 40)


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_the_number_of_parameters_is_that_of_voxelbackbone8x() -> None:
    """Of OpenPCDet's pcdet/models/backbones_3d/spconv_backbone.py: no bias, two numbers a channel of BatchNorms."""
    kernels = [4 * 16, 16 * 16, 16 * 32, 32 * 32, 32 * 32, 32 * 64, 64 * 64, 64 * 64, 64 * 64, 64 * 64, 64 * 64]
    norms = 2 * 16 + 3 * 32 + 3 * 64 + 3 * 64 + 128
    public = 27 * sum(kernels) + 3 * 64 * 128 + 2 * norms
    assert parameters(VoxelNet()) == public == 711_872
    assert parameters(VoxelNet(in_channels=5)) == 711_872 + 27 * 16


@pytest.mark.parametrize(
    ("grid", "margin", "shape", "features"),
    [
        ((1024, 1024, 40), 0, (128, 128, 1), 128),  # nuScenes, in SLidR's pre-training
        ((1408, 1600, 40), 1, (176, 200, 2), 256),  # KITTI, in OpenPCDet: 41 layers, 2 at the end
        ((1024, 1024, 40), 1, (128, 128, 2), 256),
    ],
)
def test_maps_have_the_public_sizes(grid: tuple, margin: int, shape: tuple, features: int) -> None:
    network = VoxelNet(grid=grid, margin=margin)
    assert (network.map_shape, network.feature_dim) == (shape, features)


def sample(frames: int = 2, count: int = 300, channels: int = 4, seed: int = 0) -> SparseTensor:
    generator = torch.Generator().manual_seed(seed)
    space = torch.stack([torch.randint(0, size, (count,), generator=generator) for size in GRID], dim=1)
    coordinates = torch.cat([torch.randint(0, frames, (count, 1), generator=generator), space], dim=1).unique(dim=0)
    coordinates = coordinates[torch.randperm(len(coordinates), generator=generator)]
    return SparseTensor(torch.rand(len(coordinates), channels, generator=generator).double(), Grid(coordinates))


def tiny(margin: int = 1) -> VoxelNet:
    torch.manual_seed(1)
    network = VoxelNet(widths=(3, 4, 5, 6), out_channels=7, grid=GRID, margin=margin).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2.0)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(0.0, 0.5)
    return network.eval()


def slow_birdseye(network: VoxelNet, x: SparseTensor, frames: int) -> Tensor:
    """The same by dense convolutions, with a mask of the occupied cells: a strided layer spreads it, others keep it."""
    space = x.features.new_zeros(frames, *network.shape, x.features.shape[1])
    place = tuple(x.coordinates.long().unbind(dim=1))
    values = space.index_put(place, x.features).permute(0, 4, 1, 2, 3)
    mask = space[..., :1].index_put(place, torch.ones(1, 1).double()).permute(0, 4, 1, 2, 3)
    windows = {1: HALVE, 2: HALVE, 3: HALVE_LOW}
    layers = [(windows.get(s), layer) for s, stage in enumerate(network.stages) for layer in stage]
    for window, (convolution, norm, _) in [*layers, (FLATTEN, network.out)]:
        strided = isinstance(convolution, StridedConv3d)
        assert not strided or convolution.window == window
        kernel, stride, padding = window if strided else ((3, 3, 3), 1, 1)
        weight = convolution.kernel.view(*kernel[::-1], *convolution.kernel.shape[1:]).permute(4, 3, 2, 1, 0)
        values = F.conv3d(values, weight, stride=stride, padding=padding)
        if strided:
            mask = (F.conv3d(mask, torch.ones(1, 1, *kernel).double(), stride=stride, padding=padding) > 0).double()
        norm = norm.norm
        values = F.batch_norm(values, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-3)
        values = values.relu() * mask
    return values.permute(0, 1, 4, 3, 2).flatten(1, 2)  # channels and layers joined, then y, x


@pytest.mark.parametrize("margin", [0, 1])
def test_maps_are_those_of_a_dense_network(margin: int) -> None:
    network, x = tiny(margin), sample()
    torch.testing.assert_close(network.birdseye(x, 2), slow_birdseye(network, x, 2))


def test_gradients_are_those_of_a_dense_network() -> None:
    network, x = tiny(), sample()
    push = torch.randn_like(network.birdseye(x, 2))
    found, expected = (
        torch.autograd.grad((maps * push).sum(), list(network.parameters()))
        for maps in (network.birdseye(x, 2), slow_birdseye(network, x, 2))
    )
    for ours, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, wanted)


def test_a_voxels_features_are_those_of_the_map_at_its_center() -> None:
    network, x = tiny(), sample()
    maps, features = network.birdseye(x, 2), network(x)
    height, width = maps.shape[2:]
    for row in range(0, len(features), 17):
        frame, i, j, _ = x.coordinates[row].tolist()
        u, v = min((i + 0.5) / 8, width - 1), min((j + 0.5) / 8, height - 1)
        left, top = int(u), int(v)
        right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
        upper = (1 - (u - left)) * maps[frame, :, top, left] + (u - left) * maps[frame, :, top, right]
        lower = (1 - (u - left)) * maps[frame, :, bottom, left] + (u - left) * maps[frame, :, bottom, right]
        torch.testing.assert_close(features[row], (1 - (v - top)) * upper + (v - top) * lower)


def test_a_frame_is_described_alike_alone_and_beside_another() -> None:
    network, x = tiny(), sample()
    alone = x.coordinates[:, 0] == 1
    coordinates = x.coordinates[alone].clone()
    coordinates[:, 0] = 0
    single = SparseTensor(x.features[alone], Grid(coordinates))
    torch.testing.assert_close(network.birdseye(single, 1)[0], network.birdseye(x, 2)[1])


def test_a_detectors_network_has_the_same_weights_on_another_grid() -> None:
    network = tiny(margin=0)
    other = network.for_detection((32, 24, 40), in_channels=4)
    assert (other.grid, other.margin) == ((32, 24, 40), 1)
    for name, weight in network.state_dict().items():
        assert torch.equal(weight.float(), other.state_dict()[name])
    wider = network.for_detection(GRID, in_channels=5).double().eval()
    x = sample(channels=5)
    four = network.for_detection(GRID, in_channels=4).double().eval()
    torch.testing.assert_close(wider.birdseye(x, 2), four.birdseye(SparseTensor(x.features[:, :4], x.grid), 2))


def test_a_network_is_built_again_from_its_configuration() -> None:
    network = VoxelNet.small(grid=(32, 32, 40), margin=1)
    again = network.fresh()
    assert again.config == network.config
    assert again.load_state_dict(network.state_dict())


def test_a_raw_sweep_is_cut_as_in_training() -> None:
    voxels = {"kind": "cartesian", "size": 0.5, "extent": [0, -4, -8, 12, 4, 12], "features": "xyz_intensity"}
    inputs = Inputs(kind="voxels", up_axis="z", unit_sphere=False, voxels=voxels)
    cloud = torch.tensor([[0.1, -3.9, -7.9, 0.5], [11.9, 3.9, 11.9, 0.1], [50.0, 0.0, 0.0, 0.3]])
    prepared = tiny().float().prepare(cloud, inputs)
    assert prepared.coordinates.tolist() == [[0, 0, 0, 0], [0, 23, 15, 39]]


def test_bad_settings_are_said() -> None:
    with pytest.raises(ValueError, match="expected four widths, and cells along x, y and z"):
        VoxelNet(widths=(4, 4, 4))
    with pytest.raises(ValueError, match="take a larger extent"):
        VoxelNet(grid=(16, 16, 4))
    with pytest.raises(ValueError, match=r"found voxels from .* within \(24, 16, 41\) cells"):
        tiny().birdseye(SparseTensor(torch.rand(1, 4), Grid(torch.tensor([[0, 24, 0, 0]]))), 1)
    assert not isinstance(MinkUNet.small(), type(tiny()))
