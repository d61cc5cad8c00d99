"""Training with labels: batches, the figures of each epoch, and the epoch whose weights are kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader

from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.resume import CHECKPOINT, InterruptedTraining
from crosspoint.renderers.json_object import JsonObject
from crosspoint.training.divergence import StopOnDivergence
from crosspoint.training.epoch_sampler import batches_of_each, epoch_loader
from crosspoint.training.loggers import Names, logger_names, make_loggers
from crosspoint.training.trainer import fit, make_trainer


class Examples(Protocol):
    """A map-style dataset of labeled examples."""

    def __len__(self) -> int: ...

    def __getitem__(self, item: tuple[int, int]) -> Any:
        """The example of an (index, seed) pair; all that is drawn for it comes from the seed."""
        ...


class Training(lightning.LightningModule):
    """Train `network` on examples; `training_step` has to log "train/loss".

    Everything that is drawn depends on (seed, rank, epoch, step) alone.

    Args:
        network: what is trained.
        examples: what it is trained on.
        batch_size: examples per process and step; the rest of an epoch is dropped, and small sets are one batch.
        resources: what it runs on.
        seed: of the order and of every draw.
        smallest: examples that a batch must have.
        collate: makes a batch of a list of examples; None takes PyTorch's own.
    """

    def __init__(
        self,
        network: nn.Module,
        examples: Examples,
        *,
        batch_size: int,
        resources: Resources,
        seed: int,
        smallest: int = 2,
        collate: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.examples = examples
        self.batch_size = batch_size
        self.resources = resources
        self.seed = seed
        self.smallest = smallest
        self.collate = collate

    def train_dataloader(self) -> DataLoader:
        """The batches of this process, in an order that (seed, epoch) decide."""
        processes = self.trainer.world_size
        return epoch_loader(
            self.examples,
            np.arange(len(self.examples)),
            batch_size=self.batch_of(processes),
            seed=self.seed,
            workers=self.resources.workers,
            trainer=self.trainer,
            collate=self.collate,
            least=self.smallest,
        )

    def batch_of(self, processes: int) -> int:
        """Examples of a batch: as asked for, or the share of a process where that is smaller."""
        return min(self.batch_size, len(self.examples) // processes)

    def batches(self, processes: int) -> int:
        """Of each process in an epoch; raises ValueError if a share is too small for one."""
        size = self.batch_of(processes)
        return batches_of_each(len(self.examples), size, processes, least=self.smallest, what="examples")


class Measurement(Protocol):
    """How a network is measured after every epoch."""

    @property
    def chosen_by(self) -> str | None:
        """Figure whose first maximum chooses the epoch; None where the last one is taken."""
        ...

    @property
    def shown(self) -> Sequence[str]:
        """Figures that the log and the progress bar show."""
        ...

    def __call__(self, network: nn.Module, device: torch.device) -> tuple[dict[str, float], np.ndarray | None]:
        """Figures by name, and what is kept of the chosen epoch beside its weights, e.g. predictions."""
        ...


class EpochChoice(Callback):
    """Measure the network after every epoch, and keep the weights of the one to report."""

    def __init__(self, measurement: Measurement) -> None:
        self.measurement = measurement
        self.records: list[JsonObject] = []
        self.epoch = 0  # of the chosen weights, counted from 1
        self.kept: tuple[dict[str, Tensor], np.ndarray | None] = {}, None  # weights, and what was measured with them

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Note the rate before the schedule moves on."""
        self.rate = float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Rank 0 measures, all ranks log and record the same."""
        epoch, loss = trainer.current_epoch + 1, float(trainer.callback_metrics["train/loss"])
        network: Any = pl_module.network
        figures, measured = self.measurement(network, pl_module.device) if trainer.is_global_zero else ({}, None)
        figures = trainer.strategy.broadcast(figures)
        pl_module.log_dict({name: figures[name] for name in self.measurement.shown}, prog_bar=True, sync_dist=True)
        by = self.measurement.chosen_by
        if by is None or figures[by] > max((row[by] for row in self.records), default=-math.inf):
            self.epoch = epoch
            weights = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
            self.kept = weights, measured
        self.records.append({"epoch": epoch, "learning_rate": self.rate, "train_loss": loss, **figures})

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Running means of BatchNorm, and what was measured, are those of rank 0 on every rank."""
        self.kept = trainer.strategy.broadcast(self.kept)
        for buffer in pl_module.buffers():
            buffer.copy_(trainer.strategy.broadcast(buffer))

    def state_dict(self) -> dict[str, Any]:
        """What an interrupted training has to know."""
        weights, measured = self.kept
        kept = None if measured is None else torch.from_numpy(measured)
        return {"records": self.records, "epoch": self.epoch, "weights": weights, "measured": kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from an earlier process."""
        self.records, self.epoch, measured = state_dict["records"], state_dict["epoch"], state_dict["measured"]
        self.kept = state_dict["weights"], None if measured is None else measured.numpy()


class Fitted(NamedTuple):
    """What a training leaves beside the network, which has the weights of the last epoch."""

    records: list[JsonObject]
    epoch: int  # the chosen one, counted from 1
    weights: dict[str, Tensor]  # of that epoch
    measured: np.ndarray | None  # with those weights
    constants: JsonObject


def fit_and_choose(
    training: Training,
    measurement: Measurement,
    *,
    epochs: int,
    progress: bool,
    unfinished: InterruptedTraining | None = None,
    logger: Names | None = None,
) -> Fitted:
    """Train the network in place; it ends in eval mode, on the CPU.

    torch's global generator is left as it was.

    Args:
        training: the network and its examples. Modes of the network's modules are taken as they are.
        measurement: measures every epoch, and says which figure chooses.
        epochs: passes over the examples.
        progress: show a progress bar.
        unfinished: where the training is kept after every epoch, to go on from there.
        logger: names of loggers, which write to the same folder; None takes none.

    Raises:
        ImportError: if a logger's package is not installed.
        ValueError: if there are too few examples, or if the loss stops being finite.
    """
    choice, resources = EpochChoice(measurement), training.resources
    folder = None if unfinished is None else unfinished.folder
    guard = StopOnDivergence(folder, remedy="lower the recipe's learning_rate")
    trainer = make_trainer(
        resources,
        epochs=epochs,
        callbacks=[guard, choice, *([] if unfinished is None else [unfinished])],
        checkpoint=None if folder is None else folder / CHECKPOINT,
        loggers=make_loggers(logger_names(logger), folder),
        progress=progress,
    )
    batches = training.batches(trainer.world_size)
    trainer.log_every_n_steps = min(50, batches)  # type: ignore[attr-defined] # Lightning sets it, undeclared
    with seeded(training.seed):
        fit(trainer, training, resume_from=None if unfinished is None else unfinished.checkpoint)
    training.network.cpu().eval()
    constants = {
        "chosen_by": measurement.chosen_by or "last epoch",
        "precision": resources.precision,
        "processes": trainer.world_size,
        "device": trainer.strategy.root_device.type,
        "seed": training.seed,
    }
    return Fitted(choice.records, choice.epoch, *choice.kept, constants)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's global generators as from new ones, and leave them as they were."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
