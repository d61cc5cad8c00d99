"""The LightningModule that trains every method, and the data module that feeds it, for objects and scenes alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import lightning
import numpy as np
from torch import Generator, Tensor, nn, optim
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from crosspoint.checkpoints.record import RECORD_KEY, Record
from crosspoint.methods.method import Method
from crosspoint.training.config import ResolvedTraining
from crosspoint.training.epoch_sampler import batches_of_each, epoch_loader, step_seed


class Pretraining(lightning.LightningModule):
    """Training of a method on a cosine schedule.

    Args:
        method: what is trained.
        training: how.
        seed: of all that a step draws.
        record: what checkpoints say beside the weights, so that the networks can be built again.
    """

    def __init__(self, method: Method, training: ResolvedTraining, seed: int, record: Record) -> None:
        super().__init__()
        self.method = method
        self.training_config = training
        self.seed = seed
        self.record = record

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One step; what it draws depends on (seed, rank, step) alone, so a resumed run draws the same."""
        generator = Generator(self.device).manual_seed(self.draw_seed(batch_idx))
        parts = self.method.training_step(batch, generator)
        values = {f"train/{name}": value.detach() for name, value in parts.items()}
        self.log_dict(
            values,
            on_epoch=True,
            on_step=False,
            prog_bar=True,
            sync_dist=True,
            batch_size=self.training_config.batch_size,
        )
        return parts["loss"]

    def draw_seed(self, batch_idx: int) -> int:
        """The seed of all that this process draws in a step; batches whose gradients are added up differ in theirs."""
        together = self.trainer.accumulate_grad_batches
        return step_seed(self.seed, self.global_rank, self.global_step * together + batch_idx % together)

    def configure_optimizers(self) -> Any:
        """The rate falls at every step and is never 0 in one."""
        training = self.training_config
        weights = [weight for weight in self.parameters() if weight.requires_grad]
        optimizer = build_optimizer(weights, training, scaled=self.trainer.precision == "16-mixed")
        # Not the trainer's own estimate: for that it opens the loader, before a resumed run knows its epoch.
        data: SampleDataModule = self.trainer.datamodule  # type: ignore[attr-defined] # which Lightning sets
        batches = data.batches(self.trainer.world_size)
        steps = math.ceil(batches / self.trainer.accumulate_grad_batches) * training.epochs
        warmup = steps * training.warmup // max(1, training.epochs)
        schedule = LambdaLR(optimizer, cosine_schedule(steps, warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store what is needed beside the weights to build the networks again."""
        checkpoint[RECORD_KEY] = self.record.as_dict()


def build_optimizer(
    weights: list[nn.Parameter], training: ResolvedTraining, *, scaled: bool = False
) -> optim.Optimizer:
    """Adam with weight decay in the gradient, AdamW, or SGD as SLidR trains (momentum 0.9, dampening 0.1).

    Args:
        weights: what is trained.
        training: how.
        scaled: whether a GradScaler scales the losses, as it does in float16. It leaves out steps whose gradients
            overflow, often the first one. PyTorch's fused SGD then goes on with a momentum that nothing was written to.
    """
    settings: dict[str, Any] = {
        "lr": training.learning_rate,
        "weight_decay": training.weight_decay,
        "fused": weights[0].device.type in ("cpu", "cuda"),  # a single pass over the weights
    }
    match training.optimizer:
        case "adam":
            return optim.Adam(weights, **settings)
        case "adamw":
            return optim.AdamW(weights, **settings)
        case "sgd":
            settings["fused"] = settings["fused"] and not scaled
            return optim.SGD(weights, momentum=0.9, dampening=0.1, **settings)


def cosine_schedule(steps: int, warmup: int = 0) -> Callable[[int], float]:
    """The factor on the learning rate before step s of 0 … steps − 1.

    ½ (1 + cos(π (s − warmup) / (steps − warmup))) after a linear rise: 1 at its start, above 0 in the last step.
    """

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))

    return factor


class SampleDataModule(lightning.LightningDataModule):
    """Batches of samples in an order that (seed, epoch) decide; each process reads its own share.

    Args:
        samples: indexed by (index, seed).
        indices: (n,) those that are trained on.
        batch_size: samples per process.
        workers: loader processes.
        seed: of the run.
        collate: samples → a batch.
        min_batch: samples that a batch needs: objects are compared with each other, points of a scene among themselves.
    """

    def __init__(
        self,
        samples: Any,
        indices: np.ndarray,
        *,
        batch_size: int,
        workers: int,
        seed: int,
        collate: Callable[[Sequence[Any]], Any],
        min_batch: int = 1,
    ) -> None:
        super().__init__()
        self.samples = samples
        self.indices = indices
        self.batch_size = batch_size
        self.workers = workers
        self.seed = seed
        self.collate = collate
        self.min_batch = min_batch

    def batches(self, processes: int) -> int:
        """Of each process in an epoch; raises ValueError if one has none."""
        return batches_of_each(len(self.indices), self.batch_size, processes, least=self.min_batch)

    def train_dataloader(self) -> DataLoader:
        """The loader of this process; the last, incomplete batch of an epoch is dropped."""
        return epoch_loader(
            self.samples,
            self.indices,
            batch_size=self.batch_size,
            seed=self.seed,
            workers=self.workers,
            trainer=self.trainer,
            collate=self.collate,
            least=self.min_batch,
        )
