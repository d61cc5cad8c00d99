"""Kernel maps, the pairs of voxels under a convolution: sorted 64-bit keys, searched once per column of the kernel.

A key packs frame, x, y and z into fixed fields, so that a neighbor's key is a sum and sorted keys are sorted
coordinates. Kernel maps depend on coordinates alone: a `Grid` keeps those of a batch, and all layers of a network share
it.

Offsets are numbered as MinkowskiEngine numbers them (`kernel_region::coordinate_at` in src/kernel_region.hpp of
https://github.com/NVIDIA/MinkowskiEngine): x runs fastest, then y, then z; an odd kernel is centered, an even one
begins at its output's own corner. So kernel 3 at stride 1 begins (−1, −1, −1), (0, −1, −1), (1, −1, −1), (−1, 0, −1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

BITS = 17  # of x, y and z
FRAMES = 1 << 12  # 12 bits; the sign stays clear
MARGIN = 1 << 10  # that neighbors may reach over the border of what is allowed
LIMIT = (1 << (BITS - 1)) - MARGIN  # of coordinates
ROWS = 1 << 12  # of a block on a CPU: what is gathered stays in its caches until it is multiplied and added
_BEYOND = torch.iinfo(torch.int64).max  # a key that no voxel has

Block = tuple[int, Tensor, Tensor]  # an offset, and rows of inputs and outputs (P,) int64 that it brings together


@dataclass(frozen=True, eq=False)
class KernelMap:
    """Which inputs each output of a convolution sums over.

    Args:
        blocks: the pairs of every offset, in pieces that bound what a convolution gathers at a time; none of an
            offset's inputs or outputs stands twice.
        volume: offsets of the kernel.
        input_count: voxels that go in.
        output_count: voxels that come out.
        center: the offset that maps every voxel to itself; it has no block.
    """

    blocks: list[Block]
    volume: int
    input_count: int
    output_count: int
    center: int | None

    @cached_property
    def transposed(self) -> KernelMap:
        """The same pairs with inputs and outputs exchanged."""
        blocks = [(offset, outputs, inputs) for offset, inputs, outputs in self.blocks]
        return KernelMap(blocks, self.volume, self.output_count, self.input_count, self.center)

    @cached_property
    def table(self) -> tuple[Tensor, Tensor]:
        """The blocks of each offset joined: (2, K, L) int32, inputs and outputs, and how many of L, (K,) on the CPU.

        What an offset leaves free of its L places holds −1.
        """
        counts = [0] * self.volume
        for offset, inputs, _ in self.blocks:
            counts[offset] += len(inputs)
        device = self.blocks[0][1].device if self.blocks else None
        joined = torch.full((2, self.volume, max(counts)), -1, dtype=torch.int32, device=device)
        filled = [0] * self.volume
        for offset, *rows in self.blocks:
            first, filled[offset] = filled[offset], filled[offset] + len(rows[0])
            joined[:, offset, first : filled[offset]] = torch.stack(rows)
        return joined, torch.tensor(counts, dtype=torch.int32)


class _Level(NamedTuple):
    """The voxels at one stride."""

    keys: Tensor  # (M,) int64, ascending
    rows: Tensor | None  # (M,) int64, the voxel of each key; None where voxels are in the order of their keys


class Grid:
    """The voxels of a batch at every stride, and the kernel maps between them; made when first asked for.

    Voxels at stride s > 1 are the cells of s³ finest voxels that hold at least one of them; as in MinkowskiEngine their
    coordinates stay in units of the finest voxels, so they are multiples of s.

    Args:
        coordinates: (M, 4) integers: frame, x, y, z.
        shape: cells along x, y and z of the space that holds all voxels, from 0 on; None where it has no end.

    Raises:
        ValueError: if there is no voxel, one stands twice, or coordinates do not fit the keys or lie outside the space.
    """

    def __init__(self, coordinates: Tensor, shape: tuple[int, int, int] | None = None) -> None:
        if shape is not None and len(coordinates):
            low, high = (tuple(edge.tolist()) for edge in (coordinates.amin(0)[1:], coordinates.amax(0)[1:]))
            if min(low) < 0 or any(cell >= size for cell, size in zip(high, shape, strict=True)):
                raise ValueError(
                    f"found voxels from {low} to {high}, expected them from (0, 0, 0) on within {tuple(shape)} cells: "
                    "cut space with the extent that the network was built for"
                )
        self.shape = shape
        keys, rows = pack(coordinates).sort()
        if bool((keys[1:] == keys[:-1]).any()):
            raise ValueError("found a voxel twice, expected unique coordinates: voxelize the points first")
        ascending = bool((rows[1:] > rows[:-1]).all())
        self._finest = coordinates
        self._levels = {1: _Level(keys, None if ascending else rows)}
        self._maps: dict[tuple[int, int, int], KernelMap] = {}

    def coordinates(self, stride: int) -> Tensor:
        """(M, 4) of the voxels at a stride: frame, x, y, z."""
        return self._finest if stride == 1 else unpack(self._level(stride).keys).to(self._finest.dtype)

    def size(self, stride: int) -> int:
        """How many voxels there are at a stride."""
        return len(self._level(stride).keys)

    def kernel_map(self, kernel: int, fine: int, coarse: int) -> KernelMap:
        """The pairs of a convolution from the voxels at stride `fine` to those at stride `coarse`.

        Output u reads input u + fine · offset. A transposed convolution uses the map of the convolution that it turns
        round, `transposed`.

        Args:
            kernel: edge of the cube of offsets, in voxels of the input.
            fine: stride of the input, a power of two.
            coarse: stride of the output, a power of two; equal to `fine` for a submanifold convolution.

        Raises:
            ValueError: if strides are no powers of two or the kernel reaches too far.
        """
        found = self._maps.get((kernel, fine, coarse))
        if found is None:
            if kernel < 1 or kernel * fine > MARGIN:
                raise ValueError(f"found kernel {kernel} at stride {fine}, expected a reach of 1 to {MARGIN} voxels")
            found = self._maps[kernel, fine, coarse] = _search(self._level(fine), self._level(coarse), kernel, fine)
        return found

    def _level(self, stride: int) -> _Level:
        if stride < 1 or stride & (stride - 1):
            raise ValueError(f"found stride {stride}, expected a power of two: choose strides of 2 between levels")
        if stride not in self._levels:
            finer = self._level(stride // 2)
            self._levels[stride] = _Level((finer.keys & _corner(stride)).unique(), None)
        return self._levels[stride]


def pack(coordinates: Tensor) -> Tensor:
    """Keys (M,) int64 of coordinates (M, 4); raises ValueError where they do not fit."""
    if coordinates.ndim != 2 or coordinates.shape[1] != 4 or coordinates.is_floating_point():
        found = f"{coordinates.dtype} {tuple(coordinates.shape)}"
        raise ValueError(f"found coordinates {found}, expected integers (M, 4): frame, x, y, z")
    if len(coordinates) == 0:
        raise ValueError("found no voxel, expected one or more: drop empty frames")
    frame, x, y, z = coordinates.long().unbind(dim=1)
    reach = max(int(coordinates[:, 1:].max()), -int(coordinates[:, 1:].min()))
    frames = int(frame.min()), int(frame.max())
    if reach >= LIMIT or frames[0] < 0 or frames[1] >= FRAMES:
        raise ValueError(
            f"found coordinates up to ±{reach} and frames {frames[0]} to {frames[1]}, expected less than {LIMIT} and "
            f"frames from 0 to {FRAMES - 1}: drop outlying points or take larger voxels"
        )
    return (frame << 3 * BITS) + _shift(x, y, z) + _ORIGIN


def unpack(keys: Tensor) -> Tensor:
    """Coordinates (M, 4) int64 of keys (M,)."""
    fields = [(keys >> shift & (1 << BITS) - 1) - (1 << (BITS - 1)) for shift in (2 * BITS, BITS, 0)]
    return torch.stack([keys >> 3 * BITS, *fields], dim=1)


def _shift(x, y, z):  # type: ignore[no-untyped-def] # of three integers or of three tensors
    return (x << 2 * BITS) + (y << BITS) + z


_ORIGIN: int = _shift(*[1 << (BITS - 1)] * 3)  # lifts coordinates above zero; a multiple of every stride


def _corner(stride: int) -> int:
    """The mask that takes a key to that of the cell's corner at a stride."""
    return ~_shift(stride - 1, stride - 1, stride - 1)


def _search(inputs: _Level, outputs: _Level, kernel: int, step: int) -> KernelMap:
    """Find the pairs of all offsets.

    Along z keys follow one another, so one search gives the place of a whole column: after a hit the next candidate
    is the next key, after a miss it is the same. A submanifold map is its own mirror image: half of it is searched.
    """
    mirrored = inputs is outputs and kernel % 2 == 1
    offsets = range(-(kernel // 2), kernel // 2 + 1) if kernel % 2 else range(kernel)
    columns, volume = kernel**2, kernel**3
    keys = torch.cat((inputs.keys, inputs.keys.new_tensor([_BEYOND])))
    pairs: dict[int, tuple[Tensor, Tensor]] = {}
    for column in range(columns // 2 + 1 if mirrored else columns):
        halved = mirrored and column == columns // 2  # this column mirrors itself, around the center
        numbers = range(column, volume // 2 if halved else volume, columns)
        if not numbers:
            continue
        corner = _shift(offsets[column % kernel] * step, offsets[column // kernel] * step, offsets[0] * step)
        wanted = outputs.keys + corner
        place = torch.searchsorted(keys, wanted)
        for number in numbers:
            hit = keys.index_select(0, place) == wanted
            output = hit.nonzero().squeeze(1)
            found = (_rows(inputs, place.index_select(0, output)), _rows(outputs, output))
            pairs[number] = found
            if mirrored:
                pairs[volume - 1 - number] = found[::-1]
            place += hit
            wanted += step
    blocks = [block for number in sorted(pairs) for block in blocks_of(number, *pairs[number])]
    return KernelMap(blocks, volume, len(inputs.keys), len(outputs.keys), volume // 2 if mirrored else None)


def _rows(level: _Level, place: Tensor) -> Tensor:
    return place if level.rows is None else level.rows.index_select(0, place)


def blocks_of(offset: int, inputs: Tensor, outputs: Tensor) -> Iterator[Block]:
    """The pairs of an offset, rows of inputs (P,) and of outputs (P,), in the pieces of `KernelMap.blocks`."""
    size = ROWS if inputs.device.type == "cpu" else max(1, len(inputs))
    for a, b in zip(inputs.split(size), outputs.split(size), strict=True):
        if len(a):
            yield offset, a, b
