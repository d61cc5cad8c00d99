"""VoxelNet: sparse convolutions to a map from above, the 3D network of SECOND, PV-RCNN and CenterPoint.

Yan et al., SECOND: Sparsely Embedded Convolutional Detection, 2018, https://doi.org/10.3390/s18103337, in the form
VoxelBackBone8x of OpenPCDet (https://github.com/open-mmlab/OpenPCDet, pcdet/models/backbones_3d/spconv_backbone.py),
which SLidR's relatives pre-train under the name VoxelNet (Sautier et al., 2022, https://arxiv.org/abs/2203.16258).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crosspoint.checkpoints.record import Inputs
from crosspoint.models.point_encoder import weights_of
from crosspoint.models.raw_cloud import read_cloud
from crosspoint.renderers.ranges import CHANNELS, all_in_range
from crosspoint.scene.data.visible_points import sample_bilinear
from crosspoint.scene.models.birdseye_encoder import BirdsEyeEncoder
from crosspoint.scene.models.minkunet import Rectifier
from crosspoint.scene.ops.kernel_maps import Grid
from crosspoint.scene.ops.sparse_conv import Backend, SparseBatchNorm, SparseTensor, SubmanifoldConv3d, use_backend
from crosspoint.scene.ops.strided_conv import StridedConv3d, Triple, Window
from crosspoint.scene.ops.voxels import VoxelConfig, collate, voxelize

EPS, MOMENTUM = 1e-3, 0.01  # of its BatchNorms
HALVE = Window((3, 3, 3), (2, 2, 2), (1, 1, 1))
HALVE_LOW = Window((3, 3, 3), (2, 2, 2), (1, 1, 0))  # without padding along z
FLATTEN = Window((1, 1, 3), (1, 1, 2), (0, 0, 0))
STRIDE = 8
FIRST = "stages.0.0.0.kernel"  # whose inputs are the voxels' features


class VoxelNet(BirdsEyeEncoder):
    """Describe the cells of a map from above, and every voxel by the map at its place.

    The defaults are VoxelBackBone8x with 711,872 parameters, on the grid of nuScenes; `small()` suits a CPU. The grid
    changes no weight, so one network serves any.

    A voxel's features are the map's at the voxel's center, between the nearest four cells; where codes of SLidR's
    family put their linear head on the cells and normalize them before that, here it comes after.

    Args:
        in_channels: features of a voxel, `VoxelConfig.channels`.
        widths: channels of the four stages at strides 1, 2, 4 and 8.
        out_channels: width of the last layer, which joins neighbors along z.
        grid: voxels along x, y and z, as `VoxelConfig.grid` says.
        margin: empty voxels above those; detectors have 1, with which two layers of cells remain of 40, and SLidR's
            pre-training has none, with which one remains.
        sparse_backend: what computes the convolutions; spconv is for GPUs. It is no part of `config`, so that a
            checkpoint can be read where spconv is not installed.

    Raises:
        ImportError: if the backend is not installed.
        ValueError: if a width is out of range, there are not four, or the grid is too small.

    Example:
        >>> import torch
        >>> from crosspoint.scene.ops.kernel_maps import Grid
        >>> network = VoxelNet.small(grid=(32, 16, 40))
        >>> voxels = torch.tensor([[0, 0, 0, 0], [0, 9, 1, 7], [0, 31, 15, 12]])
        >>> seen = SparseTensor(torch.rand(3, 4), Grid(voxels))
        >>> network(seen).shape, network.birdseye(seen, 1).shape
        (torch.Size([3, 32]), torch.Size([1, 32, 2, 4]))
    """

    stride = STRIDE

    def __init__(
        self,
        *,
        in_channels: int = 4,
        widths: Sequence[int] = (16, 32, 64, 64),
        out_channels: int = 128,
        grid: tuple[int, int, int] = (1024, 1024, 40),
        margin: int = 0,
        sparse_backend: Backend = "torch",
    ) -> None:
        super().__init__()
        all_in_range("widths", [*widths, out_channels, in_channels], *CHANNELS)
        if len(widths) != 4 or len(grid) != 3 or min(grid) < 1 or margin < 0:
            raise ValueError(
                f"found widths {list(widths)}, grid {list(grid)} and margin {margin}, expected four widths, and cells "
                "along x, y and z"
            )
        self.arguments = {name: value for name, value in self.arguments.items() if name != "sparse_backend"}
        self.in_channels, self.grid, self.margin = in_channels, (grid[0], grid[1], grid[2]), margin
        self.shape: Triple = (grid[0], grid[1], grid[2] + margin)
        self.map_shape = self.shape
        for window in (HALVE, HALVE, HALVE_LOW, FLATTEN):
            self.map_shape = window.shape(self.map_shape)
        self.map_size = self.map_shape[1], self.map_shape[0]
        self.feature_dim = self.map_dim = out_channels * self.map_shape[2]
        first, second, third, fourth = widths
        self.stages = nn.ModuleList(
            [
                nn.Sequential(_layer(_near(in_channels, first)), _layer(_near(first, first))),
                _stage(first, second, HALVE),
                _stage(second, third, HALVE),
                _stage(third, fourth, HALVE_LOW),
            ]
        )
        self.out = _layer(StridedConv3d(fourth, out_channels, *FLATTEN))
        use_backend(self, sparse_backend)

    @classmethod
    def small(cls, in_channels: int = 4, grid: tuple[int, int, int] = (256, 256, 40), margin: int = 0) -> VoxelNet:
        """A network of the same shape that two cores can train: a fourth of the weights."""
        return cls(in_channels=in_channels, widths=(8, 16, 32, 32), out_channels=32, grid=grid, margin=margin)

    @property
    def backend(self) -> Backend:
        """What computes the convolutions; `crosspoint.scene.ops.sparse_conv.use_backend` changes it."""
        layer = next(module for module in self.modules() if isinstance(module, SubmanifoldConv3d))
        return layer.backend

    def for_detection(self, grid: tuple[int, int, int], in_channels: int) -> VoxelNet:
        """This network for a detector's space, with a margin of 1; see `BirdsEyeEncoder.for_detection`."""
        changes: dict[str, Any] = {"grid": list(grid), "in_channels": in_channels, "margin": 1}
        made = VoxelNet(**{**self.config, **changes}, sparse_backend=self.backend)
        weights = {name: tensor.detach().clone() for name, tensor in self.state_dict().items()}
        kept = weights[FIRST][:, :in_channels]
        weights[FIRST] = kept.new_zeros(made.state_dict()[FIRST].shape)
        weights[FIRST][:, : kept.shape[1]] = kept
        made.load_state_dict(weights)
        return made

    def weights_by_depth(self) -> list[list[nn.Parameter]]:
        """Every convolution with its norm."""
        return weights_of([], *(layer for stage in self.stages for layer in stage.children()), self.out)

    def prepare(self, cloud: np.ndarray | Tensor, inputs: Inputs, *, up_axis: str | None = None) -> SparseTensor:
        """A raw sweep → the voxels that `forward` takes, cut as in training, on the device of the weights.

        Points outside of the extent are left out.

        Args:
            cloud: (N, 4) or (B, N, 4): x y z in meters, intensity from 0 to 1.
            inputs: what the network was trained on.
            up_axis: of the cloud, "x", "y" or "z"; None where it is that of training.

        Raises:
            ValueError: if the cloud has another shape, a number that is not finite, or no point in the extent.
        """
        config = VoxelConfig(**(inputs.voxels or {}))
        points = read_cloud(cloud, self, inputs, columns=3 + len(config.fields), up_axis=up_axis)
        return SparseTensor.of(collate([voxelize(one[config.inside(one)], config) for one in points]))

    def forward(self, voxels: SparseTensor) -> Tensor:
        """Features of the voxels: (M, in_channels) at stride 1 → (M, feature_dim), rows in the same order."""
        frame, x, y, _ = voxels.coordinates.long().unbind(dim=1)
        maps = self.birdseye(voxels, int(frame.max()) + 1)
        height, width = maps.shape[2:]
        place = (torch.stack((x, y), dim=1) + 0.5) / STRIDE  # 0 is the center of the first cell
        return sample_bilinear(maps, frame, place + 0.5, (height, width)).to(maps.dtype)

    def birdseye(self, voxels: SparseTensor, frames: int) -> Tensor:
        """(M, in_channels) → (frames, map_dim, Y, X), 0 where there is no cell; raises ValueError for voxels outside.

        A map's channel is c · D + d for the channel c of the layer d of D layers of cells along z, as in OpenPCDet.
        """
        x = SparseTensor(voxels.features, Grid(voxels.coordinates, self.shape))
        for stage in self.stages:
            x = stage(x)
        x = self.out(x)
        width, height, layers = self.map_shape
        frame, column, row, layer = x.coordinates.unbind(dim=1)
        place = ((frame * height + row) * width + column) * layers + layer
        cells = x.features.new_zeros(frames * height * width * layers, x.features.shape[1])
        cells = cells.index_copy(0, place, x.features)
        return cells.view(frames, height, width, layers, -1).permute(0, 4, 3, 1, 2).flatten(1, 2)


def _near(in_channels: int, channels: int) -> SubmanifoldConv3d:
    return SubmanifoldConv3d(in_channels, channels)


def _layer(convolution: SubmanifoldConv3d | StridedConv3d) -> nn.Sequential:
    return nn.Sequential(
        convolution, SparseBatchNorm(convolution.kernel.shape[2], momentum=MOMENTUM, eps=EPS), Rectifier()
    )


def _stage(in_channels: int, channels: int, window: Window) -> nn.Sequential:
    first = StridedConv3d(in_channels, channels, *window)
    return nn.Sequential(_layer(first), *(_layer(_near(channels, channels)) for _ in range(2)))
