"""Supervised training from an encoder, shared by fine-tuned classification and part segmentation.

Papers of the field choose the epoch by its figure on the test split. Here a validation part chooses it, and the
test-chosen figure stands beside it under its own name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.utilities import rank_zero_only
from safetensors.torch import save
from torch import Generator, Tensor, nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset

from crosspoint.callbacks import AtomicCheckpoints, EpochReport
from crosspoint.checkpoints import TrainedOn, remember_training, save_encoder
from crosspoint.datasets.clouds import Clouds
from crosspoint.encoders import is_own
from crosspoint.fitting import fit
from crosspoint.sampling import EpochSampler, step_seed
from eval.features import frozen
from eval.recipe import Recipe, Resources
from eval.results import Result
from eval.unfinished import Unfinished
from renderers.atomic import writing

NETWORK, ENCODER, PREDICTIONS = "network.safetensors", "encoder.safetensors", "predictions.npz"


def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """Mean cross entropy of logits (n, K) with 1 − smoothing on the target (n,) and the rest on the K − 1 others.

    torch's own smoothing spreads its share over all K labels, the right one among them.
    """
    labels = logits.shape[1]
    return F.cross_entropy(logits, target, label_smoothing=min(1.0, smoothing * labels / max(1, labels - 1)))


class SupervisedTraining(lightning.LightningModule):
    """Train a network that maps inputs to logits (…, K); the first input are clouds, the last tensor the targets (…).

    Everything that is drawn depends on (seed, rank, epoch, step) alone.
    """

    def __init__(
        self, network: nn.Module, tensors: Sequence[Tensor], recipe: Recipe, resources: Resources, seed: int
    ) -> None:
        super().__init__()
        self.network = network
        self.dataset = _Indexed(*tensors)
        self.recipe = recipe
        self.resources = resources
        self.seed = seed

    def train_dataloader(self) -> DataLoader:
        """The batches of this process, in an order that (seed, epoch) decide."""
        rank, processes = self.trainer.global_rank, self.trainer.world_size
        sampler = EpochSampler(np.arange(len(self.dataset)), seed=self.seed, rank=rank, processes=processes)
        if len(sampler) < 2:
            raise ValueError(
                f"found {len(self.dataset)} training clouds for {processes} processes, expected 2 for each"
            )
        workers = self.resources.workers
        return DataLoader(
            self.dataset,
            batch_size=min(self.recipe.batch_size, len(sampler)),
            sampler=sampler,
            drop_last=True,
            num_workers=workers,
            persistent_workers=workers > 0,
        )

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """One step on augmented clouds."""
        *inputs, target = batch
        seed = step_seed(self.seed, self.global_rank, self.global_step)
        if self.recipe.augmentation is not None:
            inputs[0] = self.recipe.augmentation(inputs[0], Generator(self.device).manual_seed(seed))
        torch.manual_seed(seed ^ 1)  # dropout has no generator of its own
        logits = self.network(*inputs).flatten(0, -2)
        loss = smoothed_cross_entropy(logits, target.flatten(), self.recipe.smoothing)
        self.log("train/loss", loss.detach(), on_epoch=True, on_step=False, prog_bar=True, sync_dist=True)
        return loss

    def configure_optimizers(self) -> tuple[list[Optimizer], list[CosineAnnealingLR]]:
        """SGD or Adam; the rate falls after every epoch."""
        recipe = self.recipe
        optimiser: Optimizer
        if recipe.optimiser == "sgd":
            optimiser = SGD(
                self.parameters(), lr=recipe.rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
            )
        else:
            optimiser = Adam(self.parameters(), lr=recipe.rate, weight_decay=recipe.weight_decay)
        return [optimiser], [CosineAnnealingLR(optimiser, recipe.epochs, eta_min=recipe.rate * recipe.final_rate)]


@dataclass(frozen=True)
class Evaluation:
    """How a network is measured.

    Args:
        splits: "test", and "validation" where there is one: the network's inputs (n, …) and the clouds they are of.
        answer: outputs and inputs of a batch, (B, …) each → predictions (B, …).
        score: predictions (n, …) and clouds → figures.
        figure: the one that chooses an epoch.
        batch_size: clouds per forward pass.
    """

    splits: Mapping[str, tuple[Sequence[np.ndarray], Clouds]]
    answer: Callable[..., Tensor]
    score: Callable[[np.ndarray, Clouds], dict[str, float]]
    figure: str
    batch_size: int

    @property
    def chosen_by(self) -> str | None:
        """Figure whose first maximum chooses the epoch; None where the last one is taken."""
        return f"validation_{self.figure}" if "validation" in self.splits else None

    def __call__(self, network: nn.Module, device: torch.device) -> tuple[dict[str, float], np.ndarray]:
        """Figures "<split>_<name>", and the predictions on the test split."""
        figures: dict[str, float] = {}
        for split, (arrays, clouds) in self.splits.items():
            predicted = predict(network, arrays, self.answer, batch_size=self.batch_size, device=device)
            figures |= {f"{split}_{name}": value for name, value in self.score(predicted, clouds).items()}
            if split == "test":
                answers = predicted
        return figures, answers


class EpochChoice(Callback):
    """Measure the network after every epoch, and keep the weights of the one to report."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self.records: list[dict[str, Any]] = []
        self.epoch = 0  # of the chosen weights, counted from 1
        self.kept: tuple[dict[str, Tensor], np.ndarray | None] = {}, None  # weights, predictions on the test split

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Note the rate before the schedule moves on."""
        self.rate = float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Rank 0 measures, all ranks log and record the same."""
        epoch, loss = trainer.current_epoch + 1, float(trainer.callback_metrics["train/loss"])
        if not math.isfinite(loss):
            raise ValueError(
                f"found a loss of {loss} in epoch {epoch}, expected a finite one: lower the recipe's learning_rate"
            )
        network: Any = pl_module.network
        figures, predicted = self.evaluation(network, pl_module.device) if trainer.is_global_zero else ({}, None)
        figures = trainer.strategy.broadcast(figures)
        shown = [f"{split}_{self.evaluation.figure}" for split in self.evaluation.splits]
        pl_module.log_dict({name: figures[name] for name in shown}, prog_bar=True, sync_dist=True)
        by = self.evaluation.chosen_by
        if by is None or figures[by] > max((row[by] for row in self.records), default=-math.inf):
            self.epoch = epoch
            weights = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
            self.kept = weights, predicted
        self.records.append({"epoch": epoch, "learning_rate": self.rate, "train_loss": loss, **figures})

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Running means of BatchNorm, and predictions, are those of rank 0 on every rank."""
        self.kept = trainer.strategy.broadcast(self.kept)

    def state_dict(self) -> dict[str, Any]:
        """What an interrupted training has to know."""
        weights, predicted = self.kept
        answers = None if predicted is None else torch.from_numpy(predicted)
        return {"records": self.records, "epoch": self.epoch, "weights": weights, "predicted": answers}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from an earlier process."""
        self.records, self.epoch = state_dict["records"], state_dict["epoch"]
        self.kept = state_dict["weights"], state_dict["predicted"].numpy()


class Trained(NamedTuple):
    """What training leaves beside the network, which has the weights of the chosen epoch."""

    records: list[dict[str, Any]]
    epoch: int  # the chosen one, counted from 1
    predicted: np.ndarray  # on the test split, after that epoch
    constants: dict[str, Any]  # of training

    def result(self, protocol: str, figure: str, constants: dict[str, Any]) -> Result:
        """Figures of the chosen epoch, and the highest of `figure` on the test split, whichever epoch it is from."""
        chosen, on_test = self.records[self.epoch - 1], [row[f"test_{figure}"] for row in self.records]
        metrics = {key.removeprefix("test_"): value for key, value in chosen.items() if key.startswith("test_")}
        metrics |= {key: value for key, value in chosen.items() if key == f"validation_{figure}"}
        metrics[f"{figure}_best_on_test"] = max(on_test)
        epochs = {"epoch": self.epoch, "epoch_best_on_test": 1 + int(np.argmax(on_test))}
        return Result(protocol, metrics, {**constants, **self.constants, **epochs}, self.records)


def train_supervised(
    network: nn.Module,
    arrays: Sequence[np.ndarray],
    evaluation: Evaluation,
    *,
    recipe: Recipe,
    resources: Resources,
    seed: int,
    progress: bool,
    folder: Path | None = None,
) -> Trained:
    """Train a network in place; it ends with the weights of the chosen epoch, in eval mode, on the CPU.

    torch's global generator is left as it was.

    Args:
        network: maps the inputs to logits (…, K).
        arrays: inputs, clouds first, and integer targets last, all of length n.
        evaluation: measures every epoch, and says which figure chooses.
        recipe: of training.
        resources: what it runs on.
        seed: of the order, the augmentation and dropout.
        progress: show a progress bar.
        folder: keeps the training after every epoch; the same training goes on from there exactly. Nothing is written
            without it.

    Raises:
        ValueError: if there are too few clouds, if the loss stops being finite, or if another training was interrupted
            in the folder.
    """
    unfinished = None if folder is None else Unfinished.of(folder, network, arrays, recipe, resources, seed)
    tensors = [torch.from_numpy(array) for array in arrays]
    network.train()  # encoders come in eval mode, and Lightning leaves modes as they are
    module = SupervisedTraining(network, tensors, recipe, resources, seed)
    choice = EpochChoice(evaluation)
    trainer = lightning.Trainer(
        accelerator=resources.accelerator,
        devices=resources.devices,
        precision=resources.precision,
        max_epochs=recipe.epochs,
        use_distributed_sampler=False,  # EpochSampler shares the items out itself
        callbacks=[
            choice,
            RichProgressBar() if progress else EpochReport(),
            *([] if unfinished is None else unfinished.callbacks()),
        ],
        plugins=[AtomicCheckpoints()],
        logger=False,
        enable_checkpointing=unfinished is not None,
        enable_progress_bar=progress,
        enable_model_summary=False,
    )
    with seeded(seed):
        fit(trainer, module, ckpt_path=unfinished and unfinished.checkpoint, weights_only=True)
    weights, predicted = choice.kept
    assert predicted is not None
    network.load_state_dict(weights)
    network.cpu().eval()
    constants = {
        **recipe.constants(),
        "chosen_by": evaluation.chosen_by or "last epoch",
        "precision": resources.precision,
        "processes": trainer.world_size,
        "device": trainer.strategy.root_device.type,
        "seed": seed,
    }
    return Trained(choice.records, choice.epoch, predicted, constants)


def predict(
    network: nn.Module,
    arrays: Sequence[np.ndarray],
    answer: Callable[..., Tensor],
    *,
    batch_size: int,
    device: torch.device,
) -> np.ndarray:
    """Answers (n, …) of a network in evaluation mode: `answer(network(*inputs), *inputs)`, batch by batch.

    Args:
        network: maps inputs to outputs. Its training flags and its device are as before afterwards.
        arrays: inputs of length n.
        answer: outputs (B, …) and inputs (B, …) → (B, …).
        batch_size: clouds per forward pass.
        device: where the passes run.
    """
    answers = []
    with frozen(network, device), torch.inference_mode():
        for start in range(0, len(arrays[0]), batch_size):
            inputs = [torch.from_numpy(array[start : start + batch_size]).to(device) for array in arrays]
            answers.append(answer(network(*inputs), *inputs).cpu().numpy())
    return np.concatenate(answers)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's global generators as from new ones, and leave them as they were."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def check_free(out: Path | None) -> None:
    """Before hours of work, not after them.

    Raises:
        ValueError: if the folder holds a trained network already.
    """
    if out is not None and ((out / NETWORK).exists() or (out / PREDICTIONS).exists()):
        raise ValueError(f"found a trained network in {out}, expected a new folder: choose another one")


@rank_zero_only
def save_trained(out: Path, network: nn.Module, clouds: Clouds, **predictions: np.ndarray) -> None:
    """Write what training was for, each file whole or not at all; what an interrupted one would need goes.

    Args:
        out: folder of the files.
        network: with its encoder, which is exported for `load_encoder` if it is one of the toolkit's own.
        clouds: of the training.
        predictions: on the test split.
    """
    encoder: Any = network.encoder
    if is_own(encoder):
        points = clouds.points.shape[1]
        save_encoder(remember_training(encoder, TrainedOn(points, encoder.config.get("k"))), out / ENCODER)
    with writing(out / PREDICTIONS) as file:
        np.savez(file, **predictions)  # type: ignore[arg-type]
    with writing(out / NETWORK) as file:
        file.write(save({name: tensor.contiguous() for name, tensor in network.state_dict().items()}))
    Unfinished.remove(out)


class _Indexed(TensorDataset):
    """Items by (index, seed) pairs, as `EpochSampler` yields them; nothing is drawn here, so the seed is not used."""

    def __getitem__(self, item: tuple[int, int]) -> tuple[Tensor, ...]:
        return super().__getitem__(item[0])
