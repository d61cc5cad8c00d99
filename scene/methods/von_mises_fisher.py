"""Von Mises–Fisher distributions of the features of classes, by moving averages: the consistency term of OLIVINE.

The density of a unit vector z around a direction μ is C_p(κ) exp(κ μ·z), with C_p(κ) = κ^(p/2−1) / ((2π)^(p/2)
I_{p/2−1}(κ)) in p dimensions. The mean of features of length 1 has the direction μ and a length R that grows with κ:
κ ≈ R (p − R²) / (1 − R²) (Banerjee et al., 2005, https://www.jmlr.org/papers/v6/banerjee05a.html, equation 4.4).
"""

from __future__ import annotations

import math

import torch
import torch.distributed as dist
from torch import Tensor, nn

from crosspoint.ops.distributed import process_count
from crosspoint.ops.precision import full_precision

LARGEST = 0.9999  # length of a mean above which κ would be without bounds


class ClassDistributions(nn.Module):
    """Means of the features of each class over the steps of a training, and the distributions that follow from them.

    The means are sums over all processes, so that they do not depend on how a batch is shared out. A class that no
    process has in a step keeps its mean. Nothing here is trained; checkpoints keep all of it.

    Args:
        classes: K; features come with numbers in [0, K).
        dimensions: C, of the features.
        decay: share of a step's mean in the moving one; OLIVINE's is 1e-4 (Zhang et al., 2024,
            https://arxiv.org/abs/2405.14271).
        bias_correction: divide each mean by the share of features in it, as the mean begins at 0. Without it, as in
            the public code, means are too short at first: after 10,000 steps at 1e-4 by a factor of 0.632, and κ with
            them, 54 where 299 is right (R = 0.9, C = 64).
    """

    mean: Tensor
    share: Tensor
    steps: Tensor

    def __init__(self, classes: int, dimensions: int, *, decay: float = 1e-4, bias_correction: bool = True) -> None:
        super().__init__()
        self.decay = decay
        self.bias_correction = bias_correction
        self.register_buffer("mean", torch.zeros(classes, dimensions))
        self.register_buffer("share", torch.zeros(classes))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor) -> None:
        """Take a step's features (n, C) of length 1 into the means of their classes (n,) int64."""
        features = full_precision(features).to(self.mean.dtype)
        sums = torch.zeros_like(self.mean).index_add_(0, labels, features)
        counts = torch.bincount(labels, minlength=len(self.mean)).to(sums.dtype)
        if process_count() > 1:
            both = torch.cat([sums, counts[:, None]], dim=1)
            dist.all_reduce(both)
            sums, counts = both[:, :-1], both[:, -1]
        weight = self.decay * (counts > 0)
        self.mean += weight[:, None] * (sums / counts.clamp(min=1)[:, None] - self.mean)
        self.share += weight * (1 - self.share)
        self.steps += 1

    def parameters_of_classes(self) -> tuple[Tensor, Tensor]:
        """Directions μ (K, C) of length 1, and concentrations κ (K,); 0 for classes that had no feature yet."""
        mean = self.mean / self.share.clamp(min=1e-12)[:, None] if self.bias_correction else self.mean
        length = mean.norm(dim=1)
        direction = mean / length.clamp(min=1e-12)[:, None]
        return direction, concentration(length.clamp(max=LARGEST), mean.shape[1])

    def negative_log_likelihood(self, features: Tensor, labels: Tensor) -> Tensor:
        """Mean over the classes present of −log C_p(κ) − κ mean(μ·z), with gradients to the features alone.

        Args:
            features: (n, C) of length 1, n above 0.
            labels: (n,) int64 in [0, K). Classes without a mean yet are left out.
        """
        features = full_precision(features)
        direction, kappa = self.parameters_of_classes()
        counts = torch.bincount(labels, minlength=len(kappa))
        present = (counts > 0) & (self.share > 0)
        aligned = (features * direction.to(features.dtype)[labels]).sum(dim=1)
        means = features.new_zeros(len(kappa)).index_add(0, labels, aligned) / counts.clamp(min=1)
        losses = -log_normalizer(kappa, features.shape[1]) - kappa * means
        return torch.where(present, losses, 0.0).sum() / present.sum().clamp(min=1)


def concentration(length: Tensor, dimensions: int) -> Tensor:
    """κ of a mean of length R in `dimensions`: R (p − R²) / (1 − R²)."""
    square = length.square()
    return length * (dimensions - square) / (1 - square)


def log_normalizer(kappa: Tensor, dimensions: int) -> Tensor:
    """log C_p(κ), with the uniform expansion of the Bessel function for large orders.

    Abramowitz and Stegun, 9.7.7, to its fourth term: from p = 16 on, log C_p is right to 1e-5 for every κ.
    """
    order = dimensions / 2 - 1
    kappa = kappa.double()
    root = (order**2 + kappa.square()).sqrt()
    t = order / root
    terms = [
        (3 * t - 5 * t**3) / 24,
        (81 * t**2 - 462 * t**4 + 385 * t**6) / 1152,
        (30375 * t**3 - 369603 * t**5 + 765765 * t**7 - 425425 * t**9) / 414720,
    ]
    series = 1 + terms[0] / order + terms[1] / order**2 + terms[2] / order**3
    # log I = order · η − ½ log(2π root) + log series, with κ^order taken out of η: it cancels that of the density
    log_bessel_over_power = root - order * (order + root).log() - 0.5 * (2 * math.pi * root).log() + series.log()
    return (-0.5 * dimensions * math.log(2 * math.pi) - log_bessel_over_power).to(torch.float32)
