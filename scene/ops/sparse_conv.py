"""Sparse convolution in plain PyTorch: rows are gathered, multiplied and added per kernel offset.

Features live on the occupied voxels alone. A submanifold convolution (Graham et al., 2018,
https://arxiv.org/abs/1711.10275) keeps those voxels, a strided one goes to the cells that hold them, a transposed one
comes back. Kernels are (offsets, C_in, C_out) as MinkowskiEngine keeps them (Choy et al., 2019,
https://arxiv.org/abs/1904.08755); `crosspoint.scene.ops.kernel_maps` says how offsets are numbered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from crosspoint.ops.precision import full_precision, product_type
from crosspoint.scene.ops.kernel_maps import Grid, KernelMap
from crosspoint.scene.ops.voxels import VoxelBatch

Backend = Literal["torch", "spconv"]


@dataclass(frozen=True, eq=False)
class SparseTensor:
    """Features of the voxels at one stride.

    Args:
        features: (M, C), a row per voxel.
        grid: the voxels of the batch, shared by all tensors that come of it.
        stride: whose voxels of the grid these are.
    """

    features: Tensor
    grid: Grid
    stride: int = 1

    def __post_init__(self) -> None:
        if len(self.features) != self.grid.size(self.stride):
            raise ValueError(
                f"found features of {len(self.features)} voxels, expected {self.grid.size(self.stride)} at stride "
                f"{self.stride}: pass a row per voxel"
            )

    @classmethod
    def of(cls, voxels: VoxelBatch) -> SparseTensor:
        """Voxels with their own features, at stride 1."""
        return cls(voxels.features, Grid(voxels.coordinates))

    @property
    def coordinates(self) -> Tensor:
        """(M, 4): frame, x, y, z in units of the finest voxels."""
        return self.grid.coordinates(self.stride)

    def with_features(self, features: Tensor) -> SparseTensor:
        """Other features of the same voxels."""
        return replace(self, features=features)


def sparse_convolution(features: Tensor, kernel: Tensor, pairs: KernelMap, backend: Backend = "torch") -> Tensor:
    """Add up `features[input] @ kernel[offset]` over all pairs of a kernel map.

    Under autocast products are computed in its type and added up in float32. Beyond the results memory is that of a
    block of the kernel map, forward and backward.

    Args:
        features: (M_in, C_in).
        kernel: (K, C_in, C_out).
        pairs: of K offsets.
        backend: torch, or spconv, on a GPU only; `crosspoint.scene.ops.spconv_backend` says what differs.

    Returns:
        (M_out, C_out), in the type of the products.

    Raises:
        ValueError: if the shapes do not fit one another, or spconv cannot work on such features.
        ImportError: if spconv is asked for and not installed.
    """
    expected = (pairs.volume, features.shape[1])
    if kernel.shape[:2] != expected or len(features) != pairs.input_count:
        raise ValueError(
            f"found features {tuple(features.shape)} and a kernel {tuple(kernel.shape)}, expected "
            f"({pairs.input_count}, C) and ({pairs.volume}, C, D): build both for this grid"
        )
    dtype = product_type(features)
    features, kernel = features.to(dtype), kernel.to(dtype)
    if backend == "spconv" and pairs.blocks:  # without blocks there is nothing to gather
        from crosspoint.scene.ops.spconv_backend import convolve

        return convolve(features, kernel, pairs)
    out: Tensor = _Convolution.apply(features, kernel, pairs)
    return out


class _Convolution(torch.autograd.Function):
    """Saves features and kernel only; what was gathered is gathered again."""

    @staticmethod
    def forward(ctx: FunctionCtx, features: Tensor, kernel: Tensor, pairs: KernelMap) -> Tensor:
        ctx.save_for_backward(features, kernel)
        ctx.pairs = pairs  # type: ignore[attr-defined]
        return _gather_multiply_add(features, kernel, pairs)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, kernel = ctx.saved_tensors  # type: ignore[attr-defined]
        pairs: KernelMap = ctx.pairs  # type: ignore[attr-defined]
        grad, wanted = grads[0].contiguous(), ctx.needs_input_grad  # type: ignore[attr-defined]
        to_features = _gather_multiply_add(grad, kernel.transpose(1, 2), pairs.transposed) if wanted[0] else None
        to_kernel = _outer_products(features, grad, pairs) if wanted[1] else None
        return to_features, to_kernel, None


def _gather_multiply_add(features: Tensor, kernel: Tensor, pairs: KernelMap) -> Tensor:
    """(M_in, C) and (K, C, D) → (M_out, D)."""
    total, kernels = full_precision(features).dtype, kernel.unbind()
    if pairs.center is None:
        out = features.new_zeros(pairs.output_count, kernel.shape[2], dtype=total)
    else:
        out = (features @ kernels[pairs.center]).to(total)
    for offset, inputs, outputs in pairs.blocks:
        out.index_add_(0, outputs, (features.index_select(0, inputs) @ kernels[offset]).to(total))
    return out.to(features.dtype)


def _outer_products(features: Tensor, grad: Tensor, pairs: KernelMap) -> Tensor:
    """The gradient (K, C, D) of a kernel, from features (M_in, C) and the result's gradient (M_out, D)."""
    total = full_precision(features).dtype
    out = features.new_zeros(pairs.volume, features.shape[1], grad.shape[1], dtype=total)
    kernels = out.unbind()
    if pairs.center is not None:
        kernels[pairs.center].copy_(features.T @ grad)
    for offset, inputs, outputs in pairs.blocks:
        kernels[offset].add_(features.index_select(0, inputs).T @ grad.index_select(0, outputs))
    return out.to(features.dtype)


class SparseConvolution(nn.Module):
    """Layer with a kernel (offsets, C_in, C_out) drawn as MinkowskiEngine draws it, and a bias (C_out,) or none."""

    backend: Backend = "torch"

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, bias: bool, fan: int, volume: int | None = None
    ) -> None:
        super().__init__()
        self.size = kernel
        volume = kernel**3 if volume is None else volume
        bound = 1 / math.sqrt(fan * volume)
        self.kernel = nn.Parameter(torch.empty(volume, in_channels, out_channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound)) if bias else None

    def extra_repr(self) -> str:
        """What a printed network shows."""
        return f"{self.kernel.shape[1]} → {self.kernel.shape[2]}, kernel {self.size}"

    def _convolve(self, x: SparseTensor, pairs: KernelMap, stride: int = 1, grid: Grid | None = None) -> SparseTensor:
        features = sparse_convolution(x.features, self.kernel, pairs, self.backend)
        if self.bias is not None:
            features = features + self.bias.to(features.dtype)
        return SparseTensor(features, x.grid if grid is None else grid, stride)


class SubmanifoldConv3d(SparseConvolution):
    """Convolve and keep the voxels: each sums over those of its neighbors that are occupied.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel: edge of the cube of neighbors, odd.
        bias: add one per output channel.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, *, bias: bool = False) -> None:
        if kernel % 2 == 0:
            raise ValueError(f"found kernel {kernel}, expected an odd one, which has a center: take {kernel + 1}")
        super().__init__(in_channels, out_channels, kernel, bias, in_channels)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """(M, C_in) → (M, C_out) at the same stride."""
        return self._convolve(x, x.grid.kernel_map(self.size, x.stride, x.stride), x.stride)


class SparseConv3d(SparseConvolution):
    """Convolve onto coarser voxels, the cells that hold an occupied one.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel: edge of the cube of inputs; an odd one is centered on the cell's corner voxel, an even one begins there.
        stride: how much coarser, a power of two.
        bias: add one per output channel.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 2, stride: int = 2, *, bias: bool = False
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, bias, in_channels)
        self.stride = stride

    def forward(self, x: SparseTensor) -> SparseTensor:
        """(M, C_in) at stride s → (M', C_out) at stride s · `stride`."""
        coarse = x.stride * self.stride
        return self._convolve(x, x.grid.kernel_map(self.size, x.stride, coarse), coarse)


class SparseTransposedConv3d(SparseConvolution):
    """The way back of `SparseConv3d` with the same kernel and stride, onto the finer voxels of the grid.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel: edge of the cube of outputs that an input spreads to.
        stride: how much finer, a power of two.
        bias: add one per output channel.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 2, stride: int = 2, *, bias: bool = False
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, bias, out_channels)
        self.stride = stride

    def forward(self, x: SparseTensor) -> SparseTensor:
        """(M', C_in) at stride s → (M, C_out) at stride s / `stride`; raises ValueError where that is none."""
        if x.stride % self.stride:
            raise ValueError(
                f"found voxels at stride {x.stride}, expected a multiple of {self.stride}: go coarser first"
            )
        fine = x.stride // self.stride
        return self._convolve(x, x.grid.kernel_map(self.size, fine, x.stride).transposed, fine)


def use_backend(network: nn.Module, backend: Backend) -> None:
    """Have all sparse convolutions of a network computed by a backend from now on; its weights stay as they are.

    Raises:
        ValueError: if spconv has no GPU here, or there is no such backend.
        ImportError: if spconv is not installed.
    """
    if backend not in get_args(Backend):
        raise ValueError(f"found the backend {backend!r}, expected one of {', '.join(get_args(Backend))}")
    if backend == "spconv":
        from crosspoint.scene.ops.spconv_backend import check_gpu

        check_gpu()
    for layer in network.modules():
        if isinstance(layer, SparseConvolution):
            layer.backend = backend


class SparseBatchNorm(nn.Module):
    """BatchNorm over the voxels of a batch; the layer inside is one that SyncBatchNorm knows to replace."""

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels, momentum=momentum, eps=eps)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """(M, C) → (M, C)."""
        return x.with_features(self.norm(x.features))
