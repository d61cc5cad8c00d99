"""Supervised training from an encoder, shared by fine-tuned classification and part segmentation.

Papers of the field choose the epoch by its figure on the test split. Here a validation part chooses it, and the
test-chosen figure stands beside it under its own name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import rank_zero_only
from torch import Generator, Tensor, nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler
from torch.utils.data import TensorDataset

from crosspoint.checkpoints.files import write_safetensors
from crosspoint.checkpoints.pretrained import save_encoder
from crosspoint.checkpoints.record import NETWORK_KEY, Inputs
from crosspoint.datasets.clouds import Clouds
from crosspoint.eval.features import feature_key, frozen
from crosspoint.eval.results import Result
from crosspoint.eval.supervised.config import FinetuneConfig, Resources
from crosspoint.eval.supervised.layer_decay import decayed_groups
from crosspoint.eval.supervised.network_record import NetworkRecord, Task, described_encoder
from crosspoint.eval.supervised.resume import InterruptedTraining
from crosspoint.eval.supervised.trainer import Training, fit_and_choose
from crosspoint.fields import Fields
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.json_object import JsonObject
from crosspoint.training.epoch_sampler import step_seed
from crosspoint.training.loggers import Names

NETWORK, ENCODER, PREDICTIONS = "network.safetensors", "encoder.safetensors", "predictions.npz"


def smoothed_cross_entropy(logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """Mean cross entropy of logits (n, K) with 1 − smoothing on the target (n,) and the rest on the K − 1 others.

    torch's own smoothing spreads its share over all K labels, the right one among them.
    """
    labels = logits.shape[1]
    return F.cross_entropy(logits, target, label_smoothing=min(1.0, smoothing * labels / max(1, labels - 1)))


class SupervisedTraining(Training):
    """Train a network that maps inputs to logits (…, K): clouds are the first input, targets (…) the last tensor."""

    def __init__(
        self,
        network: nn.Module,
        tensors: Sequence[Tensor],
        recipe: FinetuneConfig,
        resources: Resources,
        seed: int,
        fields: Fields = (),
    ) -> None:
        super().__init__(network, _Indexed(*tensors), batch_size=recipe.batch_size, resources=resources, seed=seed)
        self.recipe = recipe
        self.fields = fields

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """One step on augmented clouds."""
        *inputs, target = batch
        seed = step_seed(self.seed, self.global_rank, self.global_step)
        if self.recipe.augmentation is not None:
            generator = Generator(self.device).manual_seed(seed)
            inputs[0] = self.recipe.augmentation(inputs[0], generator, self.fields)
        torch.manual_seed(seed ^ 1)  # dropout has no generator of its own
        logits = self.network(*inputs).flatten(0, -2)
        loss = smoothed_cross_entropy(logits, target.flatten(), self.recipe.smoothing)
        self.log("train/loss", loss.detach(), on_epoch=True, on_step=False, prog_bar=True, sync_dist=True)
        return loss

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        """SGD or Adam; the rates fall after every epoch."""
        recipe = self.recipe
        weights: Any = self.parameters()
        if recipe.layer_decay != 1:
            weights = _by_depth(self.network, recipe)
        optimizer: Optimizer
        if recipe.optimizer == "sgd":
            optimizer = SGD(weights, lr=recipe.rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
        else:
            optimizer = Adam(weights, lr=recipe.rate, weight_decay=recipe.weight_decay)
        if recipe.layer_decay == 1:
            return [optimizer], [CosineAnnealingLR(optimizer, recipe.epochs, eta_min=recipe.rate * recipe.final_rate)]
        return [optimizer], [LambdaLR(optimizer, partial(_share_left, recipe))]  # of each rate, however low


def _by_depth(network: nn.Module, recipe: FinetuneConfig) -> list[dict[str, Any]]:
    """The head's weights, whose rate is logged, and the encoder's by depth; heads alone have but the first."""
    encoder: Any = getattr(network, "encoder", None)
    groups = [] if encoder is None else decayed_groups(encoder, recipe.rate, recipe.layer_decay)
    held = {id(weight) for group in groups for weight in group["params"]}
    return [{"params": [weight for weight in network.parameters() if id(weight) not in held]}, *groups]


def _share_left(recipe: FinetuneConfig, epoch: int) -> float:
    """What the cosine leaves of a rate after so many epochs."""
    cosine = (1 + math.cos(math.pi * epoch / recipe.epochs)) / 2
    return recipe.final_rate + (1 - recipe.final_rate) * cosine


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

    @property
    def shown(self) -> list[str]:
        """What the log and the progress bar show."""
        return [f"{split}_{self.figure}" for split in self.splits]

    def __call__(self, network: nn.Module, device: torch.device) -> tuple[dict[str, float], np.ndarray]:
        """Figures "<split>_<name>", and the predictions on the test split."""
        figures: dict[str, float] = {}
        for split, (arrays, clouds) in self.splits.items():
            predicted = predict(network, arrays, self.answer, batch_size=self.batch_size, device=device)
            figures |= {f"{split}_{name}": value for name, value in self.score(predicted, clouds).items()}
            if split == "test":
                answers = predicted
        return figures, answers


class Trained(NamedTuple):
    """What training leaves beside the network, which has the weights of the chosen epoch."""

    records: list[JsonObject]
    epoch: int  # the chosen one, counted from 1
    predicted: np.ndarray  # on the test split, after that epoch
    constants: JsonObject  # of training

    def result(self, protocol: str, figure: str, constants: JsonObject) -> Result:
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
    recipe: FinetuneConfig,
    resources: Resources,
    seed: int,
    progress: bool,
    fields: Fields = (),
    folder: Path | None = None,
    logger: Names | None = None,
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
        fields: what clouds have behind x y z.
        folder: keeps the training after every epoch; the same training goes on from there exactly. Nothing is written
            without it.
        logger: names of loggers, which write to the same folder; None takes none.

    Raises:
        ImportError: if a logger's package is not installed.
        ValueError: if there are too few clouds, if the loss stops being finite, or if another training was interrupted
            in the folder.
    """
    unfinished = None
    if folder is not None:
        keys = [feature_key(network, array) for array in arrays]
        unfinished = InterruptedTraining.of(
            folder, keys, recipe.constants(), resources.precision, resources.devices, seed
        )
    network.train()  # encoders come in eval mode, and Lightning leaves modes as they are
    training = SupervisedTraining(
        network, [torch.from_numpy(array) for array in arrays], recipe, resources, seed, fields
    )
    fitted = fit_and_choose(
        training, evaluation, epochs=recipe.epochs, progress=progress, unfinished=unfinished, logger=logger
    )
    network.load_state_dict(fitted.weights)
    assert fitted.measured is not None
    return Trained(fitted.records, fitted.epoch, fitted.measured, {**recipe.constants(), **fitted.constants})


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


def check_free(out: Path | None) -> None:
    """Before hours of work, not after them.

    Raises:
        ValueError: if the folder holds a trained network already.
    """
    if out is not None and ((out / NETWORK).exists() or (out / PREDICTIONS).exists()):
        raise ValueError(f"found a trained network in {out}, expected a new folder: choose another one")


@rank_zero_only
def save_trained(
    out: Path, network: nn.Module, clouds: Clouds, task: Task, head: JsonObject, **predictions: np.ndarray
) -> None:
    """Write what training was for; what an interrupted one would need goes.

    Args:
        out: folder of the files.
        network: with its encoder, which is exported for `load_pretrained` if it extends `PointEncoder`.
        clouds: of the training.
        task: what the network tells.
        head: settings of its layers on the encoder.
        predictions: on the test split.
    """
    encoder: Any = network.encoder
    inputs = Inputs(points=clouds.points.shape[1])
    if isinstance(encoder, PointEncoder):
        inputs = replace(inputs, k=encoder.neighbors)
        save_encoder(encoder, out / ENCODER, inputs)
    names, parts = list(clouds.classes), clouds.part_names if task == "parts" else None
    record = NetworkRecord(task, described_encoder(encoder), inputs, names, head, clouds.name, part_names=parts)
    save_network(out, network, record, **predictions)


@rank_zero_only
def save_network(out: Path, network: nn.Module, record: NetworkRecord, /, **predictions: np.ndarray) -> None:
    """Write predictions and weights, each file whole or not at all; what an interrupted training would need goes.

    Args:
        out: folder of the files.
        network: its weights are written.
        record: of the network, for `load_network`.
        predictions: on the test split.
    """
    with atomic_write(out / PREDICTIONS) as file:
        np.savez(file, **predictions)  # type: ignore[arg-type]
    write_safetensors(out / NETWORK, network.state_dict(), NETWORK_KEY, record.as_dict())
    InterruptedTraining.remove(out)


class _Indexed(TensorDataset):
    """Items by (index, seed) pairs, as `EpochSampler` yields them; nothing is drawn here, so the seed is not used."""

    def __getitem__(self, item: tuple[int, int]) -> tuple[Tensor, ...]:
        return super().__getitem__(item[0])
