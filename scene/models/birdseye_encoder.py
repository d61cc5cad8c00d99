"""The base class of encoders of voxels that give a map seen from above: what detection builds on."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from crosspoint.models.point_encoder import PointEncoder
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelConfig


class BirdsEyeEncoder(PointEncoder):
    """Encoder of voxels in a space with an end, which it can describe from above.

    A subclass sets `in_channels`, `grid`, `stride`, `map_dim` and `map_size`, and defines `birdseye` and
    `for_detection`.

    Attributes:
        in_channels: features of a voxel.
        grid: voxels along x, y and z.
        stride: voxels along an edge of a cell of the map; cell i is centered on voxel i · stride.
        map_dim: features of a cell.
        map_size: cells of the map along y and x.
    """

    inputs = "voxels"
    in_channels: int
    grid: tuple[int, int, int]
    stride: int
    map_dim: int
    map_size: tuple[int, int]

    @abstractmethod
    def birdseye(self, voxels: SparseTensor, frames: int) -> Tensor:
        """Voxels of so many frames → maps (frames, map_dim, *map_size)."""

    @abstractmethod
    def for_detection(self, grid: tuple[int, int, int], in_channels: int) -> BirdsEyeEncoder:
        """A network of this kind and these weights for a detector's space, and perhaps for other features of voxels.

        Of a first layer that has more inputs than before the further ones begin at 0.
        """


def check_grid(encoder: PointEncoder, voxels: VoxelConfig) -> None:
    """Raise ValueError if an encoder that is built for a space is given voxels of another one."""
    if isinstance(encoder, BirdsEyeEncoder) and tuple(encoder.grid) != voxels.grid:
        found = "no extent" if voxels.grid is None else f"an extent of {list(voxels.grid)} voxels"
        raise ValueError(
            f"found encoder.grid {list(encoder.grid)} and method.voxels with {found}, expected both alike: set "
            "method.voxels.kind to cartesian, and its extent, size and height so that they make this grid"
        )
