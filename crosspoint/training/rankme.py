"""RankMe: how many dimensions features really use, a figure of health that needs no labels.

Garrido et al., RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised Representations by Their
Rank, 2023, https://arxiv.org/abs/2210.02885. Features that collapse to a line have 1, features that fill all C
dimensions alike have C (or as many as there are rows).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from crosspoint.methods.method import Method
from crosspoint.ops.precision import full_precision

EPSILON = 1e-7  # of the paper, for float32
ROWS = 4096  # of features at most: their singular values take well below a second
DRAWS = 0x52414E4B  # word that keeps the draws of this batch apart from those of training


def rankme(features: Tensor) -> float:
    """exp(−Σ p log p) over the singular values of features (n, C), with p their shares of the sum.

    Equation 1 of the paper. Up to 4,096 rows, evenly spaced, are looked at.

    Raises:
        ValueError: if there is no row.
    """
    if features.ndim != 2 or len(features) == 0:
        raise ValueError(f"found features of shape {tuple(features.shape)}, expected (n, C) with a row or more")
    rows = torch.linspace(0, len(features) - 1, min(ROWS, len(features)), device=features.device).long()
    values = torch.linalg.svdvals(full_precision(features[rows]).cpu())
    shares = values / values.sum().clamp(min=EPSILON) + EPSILON
    return float(torch.exp(-(shares * shares.log()).sum()))


class RankMe(Callback):
    """Logs "health/rankme" of the encoder's features of one fixed batch after every epoch.

    Args:
        samples: indexed by (index, seed).
        indices: (n,) of those that the batch is drawn from: held-out ones, or, where nothing is held out, training
            ones under draws that training does not make.
        method: its `describe` gives the features, `health_samples` how many samples are described.
        batch_size: samples that are described at once.
        seed: of the run.
    """

    def __init__(self, samples: Any, indices: np.ndarray, method: Method, *, batch_size: int, seed: int) -> None:
        words = np.random.default_rng([seed, DRAWS])
        chosen = words.permutation(indices)[: method.health_samples]
        self.items = [(int(index), int(words.integers(2**62))) for index in chosen]
        self.samples = samples
        self.batch_size = batch_size

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Rank 0 describes, all ranks log the same."""
        rank = self.measure(pl_module.method, pl_module.device) if trainer.is_global_zero else None
        rank = trainer.strategy.broadcast(rank)
        if rank is not None:
            pl_module.log("health/rankme", rank, prog_bar=True)

    @torch.no_grad()
    def measure(self, method: Any, device: torch.device) -> float | None:
        """RankMe of the batch under the weights of now, the method left in its mode; None if it describes nothing."""
        training = {module: module.training for module in method.modules()}
        method.eval()
        try:
            parts = [
                method.describe(self._batch(method, items, device)) for items in _chunks(self.items, self.batch_size)
            ]
        finally:
            for module, mode in training.items():
                module.training = mode
        return None if any(part is None for part in parts) else rankme(torch.cat(parts))

    def _batch(self, method: Any, items: Sequence[tuple[int, int]], device: torch.device) -> Any:
        return move_data_to_device(method.collate([self.samples[item] for item in items]), device)


def _chunks(items: Sequence[tuple[int, int]], size: int) -> list[Sequence[tuple[int, int]]]:
    return [items[first : first + size] for first in range(0, len(items), size)]
