"""Fine-tuned classification: how good an encoder is as a beginning.

Head and recipe are DGCNN's (Wang et al., 2019, https://arxiv.org/abs/1801.07829), as CrossPoint has them.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from torch import Tensor, nn

from crosspoint.datasets.clouds import Clouds
from crosspoint.eval.classifiers.svm import accuracy, class_accuracy
from crosspoint.eval.features import extract_features
from crosspoint.eval.results import Result
from crosspoint.eval.supervised.cloud_training import Evaluation, check_free, save_trained, train_supervised
from crosspoint.eval.supervised.config import FinetuneConfig, Resources
from crosspoint.eval.supervised.splits import split_clouds
from crosspoint.eval.supervised.trainer import seeded
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.ops.shared_mlp import SharedMLP
from crosspoint.training.loggers import Names, check_loggers
from crosspoint.training.run_folder import writes_alone

Mode = Literal["finetuned", "scratch", "frozen"]

CLASSIFICATION = FinetuneConfig()


class Classifier(nn.Module):
    """Class logits of clouds: an encoder and a head."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, points: Tensor) -> Tensor:
        """points (B, N, 3) → (B, classes)."""
        return self.head(self.encoder(points))


def classification_head(features: int, classes: int, dropout: float) -> nn.Sequential:
    """(B, features) → (B, classes) through 512 and 256 units, as DGCNN ends."""
    return nn.Sequential(
        SharedMLP(features, 512),
        nn.Dropout(dropout),
        SharedMLP(512, 256),
        nn.Dropout(dropout),
        nn.Linear(256, classes),
    )


def linear_head(features: int, classes: int) -> nn.Sequential:
    """(B, features) → (B, classes): one linear layer on standardized features.

    Without the normalization the scale of the features would decide, as masked autoencoders found before (He et al.,
    2022, https://arxiv.org/abs/2111.06377, whose linear probe has the same).
    """
    return nn.Sequential(nn.BatchNorm1d(features, affine=False), nn.Linear(features, classes))


@writes_alone
def fine_tune(
    encoder: nn.Module,
    train: Clouds,
    test: Clouds,
    *,
    mode: Mode = "finetuned",
    recipe: FinetuneConfig = CLASSIFICATION,
    validation: Clouds | float = 0.1,
    fraction: float = 1.0,
    seed: int = 0,
    resources: Resources | None = None,
    progress: bool = False,
    out: Path | None = None,
    logger: Names | None = None,
) -> Result:
    """Accuracy on the test split of a classifier that starts from an encoder, in percent.

    - accuracy, class_accuracy: of the epoch that is best on validation clouds, which are set aside before training.
    - accuracy_best_on_test: the highest of all epochs, which is what papers report; no figure to choose by.

    The encoder itself is not changed. The same arguments give the same result on a CPU; a GPU adds in varying order.

    Args:
        encoder: maps (B, N, 3) points to (B, C) features; any module does.
        train: the training split.
        test: the test split.
        mode: "finetuned" trains all weights under DGCNN's head; "scratch" does so from random weights in their place
            (of encoders that extend `PointEncoder`; build others anew and fine-tune those); "frozen" trains a linear
            head on the features of clouds as they are, without augmentation.
        recipe: of training.
        validation: share of each training class, or clouds of their own; 0 trains on all and takes the last epoch.
        fraction: of the labels that is trained on, after the validation part is set aside, which keeps its labels.
        seed: of the splits, the head, the order, the augmentation and dropout.
        resources: what it runs on.
        progress: show a progress bar.
        out: new folder for `network.safetensors`, a `Classifier`'s weights of the chosen epoch, its encoder as
            `load_pretrained` reads it (`encoder.safetensors`, if it extends `PointEncoder`), and `predictions.npz`
            (predicted and truth on the test split). Interrupted, the same call goes on from the last whole epoch.
        logger: csv, tensorboard, wandb, mlflow, several of them, which write to `out`; None takes none.

    Raises:
        ImportError: if a logger's package is not installed.
        ValueError: if splits do not fit together or are too small, if the encoder returns no features or is to start
            from scratch and does not extend `PointEncoder`, if `out` is taken or being written to, or if the loss stops
            being finite.
    """
    check_free(out)
    check_loggers(logger, out)
    resources = resources or Resources()
    splits = split_clouds(train, test, validation, fraction, seed)
    with seeded(seed):
        network = _classifier(encoder, splits.train, mode, recipe.dropout)

    trainable: nn.Module = network
    inputs = {name: clouds.points.astype(np.float32) for name, clouds in splits.present.items()}
    if mode == "frozen":
        size, device = resources.evaluation_batch, resources.device
        for name, points in inputs.items():
            inputs[name] = extract_features(network.encoder, points, batch_size=size, device=device, progress=progress)
        trainable, recipe = network.head, replace(recipe, augmentation=None, dropout=0.0)
    held = {name: ([inputs[name]], clouds) for name, clouds in splits.present.items() if name != "train"}
    trained = train_supervised(
        trainable,
        [inputs["train"], splits.train.labels.astype(np.int64)],
        Evaluation(held, _likeliest, _scores, "accuracy", resources.evaluation_batch),
        recipe=recipe,
        resources=resources,
        seed=seed,
        progress=progress,
        fields=splits.train.fields,
        folder=out,
        logger=logger,
    )
    if out is not None:
        head = {"kind": "linear" if mode == "frozen" else "mlp", "dropout": recipe.dropout}
        save_trained(out, network, splits.train, "classes", head, predicted=trained.predicted, truth=test.labels)
    constants = {"mode": mode, "encoder": type(encoder).__name__, "fraction": fraction, **splits.constants()}
    return trained.result(f"finetune/{mode}", "accuracy", constants)


def fresh_encoder(encoder: nn.Module) -> nn.Module:
    """A network like this one with random weights from torch's global generator.

    Raises:
        ValueError: if it does not extend `PointEncoder`, and so does not say how it is built.
    """
    if not isinstance(encoder, PointEncoder):
        raise ValueError(
            f"found an encoder of type {type(encoder).__name__} to train from scratch, expected one that extends "
            "crosspoint.PointEncoder: build one with random weights and fine-tune it"
        )
    return encoder.fresh()


def _classifier(encoder: nn.Module, train: Clouds, mode: Mode, dropout: float) -> Classifier:
    """The network with its random weights drawn from torch's global generator."""
    if mode not in get_args(Mode):
        raise ValueError(f"found the mode {mode!r}, expected one of: {', '.join(get_args(Mode))}")
    encoder = fresh_encoder(encoder) if mode == "scratch" else copy.deepcopy(encoder)
    features = extract_features(encoder, train.points[:1]).shape[1]  # also says what is wrong with the encoder
    classes = len(train.classes)
    head = linear_head(features, classes) if mode == "frozen" else classification_head(features, classes, dropout)
    return Classifier(encoder, head)


def _likeliest(logits: Tensor, points: Tensor) -> Tensor:
    return logits.argmax(dim=1)


def _scores(predicted: np.ndarray, clouds: Clouds) -> dict[str, float]:
    return {
        "accuracy": accuracy(predicted, clouds.labels),
        "class_accuracy": class_accuracy(predicted, clouds.labels),
    }
