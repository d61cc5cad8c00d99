"""A network that gives every voxel a class, and every cell of the ground a way to the center of its object.

Panoptic-PolarNet's head (Zhou et al., 2021, https://arxiv.org/abs/2103.14962) on an encoder of voxels, as CSC has it on
Cylinder3D (https://github.com/chenhaomingbob/CSC). Their encoder sees where a voxel is; MinkUNet sees the intensity
alone, so that the branch gets the range of each cell as one more feature. Classes come from a linear layer, as in
`Segmenter`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from crosspoint.eval.panoptic.birdseye_unet import BirdsEyeUNet
from crosspoint.eval.panoptic.config import BranchConfig
from crosspoint.eval.panoptic.polar_grid import PolarGrid
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelBatch


class PanopticOutput(NamedTuple):
    """What the network says of B frames with M voxels."""

    logits: Tensor  # (M, K)
    heat: Tensor  # (B, H, W)
    offset: Tensor  # (B, 2, H, W) in cells
    cells: Tensor  # (M, 2) int64: the cell of each voxel


class PanopticSegmenter(nn.Module):
    """An encoder of voxels, a linear layer for classes, and an instance branch.

    Args:
        encoder: describes the voxels.
        classes: K.
        branch: the instance branch.
        freeze_encoder: hold the encoder's weights, and its BatchNorms in evaluation mode.
    """

    def __init__(
        self, encoder: PointEncoder, classes: int, branch: BranchConfig, *, freeze_encoder: bool = False
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.grid = branch.grid
        self.head = nn.Linear(encoder.feature_dim, classes)
        self.branch = BirdsEyeUNet(encoder.feature_dim + 1, branch.widths, drop=branch.drop, circular=branch.circular)
        self.freeze_encoder = freeze_encoder
        if freeze_encoder:
            encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> PanopticSegmenter:
        """Switch what may be trained."""
        super().train(mode)
        if self.freeze_encoder:
            self.encoder.eval()
        return self

    def forward(self, voxels: VoxelBatch, points: Tensor) -> PanopticOutput:
        """Voxels of B frames, and the points (N, 3) that they hold → classes of voxels and maps of frames.

        A voxel lies in the cell of its representative point.
        """
        features = self.encoder(SparseTensor.of(voxels))
        cells = self.grid.cells_of(points[voxels.representative])
        frames = len(voxels.point_offsets) - 1
        below = pool_cells(features, voxels.coordinates[:, 0].long(), cells, frames, self.grid)
        heat, offset = self.branch(below)
        return PanopticOutput(self.head(features), heat, offset, cells)


def pool_cells(features: Tensor, frame: Tensor, cells: Tensor, frames: int, grid: PolarGrid) -> Tensor:
    """The largest of each feature over the voxels of each cell, and the cell's range.

    Args:
        features: (M, C).
        frame: (M,) int64, from 0 to `frames` − 1.
        cells: (M, 2) int64, row and column.
        frames: B.
        grid: of H rows and W columns.

    Returns:
        (B, C + 1, H, W); features of cells without a voxel are 0. Ranges are from 0 to 1, at the middle of the row.
    """
    rows, columns = grid.cells
    place = (frame * rows + cells[:, 0]) * columns + cells[:, 1]
    flat = features.new_zeros(frames * rows * columns, features.shape[1])
    index = place[:, None].expand_as(features)
    pooled = flat.scatter_reduce(0, index, features, "amax", include_self=False)
    ranges = (torch.arange(rows, device=features.device) + 0.5) / rows
    maps = pooled.view(frames, rows, columns, -1).permute(0, 3, 1, 2)
    return torch.cat([maps, ranges.to(maps.dtype)[None, None, :, None].expand(frames, 1, rows, columns)], dim=1)
