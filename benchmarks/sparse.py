"""From a scan on disk to voxels, sparse convolution and the small MinkUNet, on one thread; beside spconv where it runs.

On a CPU spconv joins with networks of its own, forward only and with one thread: in version 2.3.8 its CPU path adds up
wrong sums with two threads, and its backward pass asks for a CUDA driver. On a GPU it is our backend spconv, both ways.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measure import medians, options, peak_memory, report, rounds
from crosspoint.scene.models.minkunet import MinkUNet, ResidualBlock
from crosspoint.scene.ops.kernel_maps import Grid
from crosspoint.scene.ops.sparse_conv import (
    SparseConv3d,
    SparseTensor,
    SparseTransposedConv3d,
    SubmanifoldConv3d,
    use_backend,
)
from crosspoint.scene.ops.voxels import VoxelConfig, voxelize

try:
    import spconv.pytorch as spconv
except ImportError:
    spconv = None


def street_scan(count: int) -> Tensor:
    """What a LiDAR of 64 beams sees on a road between walls of many distances: points (count, 4)."""
    generator = torch.Generator().manual_seed(0)
    elevation = torch.linspace(-25, 2, 64).deg2rad()[:, None]
    turn = torch.linspace(-180, 180, count // 64 + 1).deg2rad()[None]
    sectors = torch.rand(90, generator=generator) * 35 + 5
    walls = sectors.repeat_interleave(-(-turn.shape[1] // 90))[: turn.shape[1]] / elevation.cos()
    ground = torch.where(elevation < 0, -1.7 / elevation.sin(), torch.inf)
    distance = torch.minimum(walls, ground.expand_as(walls))
    distance = distance + 0.02 * torch.randn(distance.shape, generator=generator)
    flat = distance * elevation.cos()
    points = torch.stack((flat * turn.cos(), flat * turn.sin(), distance * elevation.sin(), distance / 80), dim=-1)
    return points.flatten(0, 1)[:count].contiguous()


class SpconvTwin:
    """The network of a MinkUNet with spconv's convolutions and its own weights."""

    def __init__(self, network: MinkUNet) -> None:
        self.network = network
        self.convs: dict[nn.Module, nn.Module] = {}
        self._add(network.stem, 1)
        for level, (down, blocks) in enumerate(zip(network.down, network.encoder, strict=True)):
            self._add(down, 2**level)
            self._add(blocks, 2 ** (level + 1))
        for level, (up, blocks) in enumerate(zip(network.up, network.decoder, strict=True)):
            self._add(up, 2 ** (len(network.up) - 1 - level))
            self._add(blocks, 2 ** (len(network.up) - 1 - level))

    def _add(self, part: nn.Module, stride: int) -> None:
        for module in part.modules():
            if isinstance(module, SubmanifoldConv3d | SparseConv3d | SparseTransposedConv3d) and module.size > 1:
                self.convs[module] = counterpart(module, stride)

    def __call__(self, x: Any) -> Tensor:
        """As MinkUNet.forward, from a SparseConvTensor."""
        levels = []
        x = self._stage(self.network.stem, x)
        for down, blocks in zip(self.network.down, self.network.encoder, strict=True):
            levels.append(x)
            x = self._blocks(blocks, self._stage(down, x))
        for up, blocks in zip(self.network.up, self.network.decoder, strict=True):
            x = self._stage(up, x)
            x = self._blocks(blocks, x.replace_feature(torch.cat((x.features, levels.pop().features), dim=1)))
        return x.features

    def _stage(self, stage: nn.Sequential, x: Any) -> Any:
        x = self.convs[stage[0]](x)
        return x.replace_feature(F.relu(stage[1].norm(x.features)))

    def _blocks(self, blocks: nn.Sequential, x: Any) -> Any:
        for block in blocks:
            x = self._block(block, x)
        return x

    def _block(self, block: ResidualBlock, x: Any) -> Any:
        short = x.features
        if isinstance(block.shortcut, nn.Sequential):
            short = block.shortcut[1].norm(short @ block.shortcut[0].kernel[0])
        x = self.convs[block.conv1](x)
        x = self.convs[block.conv2](x.replace_feature(F.relu(block.norm1.norm(x.features))))
        return x.replace_feature(F.relu(block.norm2.norm(x.features) + short))


def counterpart(layer: SubmanifoldConv3d | SparseConv3d | SparseTransposedConv3d, stride: int) -> nn.Module:
    """spconv's layer with the same weights; `stride` is that of its finer side."""
    _, c_in, c_out = layer.kernel.shape
    common = {"kernel_size": layer.size, "bias": False}
    if isinstance(layer, SubmanifoldConv3d):
        made = spconv.SubMConv3d(c_in, c_out, indice_key=f"same{stride}", **common)
    elif isinstance(layer, SparseConv3d):
        made = spconv.SparseConv3d(c_in, c_out, stride=2, indice_key=f"down{stride}", **common)
    else:
        made = spconv.SparseInverseConv3d(c_in, c_out, indice_key=f"down{stride}", **common)
    with torch.no_grad():
        made.weight.copy_(layer.kernel.view(*[layer.size] * 3, c_in, c_out).permute(4, 2, 1, 0, 3))
    return made


def spconv_tensor(features: Tensor, coordinates: Tensor) -> Any:
    """The same voxels for spconv, which takes no negative coordinates and cuts off what does not fill a coarse cell."""
    lowest = F.pad(coordinates[:, 1:].amin(dim=0), (1, 0))
    moved = coordinates - lowest.div(16, rounding_mode="floor") * 16
    shape = [(int(c) // 16 + 1) * 16 for c in moved[:, 1:].amax(dim=0)]
    return spconv.SparseConvTensor(features, moved.int(), shape, 1)


def by_spconv(network: nn.Module) -> nn.Module:
    """The same network on our kernel maps, with spconv's kernels for GPUs."""
    made = copy.deepcopy(network)
    use_backend(made, "spconv")
    return made


def row(
    what: str,
    size: int,
    ours: Callable[[], object],
    peer: Callable[[], Tensor] | None,
    repeats: int,
    device: str = "cpu",
) -> dict:
    """Measure; where both return a tensor they must agree."""
    contenders = {"ours": ours} | ({"spconv": peer} if peer else {})
    if peer:
        torch.testing.assert_close(ours(), peer(), rtol=1e-3, atol=1e-3)
    seconds = medians(contenders, repeats)
    return {
        "what": what,
        "size": size,
        "seconds": seconds["ours"],
        "peak_mb": peak_memory(ours, device) / 2**20,
        "spconv_seconds": seconds.get("spconv", "–"),
        "ours_faster": seconds["spconv"] / seconds["ours"] if peer else "–",
    }


def from_disk(points: Tensor, config: VoxelConfig, repeats: int) -> dict:
    """A frame from a file to its voxels."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.bin"
        points.numpy().tofile(path)

        def run() -> object:
            return voxelize(torch.from_numpy(np.fromfile(path, np.float32).reshape(-1, 4)), config)

        return row(f"disk to {config.kind} voxels, points", len(points), run, None, repeats)


def convolutions(coordinates: Tensor, device: str, repeats: int, peer: bool) -> list[dict]:
    """One submanifold convolution, 32 → 64 channels, on a kernel map that is there."""
    layer, grid, count = SubmanifoldConv3d(32, 64).to(device), Grid(coordinates), len(coordinates)
    features = torch.randn(count, 32, device=device, requires_grad=True)

    def forward() -> Tensor:
        return layer(SparseTensor(features, grid)).features

    theirs = theirs_both_ways = None
    if peer and device == "cpu":
        twin, x = counterpart(layer, 1), spconv_tensor(features.detach(), coordinates)
        twin(x)  # from now on x has its kernel map

        def theirs() -> Tensor:
            return twin(x.replace_feature(features)).features
    elif peer:
        other = by_spconv(layer)

        def theirs() -> Tensor:
            return other(SparseTensor(features, grid)).features

        def theirs_both_ways() -> None:
            theirs().sum().backward()

    return [
        row("kernel map 3³, voxels", count, lambda: Grid(coordinates).kernel_map(3, 1, 1), None, repeats, device),
        row("submanifold 32 → 64 forward, voxels", count, forward, theirs, repeats, device),
        row(
            "submanifold 32 → 64 both ways, voxels",
            count,
            lambda: forward().sum().backward(),
            theirs_both_ways,
            repeats,
            device,
        ),
    ]


def networks(coordinates: Tensor, device: str, repeats: int, peer: bool) -> list[dict]:
    """The small MinkUNet, kernel maps included."""
    network, count = MinkUNet.small().to(device), len(coordinates)
    features = torch.rand(count, 1, device=device)

    def forward() -> Tensor:
        return network(SparseTensor(features, Grid(coordinates)))

    theirs = theirs_step = None
    if peer and device == "cpu":
        twin = SpconvTwin(network)

        def theirs() -> Tensor:
            return twin(spconv_tensor(features, coordinates))
    elif peer:
        other = by_spconv(network)

        def theirs() -> Tensor:
            return other(SparseTensor(features, Grid(coordinates)))

        def theirs_step() -> None:
            theirs().square().mean().backward()

    return [
        row("small MinkUNet forward, voxels", count, forward, theirs, repeats, device),
        row(
            "small MinkUNet step, voxels",
            count,
            lambda: forward().square().mean().backward(),
            theirs_step,
            repeats,
            device,
        ),
    ]


def main() -> None:
    args = options(__doc__).parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    repeats, peer = rounds(args), spconv is not None
    points, config = street_scan(12_000 if args.quick else 120_000), VoxelConfig()
    voxels = voxelize(points, config).coordinates[: 3_000 if args.quick else 30_000]  # the nearest ones
    coordinates = F.pad(voxels, (1, 0)).to(args.device)
    rows = [from_disk(points, VoxelConfig(kind), repeats) for kind in ("cylindrical", "cartesian")]
    rows += convolutions(coordinates, args.device, repeats, peer)
    rows += networks(coordinates, args.device, repeats, peer)
    report("sparse", rows, args)


if __name__ == "__main__":
    main()
