"""Networks whose features are rows of the identity, and frames whose pixels match them: losses have closed forms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crosspoint.models.point_encoder import PointEncoder
from crosspoint.scene.data.batch import LidarBatch, stack_samples
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.models.pixel_encoder import PixelEncoder
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelConfig


class Rows(PointEncoder):
    """In place of a network: voxel i is row i of the identity."""

    inputs = "voxels"

    def __init__(self, count: int) -> None:
        super().__init__()
        self.feature_dim = count

    def forward(self, voxels: SparseTensor) -> Tensor:
        return torch.eye(self.feature_dim)[: len(voxels.features)]


class Columns(PixelEncoder):
    """In place of a network: pixels of column i are row i of the identity."""

    def maps(self, images: Tensor) -> Tensor:
        count = self.feature_dim
        return torch.eye(count)[None, :, None, : images.shape[3]].expand(len(images), -1, images.shape[2], -1)


def identity_method(kind: type[nn.Module], count: int, **options: object) -> nn.Module:
    """A method between the two, with a head that changes nothing."""
    method = kind(Rows(count), Columns(network="resnet18", projection=count), **options)
    nn.init.eye_(method.head.weight)
    nn.init.zeros_(method.head.bias)
    return method


def matching_batch(count: int, regions: Tensor | None = None) -> LidarBatch:
    """Voxels that each see the pixel of their own number, in an image whose columns may have regions (count,)."""
    numbers = torch.arange(count)
    half = torch.full((count,), 0.5)
    points = torch.stack([numbers + 0.5, half, half], dim=1)
    images = torch.zeros(1, 3, 2, count, dtype=torch.uint8)
    pixel = torch.stack([numbers + 0.5, torch.full((count,), 1.5)], dim=1)
    zeros = torch.zeros_like(numbers)
    sample = LidarSample(
        "matching",
        points,
        {"intensity": half},
        images,
        {} if regions is None else {"superpixels": regions.expand(1, 2, count)},
        pair_point=numbers,
        pair_view=zeros,
        pair_pixel=pixel,
    )
    return stack_samples([sample], VoxelConfig(kind="cartesian", size=1.0))
