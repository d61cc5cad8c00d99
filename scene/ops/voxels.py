"""Clouds as voxels: which cells hold points, which point stands for each cell, and the way back to every point.

Cells are those of PPKT and SLidR (Sautier et al., 2022, https://arxiv.org/abs/2203.16258): 0.1 m in range and height by
one degree around the sensor, or cubes of 0.1 m; what a cell holds is taken from one of its points, not averaged.

The angle is periodic, the grid is not: 180° shares the cell of −180° (public codes leave it alone in a cell of its
own), but the cells on both sides of that seam, straight behind the sensor, are no neighbors. A network sees the seam
at another place whenever a cloud is turned about z, as the augmentations do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from crosspoint.scene.ops.kernel_maps import pack


@dataclass(frozen=True)
class VoxelConfig:
    """How space is cut and what a voxel carries.

    Args:
        kind: "cylindrical" cells have the axes range, angle, height; "cartesian" ones x, y, z.
        size: meters along every axis but the angle.
        angle: degrees per cell; must divide 180, so that the seam at 180° is a border between cells.
        features: what the network sees of a voxel's representative point: its "intensity", "xyz_intensity", four
            channels, or "xyz_intensity_time", five, where several sweeps are aggregated.
        intensity_scale: what an intensity of 1 becomes: 255 for weights of codes that read nuScenes' as it is stored.
        height: meters along z; null takes `size`.
        extent: x y z of the lowest and of the highest corner of the space that is looked at, in meters, cartesian only;
            cells are then counted from the lowest corner. Null looks at all.
        average: describe a voxel by the mean of all its points, as SECOND does, instead of by one of them.
    """

    kind: Literal["cylindrical", "cartesian"] = "cylindrical"
    size: float = 0.1
    angle: float = 1.0
    features: Literal["intensity", "xyz_intensity", "xyz_intensity_time"] = "intensity"
    intensity_scale: float = 1.0
    height: float | None = None
    extent: tuple[float, float, float, float, float, float] | None = None
    average: bool = False

    def __post_init__(self) -> None:
        if self.extent is not None:
            object.__setattr__(self, "extent", tuple(map(float, self.extent)))  # files hold lists
            self._check_extent()
        if self.height is not None and not self.height > 0:
            raise ValueError(f"found voxels of height {self.height}, expected meters above 0, or null for the size")
        if not self.size > 0:
            raise ValueError(f"found voxels of size {self.size}, expected meters above 0: set `size`, e.g. 0.1")
        half = 180 / self.angle if self.angle > 0 else 0.0
        if half < 1 or abs(half - round(half)) > 1e-6:
            raise ValueError(f"found an angle of {self.angle}, expected degrees that divide 180: set `angle`, e.g. 1")

    @property
    def channels(self) -> int:
        """Features per voxel."""
        return {"intensity": 1, "xyz_intensity": 4, "xyz_intensity_time": 5}[self.features]

    @property
    def fields(self) -> tuple[str, ...]:
        """Point fields that `voxelize` takes behind x y z."""
        return ("intensity", "time") if self.features == "xyz_intensity_time" else ("intensity",)

    @property
    def edges(self) -> tuple[float, float, float]:
        """Meters of a cube's edges along x, y and z."""
        return self.size, self.size, self.size if self.height is None else self.height

    @property
    def grid(self) -> tuple[int, int, int] | None:
        """Cells along x, y and z of the extent; None where there is none."""
        if self.extent is None:
            return None
        spans = zip(self.extent[:3], self.extent[3:], self.edges, strict=True)
        counts = [round((high - low) / edge) for low, high, edge in spans]
        return counts[0], counts[1], counts[2]

    def inside(self, points: Tensor) -> Tensor:
        """Which of points (N, 3 or more) lie in the extent: (N,) bool, decided by their cells."""
        if self.grid is None:
            return torch.ones(len(points), dtype=torch.bool, device=points.device)
        found = cells(points, self)
        return ((found >= 0) & (found < found.new_tensor(self.grid))).all(dim=1)

    def _check_extent(self) -> None:
        assert self.extent is not None
        low, high = self.extent[:3], self.extent[3:]
        if self.kind != "cartesian" or any(not a < b for a, b in zip(low, high, strict=True)):
            raise ValueError(
                f"found {self.kind} voxels with the extent {list(self.extent)}, expected cartesian ones, and the "
                "lowest x y z before the highest"
            )
        whole = zip(low, high, self.edges, self.grid or (), strict=True)
        if any(count < 1 or abs((b - a) / edge - count) > 1e-3 for a, b, edge, count in whole):
            raise ValueError(
                f"found the extent {list(self.extent)} for voxels of {list(self.edges)} m, expected a whole number of "
                "voxels along each axis: change one of them"
            )


class Voxels(NamedTuple):
    """The occupied cells of one frame, in the order of their coordinates."""

    coordinates: Tensor  # (M, 3) int32, no cell twice
    features: Tensor  # (M, C) float32
    inverse: Tensor  # (N,) int64: a point's voxel
    representative: Tensor  # (M,) int64: a voxel's first point; what is known of points (labels) is read there


class VoxelBatch(NamedTuple):
    """The voxels of several frames, one after the other; points count through all frames likewise."""

    coordinates: Tensor  # (M, 4) int32: frame, then the cell
    features: Tensor  # (M, C) float32
    inverse: Tensor  # (N,) int64: a point's voxel
    representative: Tensor  # (M,) int64: a voxel's first point
    voxel_offsets: Tensor  # (B + 1,) int64: frame b has the voxels from entry b up to entry b + 1
    point_offsets: Tensor  # (B + 1,) int64: and these points


def cells(points: Tensor, config: VoxelConfig) -> Tensor:
    """The cell of every point.

    Args:
        points: (N, 3 or more), x y z in meters first.
        config: how space is cut.

    Returns:
        (N, 3) int64, rounded down: range, angle and height, or x, y and z. Computed in float64.
    """
    x, y, z = points[:, :3].double().unbind(dim=1)
    if config.kind == "cartesian":
        found = torch.stack((x, y, z), dim=1)
        if config.extent is not None:
            found = found - found.new_tensor(config.extent[:3])
        return found.div_(found.new_tensor(config.edges)).floor_().long()
    half = round(180 / config.angle)
    angle = torch.atan2(y, x).mul_(half / torch.pi).floor_().clamp_(min=-half)  # −180° may round to less
    angle[angle == half] = -half
    return torch.stack(
        ((x * x + y * y).sqrt_().div_(config.size).floor_(), angle, (z / config.edges[2]).floor_()), 1
    ).long()


def voxelize(points: Tensor, config: VoxelConfig) -> Voxels:
    """Find the occupied cells of a frame.

    Args:
        points: (N, 4) float32: x y z in meters, intensity; (N, 5) with the time where voxels have it.
        config: how space is cut.

    Raises:
        ValueError: if there is no point, or one is not finite, outside of the extent, or further out than keys of cells
            reach.
    """
    _check(points, 3 + len(config.fields))
    outside = int((~config.inside(points)).sum())
    if outside:
        raise ValueError(f"found {outside} points outside of the extent of the voxels, expected none: drop them")
    found = cells(points, config)
    keys, order = pack(F.pad(found, (1, 0))).sort(stable=True)
    first = torch.ones_like(keys, dtype=torch.bool)
    torch.ne(keys[1:], keys[:-1], out=first[1:])
    inverse = torch.empty_like(order)
    inverse[order] = first.cumsum(dim=0) - 1
    representative = order[first]
    if config.average:
        sums = points.new_zeros((len(representative), points.shape[1]), dtype=torch.float64)
        sums.index_add_(0, inverse, points.double())
        chosen = (sums / torch.bincount(inverse).unsqueeze(1)).to(points.dtype)
    else:
        chosen = points.index_select(0, representative)
    if config.intensity_scale != 1.0:
        chosen = chosen * chosen.new_tensor([1.0, 1.0, 1.0, config.intensity_scale, 1.0])[: chosen.shape[1]]
    features = chosen[:, 3:4] if config.features == "intensity" else chosen
    return Voxels(found.index_select(0, representative).int(), features.float(), inverse, representative)


def collate(frames: Sequence[Voxels]) -> VoxelBatch:
    """Join frames: coordinates get the frame's number in front, indices go on counting.

    Raises:
        ValueError: if there is no frame.
    """
    if not frames:
        raise ValueError("found no frame, expected one or more to join: check the batch size")
    voxels = list(accumulate((len(f.coordinates) for f in frames), initial=0))
    points = list(accumulate((len(f.inverse) for f in frames), initial=0))
    return VoxelBatch(
        torch.cat([F.pad(f.coordinates, (1, 0), value=b) for b, f in enumerate(frames)]),
        torch.cat([f.features for f in frames]),
        torch.cat([f.inverse + start for f, start in zip(frames, voxels[:-1], strict=True)]),
        torch.cat([f.representative + start for f, start in zip(frames, points[:-1], strict=True)]),
        torch.tensor(voxels),
        torch.tensor(points),
    )


def _check(points: Tensor, columns: int) -> None:
    if points.ndim != 2 or points.shape[1] != columns:
        beyond = "" if columns == 4 else ", and the time"
        raise ValueError(
            f"found points of shape {tuple(points.shape)}, expected (N, {columns}): pass x y z and intensity{beyond}"
        )
    if len(points) == 0:
        raise ValueError("found a frame without points, expected one or more: drop the frame")
    if not bool(points.isfinite().all()):
        bad = int((~points.isfinite()).any(dim=1).sum())
        raise ValueError(f"found {bad} points that are not finite, expected numbers: drop the sensor's null returns")
