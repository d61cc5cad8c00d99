"""Sparse convolution onto every coarser cell that its kernel reaches, in a space with an end, as spconv defines it.

`crosspoint.scene.ops.sparse_conv.SparseConv3d` goes to the cells that hold an occupied voxel, as MinkowskiEngine does;
the regular sparse convolution of SECOND (Yan et al., 2018, https://doi.org/10.3390/s18103337) spreads: output o sums
over the inputs o · stride − padding + k, k from 0 to kernel − 1 along each axis, and is there where one of them is.
Kernel, stride and padding may differ between the axes.
"""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from crosspoint.scene.ops.kernel_maps import Block, Grid, KernelMap, blocks_of, pack, unpack
from crosspoint.scene.ops.sparse_conv import SparseConvolution, SparseTensor

Triple = tuple[int, int, int]  # of the axes x, y and z


class Window(NamedTuple):
    """What a strided convolution looks at, along x, y and z."""

    kernel: Triple
    stride: Triple
    padding: Triple

    def shape(self, shape: Triple) -> Triple:
        """Cells of the output for cells of the input.

        Raises:
            ValueError: if the kernel does not fit into the input.
        """
        sizes = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(shape, *self, strict=True)]
        if min(sizes) < 1:
            raise ValueError(f"found {shape} cells for a kernel {self.kernel}, expected more: take a larger extent")
        return sizes[0], sizes[1], sizes[2]


def strided_map(grid: Grid, window: Window) -> tuple[Grid, KernelMap]:
    """The voxels of a strided convolution's output, in the order of their keys, and the pairs that lead there.

    Offsets are numbered with x running fastest, then y, then z.

    Args:
        grid: voxels in a space with an end.
        window: of the convolution.

    Raises:
        ValueError: if the space has no end, or no voxel is reached.
    """
    if grid.shape is None:
        raise ValueError("found voxels in a space without end, expected a Grid with its shape: give it")
    shape, coordinates = window.shape(grid.shape), grid.coordinates(1).long()
    axes = [_reached(coordinates[:, axis + 1], *part) for axis, part in enumerate(zip(*window, shape, strict=True))]
    numbers, inputs, keys = [], [], []
    # `product` runs its last argument fastest
    for number, (z, y, x) in enumerate(product(*(range(size) for size in window.kernel[::-1]))):
        reached = [axes[0][x], axes[1][y], axes[2][z]]
        hit = torch.stack([ok for _, ok in reached]).all(dim=0).nonzero().squeeze(1)
        if len(hit):
            found = torch.stack([coordinates[hit, 0], *(place[hit] for place, _ in reached)], dim=1)
            numbers.append(number)
            inputs.append(hit)
            keys.append(pack(found))
    if not keys:
        raise ValueError("found no voxel within reach of a convolution, expected one or more: drop empty frames")
    ordered, outputs = torch.cat(keys).unique(return_inverse=True)
    blocks: list[Block] = []
    for number, rows, out in zip(numbers, inputs, outputs.split([len(rows) for rows in inputs]), strict=True):
        blocks.extend(blocks_of(number, rows, out))
    pairs = KernelMap(blocks, math.prod(window.kernel), len(coordinates), len(ordered), None)
    return Grid(unpack(ordered), shape), pairs


def _reached(place: Tensor, kernel: int, stride: int, padding: int, size: int) -> list[tuple[Tensor, Tensor]]:
    """Along one axis, for each k of the kernel: the output that reads an input through it, and whether there is one."""
    found = []
    for k in range(kernel):
        ahead = place + padding - k
        out = ahead.div(stride, rounding_mode="floor")
        found.append((out, (out * stride == ahead) & (out >= 0) & (out < size)))
    return found


class StridedConv3d(SparseConvolution):
    """Convolve onto all cells that the kernel reaches; these are the voxels of a new grid at stride 1.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel: along x, y and z.
        stride: likewise.
        padding: likewise, cells of zeros on either side.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Triple = (3, 3, 3),
        stride: Triple = (2, 2, 2),
        padding: Triple = (1, 1, 1),
    ) -> None:
        super().__init__(in_channels, out_channels, max(kernel), False, in_channels, math.prod(kernel))
        self.window = Window(kernel, stride, padding)

    def extra_repr(self) -> str:
        """What a printed network shows."""
        kernel, stride, padding = self.window
        widths = f"{self.kernel.shape[1]} → {self.kernel.shape[2]}"
        return f"{widths}, kernel {kernel}, stride {stride}, padding {padding}"

    def forward(self, x: SparseTensor) -> SparseTensor:
        """(M, C_in) → (M', C_out) on another grid; errors as of `strided_map`."""
        grid, pairs = strided_map(x.grid, self.window)
        return self._convolve(x, pairs, grid=grid)
