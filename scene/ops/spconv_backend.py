"""Sparse convolution on a GPU by spconv, whose kernels gather, multiply and add up without storing what they gathered.

spconv 2 (Yan et al., 2018, https://doi.org/10.3390/s18103337, code at https://github.com/traveller59/spconv) is handed
the pairs of our kernel maps. Of its algorithms that is the one it calls native: the implicit GEMMs have no version for
CPUs, on which results and gradients of this one are tested.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from crosspoint.scene.ops.kernel_maps import KernelMap

try:
    from spconv.cppconstants import CPU_ONLY_BUILD
    from spconv.pytorch import ops
except ImportError as error:
    raise ImportError(
        f"found no working spconv ({error}), expected it for the backend spconv: pip install spconv-cu126, or the "
        "build for your CUDA, or use the backend torch"
    ) from error


def check_gpu() -> None:
    """Raise ValueError where this spconv has no GPU to work on."""
    if CPU_ONLY_BUILD or not torch.cuda.is_available():
        found = "spconv's build for CPUs" if CPU_ONLY_BUILD else "no GPU"
        raise ValueError(
            f"found {found}, expected a GPU for the backend spconv, whose sums on CPUs are wrong with several threads: "
            "use the backend torch"
        )


def convolve(features: Tensor, kernel: Tensor, pairs: KernelMap) -> Tensor:
    """Add up `features[input] @ kernel[offset]` over all pairs of a kernel map, in the type of the features.

    Where that is float16, so are the sums; `crosspoint.scene.ops.sparse_conv.sparse_convolution` in PyTorch adds up in
    float32.

    Args:
        features: (M_in, C_in) on a GPU, float32 or float16.
        kernel: (K, C_in, C_out) likewise.
        pairs: of K offsets, with at least one pair beside the center's.

    Returns:
        (M_out, C_out).

    Raises:
        ValueError: if features are on a CPU, or of a type that spconv does not multiply.
    """
    _check_features(features)
    out: Tensor = _Convolution.apply(features, kernel, pairs)
    return out


def _check_features(features: Tensor) -> None:
    if not features.is_cuda or features.dtype not in (torch.float32, torch.float16):
        found = f"{str(features.dtype).removeprefix('torch.')} on {features.device}"
        raise ValueError(
            f"found features in {found}, expected float32 or float16 on a GPU for the backend spconv: set the "
            "precision 32-true or 16-mixed, or use the backend torch"
        )


class _Convolution(torch.autograd.Function):
    """spconv takes kernels as (C_out, K, C_in); with `subm` it multiplies the center without gathering."""

    @staticmethod
    def forward(ctx: FunctionCtx, features: Tensor, kernel: Tensor, pairs: KernelMap) -> Tensor:
        ctx.save_for_backward(features, kernel)
        ctx.pairs = pairs  # type: ignore[attr-defined]
        filters = kernel.permute(2, 0, 1).contiguous()
        subm = pairs.center is not None
        out: Tensor = ops.indice_conv(features, filters, *pairs.table, pairs.output_count, subm=subm)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        features, kernel = ctx.saved_tensors  # type: ignore[attr-defined]
        pairs: KernelMap = ctx.pairs  # type: ignore[attr-defined]
        filters = kernel.permute(2, 0, 1).contiguous()
        subm = pairs.center is not None
        to_features, to_filters = ops.indice_conv_backward(features, filters, grads[0], *pairs.table, subm=subm)
        return to_features, to_filters.permute(1, 2, 0).contiguous(), None
