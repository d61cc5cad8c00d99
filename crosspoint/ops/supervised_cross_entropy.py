"""Cross entropy of classes over similarities: all keys of a query's class are its positives, summed in the logarithm.

With the logits ``S_ij = scale · q_i · k_j``, classes y, the sum over all keys ``T_i = Σ_j exp S_ij`` and that over the
keys of its class ``P_i = Σ_{j: y_j = y_i} exp S_ij``, a query has

    −log(P_i / T_i)          ∂/∂S_ij = exp(S_ij) / T_i − [y_j = y_i] exp(S_ij) / P_i

Sorted by class, the keys of a class stand side by side, and so do its queries. Strips of queries of one class then meet
their positives in one block of columns, and leave numbers per row and sums of gradients, all in the forward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

STRIP_CPU = 2**20  # logits held at once: 4 MB in float32
STRIP_GPU = 2**26


def supervised_cross_entropy_formula(queries: Tensor, keys: Tensor, labels: Tensor, *, scale: float) -> Tensor:
    """What `supervised_cross_entropy` computes, as it is defined, with all logits at once."""
    logits = queries @ keys.T * scale  # (N, N)
    other = labels.unsqueeze(1) != labels
    positives = logits.masked_fill(other, -torch.inf).logsumexp(dim=1)
    return (logits.logsumexp(dim=1) - positives).mean()


def supervised_cross_entropy(queries: Tensor, keys: Tensor, labels: Tensor, *, scale: float) -> Tensor:
    """Mean of −log(P_i / T_i) over the queries.

    Where gradients are recorded they are computed at once, not in the backward pass; second derivatives there are none.

    Args:
        queries: (N, C) float32 or float64.
        keys: (N, C); key i has the class of query i.
        labels: (N,) int64 classes, any numbers.
        scale: multiplies the dot products.

    Returns:
        The scalar loss. Memory grows with N.
    """
    order = labels.argsort(stable=True)
    _, counts = labels[order].unique_consecutive(return_counts=True)
    differentiate = torch.is_grad_enabled() and (queries.requires_grad or keys.requires_grad)
    return _Supervised.apply(queries[order], keys[order], counts.tolist(), scale, differentiate)


class _Supervised(torch.autograd.Function):
    """The loss of queries and keys sorted by class, and its gradients, strip by strip."""

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, keys: Tensor, counts: list[int], scale: float, differentiate: bool
    ) -> Tensor:
        total = len(queries)
        rows = max(1, (STRIP_GPU if queries.is_cuda else STRIP_CPU) // total)
        inner, outer = torch.zeros_like(queries), torch.zeros_like(keys)
        loss = queries.new_zeros(())
        start = 0
        for count in counts:
            block = slice(start, start + count)
            for first in range(start, start + count, rows):
                strip = slice(first, min(first + rows, start + count))
                logits = queries[strip] @ keys.T * scale
                own = logits[:, block]
                nearest = own.amax(dim=1, keepdim=True)
                positives = (own - nearest).exp_()
                highest = logits.amax(dim=1, keepdim=True)
                everything = logits.sub_(highest).exp_()
                of_class = positives.sum(dim=1, keepdim=True)
                of_all = everything.sum(dim=1, keepdim=True)
                loss += (of_all.log() + highest - of_class.log() - nearest).sum()
                if differentiate:
                    everything.div_(of_all)
                    everything[:, block] -= positives.div_(of_class)
                    inner[strip] = everything @ keys
                    outer.addmm_(everything.T, queries[strip])
            start += count
        if differentiate:
            ctx.save_for_backward(inner.mul_(scale / total), outer.mul_(scale / total))
        return loss / total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return *(grad * saved for saved in ctx.saved_tensors), None, None, None
