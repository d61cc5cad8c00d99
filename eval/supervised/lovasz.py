"""The Lovász-softmax loss: mean Jaccard loss of the classes, made continuous.

Berman et al., 2018, https://arxiv.org/abs/1705.08790. The Jaccard loss of a class, 1 − IoU, is a function of which
points are mistaken; its Lovász extension takes errors between 0 and 1 instead.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crosspoint.ops.precision import full_precision


def lovasz_softmax(probabilities: Tensor, labels: Tensor, *, ignored: int = -1) -> Tensor:
    """Mean over the classes that occur of the Lovász extension of their Jaccard loss, all points being one set.

    The extension weighs the k-th largest error of a class with what the k-th mistake adds to the Jaccard loss. With G
    points of the class, of which I are left, and U in the union with all that is mistaken by then, that is 1 / U for a
    point of the class and I / (U (U − 1)) for any other: the differences that the paper takes, without cancellation.

    Args:
        probabilities: (n, K) from 0 to 1, rows that add up to 1.
        labels: (n,) int64, from 0 to K − 1 or `ignored`.
        ignored: label of points that do not count.

    Returns:
        A scalar from 0 to 1, in float32 or better; 0 where no point counts.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> lovasz_softmax(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 1, 1]))  # IoU ½ each
        tensor(0.5000)
    """
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(
            f"found probabilities {tuple(probabilities.shape)} and labels {tuple(labels.shape)}, expected (n, K) and "
            "(n,): pass a row for each label"
        )
    counted = labels != ignored
    rows, truth = full_precision(probabilities)[counted], labels[counted]
    if len(truth) == 0:
        return rows.sum()
    present = truth.unique()
    members = truth == present[:, None]  # (C, n)
    errors = (members.to(rows.dtype) - rows.T[present]).abs()
    return (errors * _weights(errors.detach(), members)).sum(dim=1).mean()


def _weights(errors: Tensor, members: Tensor) -> Tensor:
    """What each point's mistake adds to the Jaccard loss of a class, taken from the largest error on.

    Args:
        errors: (C, n) float32 or float64, none negative.
        members: (C, n) bool, whether the point is of the class.

    Returns:
        (C, n), in the type of the errors.
    """
    order = torch.stack([_descending(row) for row in errors])
    ordered = members.gather(1, order)
    missed = ordered.cumsum(dim=1)
    left = missed[:, -1:] - missed
    union = (left + torch.arange(1, order.shape[1] + 1, device=order.device)).to(errors.dtype)
    steps = torch.where(ordered, 1 / union, left / (union * (union - 1).clamp(min=1)))
    return torch.empty_like(errors).scatter_(1, order, steps)


def _descending(errors: Tensor) -> Tensor:
    """Indices (n,) from the largest of n non-negative errors to the smallest.

    The bits of such numbers are integers in the same order, which PyTorch sorts on a CPU, one ascending row at a time,
    six times as fast as numbers.
    """
    return errors.contiguous().view(torch.int32 if errors.dtype == torch.float32 else torch.int64).neg().argsort()
