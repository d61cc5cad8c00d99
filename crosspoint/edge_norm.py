"""BatchNorm over the edges of graphs, given the moments of their values instead of the values."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crosspoint.processes import process_count


def batch_moments(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, edges: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (D,) that the layer normalises a training batch with.

    They are those of the batch, over all processes where the layer is a SyncBatchNorm; the running statistics move as
    nn.BatchNorm moves them.

    Args:
        norm: the layer.
        mean: (D,) over the edges of this process.
        variance: (D,) biased.
        edges: how many there are.
    """
    count = torch.full((), float(edges), device=mean.device)  # filled there: a copy from the host would wait
    if isinstance(norm, nn.SyncBatchNorm) and process_count() > 1:
        mean, variance, count = _pooled(mean, variance, count)
    _update_running(norm, mean.detach(), variance.detach(), count)
    return mean, variance


def running_moments(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Mean and variance (D,) that the layer normalises with in evaluation."""
    mean, variance, _ = _running(norm)
    return mean, variance


def _pooled(mean: Tensor, variance: Tensor, count: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance over the edges of all processes; gradients flow to every one of them."""
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
