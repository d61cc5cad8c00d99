"""Cross entropy over similarities, in memory that grows with the rows and not with their pairs.

A query q_i has the logits ``S_ij = scale · q_i · k_j`` over all keys, one of them its target t; one (itself) it may
leave out. With its negatives gathered in ``ν_i = log Σ_{j ≠ t} exp S_ij`` its cross entropy is that of two classes:

    −log softmax(S_i)[t] = −log σ(S_it − ν_i)
    ∂/∂S_it = −σ(ν_i − S_it)          ∂/∂S_ij = σ(ν_i − S_it) · exp(S_ij − ν_i)

The positives are one dot product a row. The negatives pass by in tiles that fit a cache, and leave numbers per row:

- `cross_entropy` holds the tiles of a strip of rows. Their sums give ν of these rows, hence ∂/∂S, hence both gradients,
  all in the forward pass: three products and one exponential a logit, as many as the formula needs.
- `paired_cross_entropy` compares the rows of one matrix with each other, so ``S_ij = S_ji``: a tile above the diagonal
  serves both sides. Two products and one exponential, although the backward pass computes the tiles anew.

Exponentials are taken to the base 2: torch's `exp2` is three times as fast as its `exp` on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# With fewer logits the formula is faster: many small operations take long to start (benchmarks/losses.py).
FORMULA_LOGITS_CPU = 2**18
FORMULA_LOGITS_PAIRED_CPU = 2**17
FORMULA_LOGITS_GPU = 2**24  # an estimate: 64 MB pass through its memory in the time of a few dozen launches
TILE_CPU = 512  # rows of a tile, which has two columns for each row: 2 MB in float32
TILE_GPU = 4096
STRIP_CPU = 2**24  # logits of the tiles held at once by `cross_entropy`: 64 MB in float32
STRIP_GPU = 2**27
STRIP_ROWS = 128  # at least, or the products get slow
PAD = 16  # columns between the rows of a tile: at a stride of a power of two they would crowd the same cache lines
LARGEST_EXPONENT = 40.0  # up to here exp(±S), and sums of millions of them, need no shift to stay inside float32
LOWEST = -1e30  # stands for the largest of no logits


def cross_entropy_formula(
    queries: Tensor, keys: Tensor, targets: Tensor, *, scale: float, excluded: Tensor | None = None
) -> Tensor:
    """What `cross_entropy` computes, as it is defined, with all logits at once."""
    logits = queries @ keys.T * scale  # (N, M)
    if excluded is not None:
        columns = torch.arange(len(keys), device=keys.device)
        logits = logits.masked_fill(excluded.unsqueeze(1) == columns, -math.inf)
    return F.cross_entropy(logits, targets)


def cross_entropy(
    queries: Tensor, keys: Tensor, targets: Tensor, *, scale: float, excluded: Tensor | None = None
) -> Tensor:
    """Mean cross entropy of the logits scale · queries · keysᵀ.

    Where gradients are recorded they are computed at once, not in the backward pass; second derivatives there are none.

    Args:
        queries: (N, C) float32 or float64.
        keys: (M, C).
        targets: (N,) int64, the key that belongs to each query.
        scale: multiplies the dot products.
        excluded: (N,) int64, a key that a query does not see, other than its target.

    Returns:
        The scalar loss. Memory grows with N + M.
    """
    if len(queries) * len(keys) < (FORMULA_LOGITS_GPU if queries.is_cuda else FORMULA_LOGITS_CPU):
        return cross_entropy_formula(queries, keys, targets, scale=scale, excluded=excluded)
    positives = scale * (queries * keys[targets]).sum(dim=1)
    hidden = torch.stack([targets] if excluded is None else [targets, excluded], dim=1)
    differentiate = torch.is_grad_enabled() and (queries.requires_grad or keys.requires_grad)
    return _StreamedCrossEntropy.apply(queries, keys, positives, hidden, scale, differentiate)


def paired_cross_entropy(rows: Tensor, *, scale: float) -> Tensor:
    """Mean cross entropy of each row against all others, where row i and row i + N/2 are each other's targets.

    Args:
        rows: (N, C) float32 or float64 of length 1 each, N even.
        scale: multiplies the dot products.

    Returns:
        The scalar loss. Memory grows with N.
    """
    few = len(rows) ** 2 < (FORMULA_LOGITS_GPU if rows.is_cuda else FORMULA_LOGITS_PAIRED_CPU)
    if few or scale > LARGEST_EXPONENT:
        own = torch.arange(len(rows), device=rows.device)
        return cross_entropy(rows, rows, own.roll(len(rows) // 2), scale=scale, excluded=own)
    one, other = rows.chunk(2)
    positives = scale * (one * other).sum(dim=1)
    negatives = _PairedNegatives.apply(rows, scale)
    return -F.logsigmoid(positives - negatives.view(2, -1)).mean()


class _StreamedCrossEntropy(torch.autograd.Function):
    """Mean of −log σ(positive − ν) over the queries, and its gradients, strip by strip."""

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, keys: Tensor, positives: Tensor, hidden: Tensor, scale: float, differentiate: bool
    ) -> Tensor:
        height, width = _strip_shape(queries, keys)
        blocks = keys.split(width)
        # Without gradients no tile is needed twice, and all of them share the memory of one.
        memory = queries.new_empty(len(blocks) if differentiate else 1, height, width + PAD)
        inner, outer, weights = torch.zeros_like(queries), torch.zeros_like(keys), torch.zeros_like(positives)
        loss = positives.new_zeros(())
        for first in range(0, len(queries), height):
            rows = slice(first, first + height)
            strip = memory[:, : len(queries[rows])]
            highest, sums = _fill(strip, queries[rows] * (scale * math.log2(math.e)), blocks, hidden[rows])
            top = highest.amax(dim=0)
            highest.sub_(top).exp2_()
            total = (sums * highest).sum(dim=0).clamp_(min=torch.finfo(sums.dtype).tiny)  # exp ν = total · 2^top
            odds = top * math.log(2) - positives[rows] + total.log()
            loss -= F.logsigmoid(-odds).sum()
            if differentiate:
                weights[rows] = odds.sigmoid_().div_(len(queries))
                factors = highest.mul_(weights[rows] / total)  # (blocks, rows)
                tiles = (tile[:, : len(block)] for tile, block in zip(strip, blocks, strict=True))
                for tile, factor, block, grad in zip(tiles, factors, blocks, outer.split(width), strict=True):
                    tile.mul_(factor.unsqueeze(1))  # ∂/∂S
                    inner[rows].addmm_(tile, block)
                    grad.addmm_(tile.T, queries[rows])
        if differentiate:
            ctx.save_for_backward(inner.mul_(scale), outer.mul_(scale), weights.neg_())
        return loss / len(queries)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return *(grad * saved for saved in ctx.saved_tensors), None, None, None


def _strip_shape(queries: Tensor, keys: Tensor) -> tuple[int, int]:
    """Rows of a strip, and columns of its tiles."""
    tile, strip = (TILE_GPU, STRIP_GPU) if queries.is_cuda else (TILE_CPU, STRIP_CPU)
    height = min(len(queries), tile, max(STRIP_ROWS, strip // len(keys)))
    return height, min(2 * tile, len(keys))


def _fill(strip: Tensor, queries: Tensor, blocks: tuple[Tensor, ...], hidden: Tensor) -> tuple[Tensor, Tensor]:
    """2 to the logits over the largest of their row and tile, for each tile of a strip.

    Args:
        strip: (tiles, R, width + PAD), written; where it has fewer tiles than there are blocks, over and over.
        queries: (R, C), scaled so that the logits are to the base 2.
        blocks: the keys of each tile, (width, C) but for the last.
        hidden: (R, H) int64, columns of each row that count for nothing.

    Returns:
        What was largest and the sum of what was written, each (blocks, R).
    """
    highest, sums = (queries.new_empty(len(blocks), len(queries)) for _ in range(2))
    first = 0
    for b, block in enumerate(blocks):
        memory, count = strip[b % len(strip)], len(block)
        tile = memory[:, :count]
        torch.mm(queries, block.T, out=tile)
        columns = hidden - first
        outside = (columns < 0) | (columns >= count)
        memory.scatter_(1, columns.masked_fill_(outside, count), -math.inf)  # what is outside goes to the padding
        torch.amax(tile, dim=1, out=highest[b]).clamp_(min=LOWEST)
        tile.sub_(highest[b].unsqueeze(1)).exp2_()
        torch.sum(tile, dim=1, out=sums[b])
        first += count
    return highest, sums


class _PairedNegatives(torch.autograd.Function):
    """ν of each row over all others but its pair: rows (N, C) of length 1 → (N,)."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, scale: float) -> Tensor:
        sums = rows.new_zeros(len(rows))
        for above, right, tile in _upper_tiles(rows, scale):
            sums[above] += tile.sum(dim=1)
            if right != above:
                sums[right] += tile.sum(dim=0)
        ctx.save_for_backward(rows, sums)
        ctx.scale = scale
        return sums.log()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        rows, sums = ctx.saved_tensors
        weights = grad / sums.clamp(min=torch.finfo(sums.dtype).tiny)
        result = torch.zeros_like(rows)
        for above, right, tile in _upper_tiles(rows, ctx.scale):
            # exp S_ij counts among the negatives of row i, and among those of row j.
            tile.mul_(weights[above].unsqueeze(1) + weights[right])
            result[above].addmm_(tile, rows[right])
            if right != above:
                result[right].addmm_(tile.T, rows[above])
        return result.mul_(ctx.scale), None


def _upper_tiles(rows: Tensor, scale: float) -> Iterator[tuple[slice, slice, Tensor]]:
    """exp S on and above the diagonal, 0 for a row with itself or its pair: where the tile is, and the tile.

    All tiles share one memory.
    """
    count = len(rows)
    tile_rows = TILE_GPU if rows.is_cuda else TILE_CPU
    # Half the height of other tiles: of those on the diagonal one half is computed in vain.
    height, width = min(count, tile_rows // 2), min(count, 2 * tile_rows)
    scaled = rows * (scale * math.log2(math.e))
    memory = rows.new_empty(height, max(height, width) + PAD)
    for first in range(0, count, height):
        last = min(first + height, count)
        above = slice(first, last)
        for right in (above, *(slice(j, min(j + width, count)) for j in range(last, count, width))):
            tile = memory[: last - first, : right.stop - right.start]
            torch.mm(scaled[above], rows[right].T, out=tile)
            tile.exp2_()
            for lag in (-count // 2, 0, count // 2):
                tile.diagonal(lag + first - right.start).zero_()
            yield above, right, tile
