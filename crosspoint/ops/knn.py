"""Nearest neighbors inside each cloud of a batch: distances by one matrix product, then the k smallest of each row.

On a CPU two things are better than a plain `topk` over whole rows, and give the same neighbors:

- The k smallest values of a row lie in the k groups with the smallest minima: a value with fewer than k smaller ones is
  in a group whose minimum is no larger, and fewer than k groups have a smaller one. With groups of √(N/k), two short
  selections of about √(N k) values replace one of N.
- Many points in space, rather than among features, are what a k-d tree is for (SciPy's).
"""

from __future__ import annotations

import math

import torch
from scipy.spatial import KDTree
from torch import Tensor

from crosspoint.ops.plain import plain, squared_distances
from crosspoint.ops.precision import full_precision

DISTANCES_CPU = 2**20  # entries of the distance matrix held at once: four megabytes stay near the core
DISTANCES_GPU = 2**28  # one GiB in float32
TREE_POINTS = 1024  # from here on a tree beats the matrix on a CPU, for points in space (benchmarks/neighbors.py)
TREE_CHANNELS = 3
SHORT_ROW = 128  # below, one selection is as fast as two


@torch.no_grad()
def knn(points: Tensor, k: int) -> Tensor:
    """The k nearest neighbors of each point in its own cloud, the point itself included.

    Distances are taken in float32 or better, also under autocast: half precision would change the neighbors.
    The order within a row is unspecified. Among points at the same distance (copies, say) any may be chosen, so a
    point with k copies of itself need not be among its own neighbors.

    Args:
        points: (B, N, C) float.
        k: how many neighbors, 1 ≤ k ≤ N.

    Returns:
        (B, N, k) int64, indices into N.

    Raises:
        ValueError: if a cloud has fewer than k points.
    """
    _, count, channels = points.shape
    if not 1 <= k <= count:
        raise ValueError(f"found clouds of {count} points, expected at least k = {k}: give more points or a smaller k")
    if plain():
        return _by_plain_operations(points, k)
    on_cpu = points.device.type == "cpu" and not torch.compiler.is_compiling()  # a graph holds no tree
    if on_cpu and count >= TREE_POINTS and channels <= TREE_CHANNELS and points.isfinite().all():
        return _by_tree(points, k)
    with torch.autocast(points.device.type, enabled=False):
        points = full_precision(points)
        points = points - points.mean(dim=1, keepdim=True)  # far from the origin |x|² would swallow the distances
        return _by_matrix(points, k)


def knn_formula(points: Tensor, k: int) -> Tensor:
    """What `knn` computes, as it is defined: all distances, the k smallest of each row; (B, N, C) → (B, N, k)."""
    return torch.cdist(points, points).topk(k, dim=-1, largest=False).indices


def _by_plain_operations(points: Tensor, k: int) -> Tensor:
    """All distances at once: exact ones in space, and among features those of `_by_matrix`."""
    points = full_precision(points)
    if points.shape[2] <= TREE_CHANNELS:
        distances = squared_distances(points, points)
    else:
        points = points - points.mean(dim=1, keepdim=True)
        distances = points.square().sum(dim=-1).unsqueeze(1) - 2 * points @ points.transpose(1, 2)
    return distances.topk(k, dim=-1, largest=False).indices


def _by_tree(points: Tensor, k: int) -> Tensor:
    workers = torch.get_num_threads()
    found = [
        torch.from_numpy(KDTree(cloud).query(cloud, k, workers=workers)[1])
        for cloud in points.detach().double().numpy()
    ]
    return torch.stack(found).view(*points.shape[:2], k)  # a single neighbor comes without its axis


def _by_matrix(points: Tensor, k: int) -> Tensor:
    batch, count, _ = points.shape
    limit = DISTANCES_GPU if points.is_cuda else DISTANCES_CPU
    squares = points.square().sum(dim=-1).unsqueeze(1)  # (B, 1, N)
    clouds, rows = max(1, limit // count**2), max(1, limit // count)
    # |x_i|² is constant along a row and does not change its order.
    parts = [
        _smallest(torch.baddbmm(squares[b : b + clouds], some, points[b : b + clouds].transpose(1, 2), alpha=-2), k)
        for b in range(0, batch, clouds)
        for some in points[b : b + clouds].split(rows, dim=1)
    ]
    return torch.cat([part.flatten(0, 1) for part in parts]).view(batch, count, k)


def _smallest(values: Tensor, k: int) -> Tensor:
    """Indices of the k smallest of the last axis, in any order: (…, N) → (…, k)."""
    count = values.shape[-1]
    size = round(math.sqrt(count / k))
    if size < 3 or count < SHORT_ROW or values.is_cuda:  # a GPU's topk has not been seen to gain
        return values.topk(k, dim=-1, largest=False, sorted=False).indices
    groups = count // size  # group g holds the columns g, g + groups, …: its minimum runs along memory
    minima = values[..., : size * groups].unflatten(-1, (size, groups)).amin(dim=-2)
    first = _names_of_smallest(minima, torch.arange(groups), k)
    members = first.unsqueeze(-2) + groups * torch.arange(size).unsqueeze(-1)
    left_over = torch.arange(size * groups, count).expand(*values.shape[:-1], -1)
    candidates = torch.cat([members.flatten(-2), left_over], dim=-1)
    return _names_of_smallest(values.gather(-1, candidates), candidates, k)


def _names_of_smallest(values: Tensor, names: Tensor, k: int) -> Tensor:
    """The names, below 2^32, of the k smallest of the last axis: values and names (…, n) → (…, k).

    A float32's bits, the lower ones flipped where it is negative, are ordered as whole numbers. With the name below
    them one number holds both, and NumPy's partition of numbers is three times as fast as a selection of indices
    (vector instructions, https://github.com/numpy/x86-simd-sort).
    """
    if values.dtype != torch.float32 or torch.compiler.is_compiling():  # a graph holds no array
        chosen = values.topk(k, dim=-1, largest=False, sorted=False).indices
        return names.expand_as(values).gather(-1, chosen)
    bits = values.view(torch.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    keys = (ordered.long() << 32) | names
    keys.numpy().partition(k - 1, axis=-1)
    return keys[..., :k] & 0xFFFFFFFF
