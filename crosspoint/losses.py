"""Contrastive losses: pure functions, shapes in, scalar out.

Under several processes a loss averages over the rows of its own process and may compare them with the embeddings of all
processes. `gather_rows` sends the gradients home, so that the mean over processes, which DistributedDataParallel takes,
equals the gradient of one process on the joined batch.

Memory grows with the rows, not with their pairs: see `crosspoint.ops.contrastive_cross_entropy`.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from crosspoint.ops.contrastive_cross_entropy import cross_entropy, paired_cross_entropy
from crosspoint.ops.distributed import gather_rows, process_count
from crosspoint.ops.precision import full_precision
from crosspoint.ops.supervised_cross_entropy import supervised_cross_entropy

Distance = Literal["l2", "cosine"]
TINY = 1e-12


def nt_xent(a: Tensor, b: Tensor, *, temperature: float = 0.1, gather: bool = True) -> Tensor:
    """NT-Xent, the normalized temperature-scaled cross entropy between two sets of matching embeddings.

    Chen et al., SimCLR, 2020, https://arxiv.org/abs/2002.05709, equation 1. Each of the 2B embeddings is compared with
    the 2B − 1 others of both sets; its counterpart is the positive. Embeddings that are all equal give ln(2B − 1).

    Example:
        >>> import torch
        >>> same = torch.ones(4, 8)
        >>> round(float(nt_xent(same, same).exp()), 4)
        7.0

    Args:
        a: (B, C) embeddings, normalized here.
        b: (B, C) their counterparts, row by row.
        temperature: divides the cosines; CrossPoint uses 0.1.
        gather: compare with the embeddings of every process (each must hold the same B).

    Returns:
        The scalar loss, in float32 or better, also under autocast.

    Raises:
        ValueError: if the shapes differ, are not (B, C), or the temperature is not positive.
    """
    _check(a, b, temperature)
    with torch.autocast(a.device.type, enabled=False):
        a, b = (F.normalize(full_precision(x), dim=1) for x in (a, b))
        if not (gather and process_count() > 1):
            return paired_cross_entropy(torch.cat([a, b]), scale=1 / temperature)
        all_a, all_b = gather_rows(a), gather_rows(b)
        own, total = _own_rows(a), len(all_a)
        rows = torch.cat([own, own + total])
        return cross_entropy(
            torch.cat([a, b]),
            torch.cat([all_a, all_b]),
            (rows + total) % (2 * total),
            scale=1 / temperature,
            excluded=rows,
        )


def info_nce(
    queries: Tensor, keys: Tensor, *, temperature: float = 0.07, normalize: bool = True, gather: bool = False
) -> Tensor:
    """InfoNCE: each query is to find its key among all keys; keys do not look for queries.

    van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018,
    https://arxiv.org/abs/1807.03748, equation 4, with cosines over a temperature for the density ratio. Embeddings that
    are all equal give ln P.

    Methods for scenes call it with points as queries and pixels as keys, 0.07 their temperature. They compare within a
    process: processes hold different numbers of pairs, so `gather` is off unless asked for. SLidR
    (https://arxiv.org/abs/2203.16258) takes the means of unit features over regions as they are: `normalize=False`.

    Example:
        >>> import torch
        >>> same = torch.ones(4, 8)
        >>> round(float(info_nce(same, same).exp()), 4)
        4.0

    Args:
        queries: (P, C) embeddings.
        keys: (P, C) the positive of each query, row by row, and a negative of all others.
        temperature: divides the dot products.
        normalize: bring queries and keys to length 1 first.
        gather: compare with the keys of every process (each must hold the same P).

    Returns:
        The scalar loss, in float32 or better, also under autocast.

    Raises:
        ValueError: if the shapes differ, are not (P, C), or the temperature is not positive.
    """
    _check(queries, keys, temperature)
    with torch.autocast(queries.device.type, enabled=False):
        queries, keys = full_precision(queries), full_precision(keys)
        if normalize:
            queries, keys = F.normalize(queries, dim=1), F.normalize(keys, dim=1)
        if gather and process_count() > 1:
            return cross_entropy(queries, gather_rows(keys), _own_rows(keys), scale=1 / temperature)
        return cross_entropy(queries, keys, torch.arange(len(keys), device=keys.device), scale=1 / temperature)


def supervised_info_nce(
    queries: Tensor, keys: Tensor, labels: Tensor, *, temperature: float = 0.07, normalize: bool = True
) -> Tensor:
    """InfoNCE with classes: each query is to find the keys of its class, summed in the logarithm.

    L = −1/P Σᵢ log(Σ_{j: yⱼ = yᵢ} exp(kᵢ·qⱼ/t) / Σⱼ exp(kᵢ·qⱼ/t)), the weakly supervised contrast of OLIVINE (Zhang et
    al., 2024, https://arxiv.org/abs/2405.14271). It is `info_nce` where all labels differ, and 0 where all are equal.
    It compares within a process.

    Example:
        >>> import torch
        >>> same = torch.ones(4, 8)
        >>> round(float(supervised_info_nce(same, same, torch.tensor([0, 0, 1, 1])).exp()), 4)
        2.0

    Args:
        queries: (P, C) embeddings.
        keys: (P, C); key i has the class of query i.
        labels: (P,) int64 classes.
        temperature: divides the dot products.
        normalize: bring queries and keys to length 1 first.

    Returns:
        The scalar loss, in float32 or better, also under autocast.

    Raises:
        ValueError: if the shapes differ, are not (P, C) and (P,), or the temperature is not positive.
    """
    _check(queries, keys, temperature)
    if labels.shape != queries.shape[:1]:
        raise ValueError(f"found labels of shape {tuple(labels.shape)}, expected {tuple(queries.shape[:1])}")
    with torch.autocast(queries.device.type, enabled=False):
        queries, keys = full_precision(queries), full_precision(keys)
        if normalize:
            queries, keys = F.normalize(queries, dim=1), F.normalize(keys, dim=1)
        return supervised_cross_entropy(queries, keys, labels, scale=1 / temperature)


def feature_distance(features: Tensor, targets: Tensor, *, distance: Distance = "l2", center: bool = False) -> Tensor:
    """Mean distance of features from those they should have, both brought to length 1: no negatives, no temperature.

    "l2" is the mean of ‖a/|a| − b/|b|‖₂, the loss of ScaLR (Puy et al., 2024, https://arxiv.org/abs/2310.17504);
    "cosine" the mean of 1 − cos(a, b), which is half the square of the former. With `center`, the mean over channels
    is removed from each row first, as Concerto does (https://arxiv.org/abs/2510.23607).

    Example:
        >>> import torch
        >>> round(float(feature_distance(torch.eye(2), torch.eye(2).flip(0)) ** 2), 4)
        2.0

    Args:
        features: (P, C).
        targets: (P, C), row by row.
        distance: "l2" or "cosine".
        center: remove the mean over channels.

    Returns:
        The scalar loss, in float32 or better, also under autocast.

    Raises:
        ValueError: if the shapes differ or are not (P, C), or there is no such distance.
    """
    _check(features, targets, 1.0)
    if distance not in get_args(Distance):
        raise ValueError(f"found the distance {distance!r}, expected one of: {', '.join(get_args(Distance))}")
    with torch.autocast(features.device.type, enabled=False):
        rows = [full_precision(x) for x in (features, targets)]
        if center:
            rows = [x - x.mean(dim=1, keepdim=True) for x in rows]
        a, b = (F.normalize(x, dim=1) for x in rows)
        if distance == "cosine":
            return (1 - (a * b).sum(dim=1)).mean()
        # The length has no gradient where it is 0; a tiny square under the root gives 0 there instead of NaN.
        return ((a - b).square().sum(dim=1) + TINY).sqrt().mean()


def _check(a: Tensor, b: Tensor, temperature: float) -> None:
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"found embeddings of shapes {tuple(a.shape)} and {tuple(b.shape)}, expected two equal (B, C)")
    if not temperature > 0:
        raise ValueError(f"found temperature {temperature}, expected a positive number")


def _own_rows(x: Tensor) -> Tensor:
    """Where the rows of this process stand among those of all: x (B, C) → (B,)."""
    return torch.arange(len(x), device=x.device) + len(x) * dist.get_rank()
