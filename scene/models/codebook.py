"""A codebook that points and pixels share: both are described by the same few directions, CMCR's unified codebook.

Codes follow the features that choose them by moving averages, as in VQ-VAE-2 (Razavi et al., 2019,
https://arxiv.org/abs/1906.00446), here of both modalities: a code learns from points and pixels that chose it, and from
the counterparts of both (Xia et al., Achieving Cross Modal Generalization with Multimodal Unified Representation,
NeurIPS 2023), as CMCR (https://arxiv.org/abs/2412.08973) has it.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from crosspoint.ops.distributed import process_count
from crosspoint.ops.precision import full_precision

NOISE = 1 / 1024  # largest change of a feature, by axis, that replaces a code
SMALLEST = 1e-12  # length below which a moving average says nothing about a direction
DISTANCES_CPU = 2**19  # held at once
DISTANCES_GPU = 2**26


class Codebook(nn.Module):
    """Codes of length 1, none of them a parameter.

    All state is in buffers, so that checkpoints resume exactly. Updates add up what the features of all processes say,
    so that the codes of several processes are those of one process on the joined batch.

    Args:
        codes: how many; K.
        channels: C.
        decay: of the moving averages.
        smoothing: of the counts (Laplace's).
        revive: steps after which a code that no feature chose is replaced by a feature; None replaces none. The public
            code has this, after 300 steps, but does not call it.

    Attributes:
        codes: (K, C).
        weight: (K, C) moving average of the features of each code.
        count: (K,) moving average of how many chose it.
        idle: (K,) int64, steps since one did.

    Raises:
        ValueError: if a setting is out of range.
    """

    codes: Tensor
    weight: Tensor
    count: Tensor
    idle: Tensor

    def __init__(
        self,
        codes: int = 400,
        channels: int = 64,
        *,
        decay: float = 0.999,
        smoothing: float = 1e-5,
        revive: int | None = 300,
    ) -> None:
        super().__init__()
        if codes < 1 or channels < 1:
            raise ValueError(f"found {codes} codes of {channels} channels, expected 1 or more of both")
        if not (0 < decay < 1 and smoothing > 0):
            raise ValueError(
                f"found decay {decay} and smoothing {smoothing}, expected a decay between 0 and 1, and "
                "a smoothing above 0"
            )
        if revive is not None and revive < 1:
            raise ValueError(f"found revive {revive}, expected 1 step or more, or null")
        self.decay = decay
        self.smoothing = smoothing
        self.revive = revive
        first = F.normalize(torch.empty(codes, channels).uniform_(-1, 1), dim=1)
        self.register_buffer("codes", first)
        self.register_buffer("weight", first.clone())
        self.register_buffer("count", torch.zeros(codes))
        self.register_buffer("idle", torch.zeros(codes, dtype=torch.int64))

    @torch.no_grad()
    def nearest(self, features: Tensor) -> Tensor:
        """The code nearest to each feature by squared distance: (M, C) → (M,) int64."""
        with torch.autocast(features.device.type, enabled=False):
            features, codes = full_precision(features), full_precision(self.codes)
            half = codes.square().sum(dim=1) / 2  # |x − e|² = |x|² + 2 (|e|² / 2 − x·e)
            rows = max(1, (DISTANCES_GPU if features.is_cuda else DISTANCES_CPU) // len(codes))
            return torch.cat(
                [torch.addmm(half, part, codes.T, alpha=-1).argmin(dim=1) for part in features.split(rows)]
            )

    def forward(self, features: Tensor) -> Tensor:
        """The code of each feature in its place, (M, C) → (M, C); gradients pass straight through to the features."""
        return straight_through(features, self.codes[self.nearest(features)])

    @torch.no_grad()
    def update(self, points: Tensor, pixels: Tensor, generator: Generator) -> Tensor:
        """Move the codes towards the features of pairs that choose them; every process must call it.

        Call it after the backward pass, or use copies of the codes: what gradients need is written over here.

        Args:
            points: (M, C); M may differ between processes, and be 0.
            pixels: (M, C), row by row the counterparts.
            generator: draws the features that replace unused codes.

        Returns:
            The perplexity of the codes that points and pixels of all processes chose before the update: e to the
            entropy, K where all are chosen equally often, 1 where all features have one code.
        """
        both = full_precision(points.detach()), full_precision(pixels.detach())
        chosen = [self.nearest(features) for features in both]
        counts, sums = _statistics(chosen, both[0] + both[1], len(self.codes))
        for number, total in zip(counts, sums, strict=True):  # points first, then pixels, as published
            self.count.mul_(self.decay).add_(number, alpha=1 - self.decay)
            whole = self.count.sum()
            smooth = (self.count + self.smoothing) / (whole + len(self.codes) * self.smoothing) * whole
            self.count.copy_(smooth)
            self.weight.mul_(self.decay).add_(total, alpha=(1 - self.decay) / 2)
        # Codes are weight / count brought to length 1, so counts do not matter to them.
        length = self.weight.norm(dim=1, keepdim=True)
        self.codes.copy_(torch.where(length > SMALLEST, self.weight / length.clamp(min=SMALLEST), self.codes))
        used = counts.sum(dim=0)
        self.idle.add_(1).masked_fill_(used > 0, 0)
        self._replace_unused(torch.cat(both), generator)
        share = used / used.sum().clamp(min=1)
        return torch.special.entr(share).sum().exp()

    def _replace_unused(self, features: Tensor, generator: Generator) -> None:
        """Set codes that no feature chose for `revive` steps to features of the first process, drawn at random."""
        if self.revive is None:
            return
        unused = (self.idle >= self.revive).nonzero().squeeze(1)  # the same in all processes
        if len(unused) == 0:
            return
        fresh = self.codes[unused]
        if len(features):
            row = torch.randint(len(features), (len(unused),), generator=generator, device=features.device)
            noise = torch.rand(fresh.shape, generator=generator, device=features.device).mul_(2 * NOISE).sub_(NOISE)
            fresh = F.normalize(features[row].to(fresh.dtype) + noise.to(fresh.dtype), dim=1)
        if process_count() > 1:
            fresh = fresh.contiguous()
            dist.broadcast(fresh, src=0)
        self.codes[unused] = fresh
        self.weight[unused] = fresh
        self.idle[unused] = 0


def straight_through(features: Tensor, codes: Tensor) -> Tensor:
    """The values of the codes with the gradient of the features, both (M, C)."""
    return features + (codes - features).detach()


def commitment(features: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """How far features are from their own code, counted twice, and from that of their counterpart.

    2 · MSE(x, Q(x)) + MSE(x, Q(y)), without gradients to codes; CMCR weighs it by 0.25.

    Args:
        features: (M, C) x.
        own: (M, C) Q(x).
        other: (M, C) Q(y).

    Returns:
        A scalar; 0 where there is no feature.
    """
    count = max(1, features.numel())
    squares = [(features - codes.detach()).square().sum() for codes in (own, other)]
    return (2 * squares[0] + squares[1]) / count


def _statistics(chosen: list[Tensor], sums: Tensor, codes: int) -> tuple[Tensor, Tensor]:
    """How many points, and pixels, of all processes chose each code, (2, K), and what they add up to, (2, K, C)."""
    table = sums.new_zeros(2, codes, 1 + sums.shape[1])
    rows = F.pad(sums, (1, 0), value=1.0)
    for part, rows_of in zip(table, chosen, strict=True):
        part.index_add_(0, rows_of, rows)
    if process_count() > 1:
        dist.all_reduce(table)
    return table[..., 0], table[..., 1:]
