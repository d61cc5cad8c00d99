"""BatchNorm as an affine map, given the moments of its input instead of the input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crosspoint.ops.distributed import process_count


def scale_and_offset(norm: nn.BatchNorm1d, moments: tuple[Tensor, Tensor] | None, rows: int) -> tuple[Tensor, Tensor]:
    """s and t (D,) of what the layer computes, `s · h + t`; both carry gradients.

    In training the moments are those of the batch, over all processes where the layer is a SyncBatchNorm, and the
    running statistics move as nn.BatchNorm moves them.

    Args:
        norm: the layer.
        moments: mean (D,) and biased variance (D,) over the rows of this process; None in evaluation.
        rows: how many there are.
    """
    mean, variance = _running(norm)[:2] if moments is None else _batch_moments(norm, *moments, rows)
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    return scale, norm.bias - mean * scale


def _batch_moments(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """What a training batch is normalized with."""
    count = torch.full((), float(rows), device=mean.device)  # filled there: a copy from the host would wait
    if isinstance(norm, nn.SyncBatchNorm) and process_count() > 1:
        mean, variance, count = _pooled(mean, variance, count)
    _update_running(norm, mean.detach(), variance.detach(), count)
    return mean, variance


def _pooled(mean: Tensor, variance: Tensor, count: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance over the rows of all processes; gradients flow to every one of them."""
    from torch.distributed.nn.functional import all_reduce

    total = count.clone()
    torch.distributed.all_reduce(total)
    share = count / total
    pooled = all_reduce(mean * share)
    return pooled, all_reduce((variance + (mean - pooled).square()) * share), total


@torch.no_grad()
def _update_running(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, count: Tensor) -> None:
    """What nn.BatchNorm does after a batch: the running variance takes the unbiased estimate."""
    running_mean, running_variance, batches = _running(norm)
    batches.add_(1)
    momentum = norm.momentum if norm.momentum is not None else 1.0 / float(batches)
    running_mean.lerp_(mean.to(running_mean.dtype), momentum)
    running_variance.lerp_((variance * count / (count - 1)).to(running_variance.dtype), momentum)


def _running(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, variance and number of batches, as the layer keeps them."""
    mean, variance, batches = norm.running_mean, norm.running_var, norm.num_batches_tracked
    assert mean is not None and variance is not None and batches is not None  # our layers make their norms with them
    return mean, variance, batches
