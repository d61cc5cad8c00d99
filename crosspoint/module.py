"""The one LightningModule and the one data module: they train every method on every kind of pair."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

import lightning
import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from crosspoint.checkpoints import ENCODER_KEY, POINTS_KEY
from crosspoint.configuration import TrainingConfig
from crosspoint.datasets.pairs import PairDataset, stack_pairs
from crosspoint.encoders import encoder_config
from crosspoint.sampling import EpochSampler, step_seed


class Method(Protocol):
    """What can be trained: an nn.Module with an `encoder` to keep and a loss with named parts."""

    encoder: nn.Module

    def training_step(self, batch: Any, generator: Generator) -> dict[str, Tensor]:
        """A batch → "loss" and its named parts; every draw comes from the generator."""
        ...


class Pretraining(lightning.LightningModule):
    """Train a method with Adam on a cosine schedule.

    Args:
        method: what is trained.
        training: how.
        seed: of all that a step draws.
        points: of each cloud that the encoder sees; kept in checkpoints for those who measure it.
    """

    method: Any  # a Method: an nn.Module, which torch's typing cannot join with a protocol

    def __init__(self, method: Method, training: TrainingConfig, seed: int, points: int | None = None) -> None:
        super().__init__()
        self.method = method
        self.training_config = training
        self.seed = seed
        self.points = points

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One step; what it draws depends on (seed, rank, step) alone, so a resumed run draws the same."""
        generator = Generator(self.device).manual_seed(step_seed(self.seed, self.global_rank, self.global_step))
        parts = self.method.training_step(batch, generator)
        values = {f"train/{name}": value.detach() for name, value in parts.items()}
        self.log_dict(values, on_epoch=True, on_step=False, prog_bar=True, sync_dist=True, batch_size=len(batch[0]))
        return parts["loss"]

    def configure_optimizers(self) -> Any:
        """Adam with weight decay in the gradient; the rate falls at every step and is never 0 in one."""
        training = self.training_config
        optimizer = Adam(
            self.parameters(),
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),  # a single pass over the weights
        )
        steps = int(self.trainer.estimated_stepping_batches)
        warmup = steps * training.warmup // max(1, training.epochs)
        schedule = LambdaLR(optimizer, cosine_schedule(steps, warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store what `load_encoder` needs beside the weights."""
        checkpoint[ENCODER_KEY] = asdict(encoder_config(self.method.encoder))
        checkpoint[POINTS_KEY] = self.points


def cosine_schedule(steps: int, warmup: int = 0) -> Callable[[int], float]:
    """The factor on the learning rate before step s of 0 … steps − 1.

    ½ (1 + cos(π (s − warmup) / (steps − warmup))) after a linear rise: 1 at its start, above 0 in the last step.
    """

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))

    return factor


class PairModule(lightning.LightningDataModule):
    """Batches of pairs in an order that (seed, epoch) decide; each process reads its own share.

    Args:
        dataset: the pairs.
        indices: (n,) those that are trained on.
        batch_size: pairs per process.
        workers: loader processes.
        seed: of the run.

    Raises:
        ValueError: if the indices do not fill one batch.
    """

    def __init__(self, dataset: PairDataset, indices: np.ndarray, *, batch_size: int, workers: int, seed: int) -> None:
        super().__init__()
        if len(indices) < batch_size or batch_size < 2:
            raise ValueError(
                f"found {len(indices)} pairs for training and a batch size of {batch_size}, expected a batch size "
                "from 2 to the number of pairs: change training.batch_size or data.holdout"
            )
        self.dataset = dataset
        self.indices = indices
        self.batch_size = batch_size
        self.workers = workers
        self.seed = seed

    def train_dataloader(self) -> DataLoader:
        """The loader of this process; the last, incomplete batch of an epoch is dropped."""
        trainer = self.trainer
        rank, processes = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        return DataLoader(
            self.dataset,  # type: ignore[arg-type] # indexed by (index, seed) pairs, as the sampler yields them
            batch_size=self.batch_size,
            sampler=EpochSampler(self.indices, seed=self.seed, rank=rank, processes=processes),
            num_workers=self.workers,
            collate_fn=stack_pairs,
            drop_last=True,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.workers > 0,
        )
