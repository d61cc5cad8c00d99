"""The commands below `crosspoint evaluate`, one function a protocol; what they share is one dataclass.

Parameters become flags and YAML keys, docstrings the help.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from crosspoint.checkpoints import load_encoder
from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.labelled import DatasetName, labelled_clouds
from crosspoint.encoders import build_encoder, encoder_config
from eval.features import extract_features
from eval.fewshot import SmallClasses, few_shot, few_shot_table
from eval.finetune import CLASSIFICATION, Mode, fine_tune
from eval.knn import Metric, Weights, knn_classify
from eval.linear import linear_svm
from eval.partseg import PARTS, check_encoder, segment_parts
from eval.partseg import Mode as PartMode
from eval.recipe import Recipe, Resources
from eval.results import Result
from eval.retrieval import retrieve_within
from renderers.meshes import UpAxis

RESOURCES = Resources()


@dataclass(frozen=True)
class Measured:
    """Which encoder is measured, on which clouds.

    Args:
        checkpoint: of pretrain (.ckpt), an export (.safetensors), or the original CrossPoint's weights (.pth)
        dataset: which labelled clouds
        root: where they lie
        points: points per cloud
        normalise: scale clouds into the unit sphere, as in pre-training; false takes them as stored
        up_axis: of the stored clouds, if not the dataset's own
        random_init: measure the checkpoint's network with random weights instead
        k: neighbours per point, if not the checkpoint's
        seed: of every draw: folds, tasks, sampled points, random weights
        device: auto, cpu, cuda, cuda:1, …
        cache: folder that keeps extracted features
        jobs: threads, -1 for one per core
        out: JSON file for the result
    """

    checkpoint: Path
    dataset: DatasetName
    root: Path
    points: int = 1024
    normalise: bool = True
    up_axis: UpAxis | None = None
    random_init: bool = False
    k: int | None = None
    seed: int = 0
    device: str = "auto"
    cache: Path | None = None
    jobs: int = -1
    out: Path | None = None

    def __post_init__(self) -> None:
        """Before minutes of work, not after them.

        Raises:
            FileNotFoundError: if there is no checkpoint.
            ValueError: if it cannot be used, or the file of the result is there already.
        """
        if self.out is not None and self.out.exists():
            raise ValueError(f"found {self.out} already there, expected a new file: choose another --out")
        _ = self.encoder

    @cached_property
    def encoder(self) -> nn.Module:
        """The network, in eval mode."""
        encoder = load_encoder(self.checkpoint, k=self.k)
        if not self.random_init:
            return encoder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return build_encoder(encoder_config(encoder)).eval()

    def clouds(self, split: str) -> Clouds:
        """One split of the dataset."""
        return labelled_clouds(
            self.dataset,
            self.root,
            split,
            points=self.points,
            normalise=self.normalise,
            up_axis=self.up_axis,
            seed=self.seed,
        )

    def features(self, points: np.ndarray) -> np.ndarray:
        """Features (n, C) of points (n, N, 3), through the cache where there is one."""
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return extract_features(self.encoder, points, device=device, cache=self.cache, progress=True)

    def report(self, result: Result, dataset: str) -> int:
        """Print the result with the setting that decided its features, and save it."""
        setting = {
            "checkpoint": str(self.checkpoint),
            "random_init": self.random_init,
            "encoder": self.encoder.config,
            "dataset": dataset,
            "points": self.points,
            "normalise": self.normalise,
            "up_axis": self.up_axis,
        }
        result = replace(result, constants={**result.constants, **setting})
        sys.stdout.write(f"{result}\n")
        if self.out is not None:
            result.save(self.out)
        return 0


def linear(measured: Measured, protocol: Literal["validated", "paper"] = "validated", C: float = 0.1) -> int:
    """Linear SVM on frozen features, trained on the train split and scored once on the test split.

    Args:
        measured: the encoder and the clouds
        protocol: validated: C and scaling by cross-validation; paper: raw features at the given C
        C: of the paper protocol
    """
    train, test = measured.clouds("train"), measured.clouds("test")
    train_x, test_x = measured.features(train.points), measured.features(test.points)
    result = linear_svm(
        train_x, train.labels, test_x, test.labels, protocol=protocol, C=C, seed=measured.seed, jobs=measured.jobs
    )
    return measured.report(result, train.name)


def fewshot(
    measured: Measured,
    split: str = "train",
    ways: int = 5,
    shots: int = 10,
    all_settings: bool = False,
    queries: int = 20,
    runs: int = 10,
    small_classes: SmallClasses = "refuse",
) -> int:
    """Few-shot accuracy of a linear SVM on frozen features (CrossPoint's protocol).

    Args:
        measured: the encoder and the clouds
        split: the pool that tasks are drawn from; CrossPoint draws from train
        ways: classes in a task
        shots: labelled samples of each class
        all_settings: 5 and 10 ways by 10 and 20 shots in one table, instead of one setting
        queries: samples of each class to answer
        runs: number of tasks
        small_classes: what happens to classes with too few members
    """
    pool = measured.clouds(split)
    features = measured.features(pool.points)
    drawn: dict[str, Any] = {
        "queries": queries,
        "runs": runs,
        "small_classes": small_classes,
        "seed": measured.seed,
        "jobs": measured.jobs,
    }
    if all_settings:
        result = few_shot_table(features, pool.labels, **drawn)
    else:
        result = few_shot(features, pool.labels, ways=ways, shots=shots, **drawn)
    return measured.report(result, f"{pool.name} ({split})")


def knn(
    measured: Measured,
    protocol: Literal["validated", "fixed"] = "validated",
    nearest: int = 20,
    metric: Metric = "cosine",
    weights: Weights = "uniform",
) -> int:
    """Vote of the nearest training samples on frozen features.

    Args:
        measured: the encoder and the clouds
        protocol: validated: how many vote is found by cross-validation; fixed: as given
        nearest: how many vote in the fixed protocol
        metric: between features
        weights: all alike, or exp(cosine / 0.07) as in instance discrimination
    """
    train, test = measured.clouds("train"), measured.clouds("test")
    train_x, test_x = measured.features(train.points), measured.features(test.points)
    result = knn_classify(
        train_x,
        train.labels,
        test_x,
        test.labels,
        protocol=protocol,
        k=nearest,
        metric=metric,
        weights=weights,
        seed=measured.seed,
        jobs=measured.jobs,
    )
    return measured.report(result, train.name)


def retrieval(measured: Measured, split: str = "test") -> int:
    """Retrieval by cosine within one split: each cloud seeks the others of its class.

    Args:
        measured: the encoder and the clouds
        split: in which clouds seek each other
    """
    clouds = measured.clouds(split)
    result = retrieve_within(measured.features(clouds.points), clouds.labels)
    return measured.report(result, f"{clouds.name} ({split})")


def finetune(
    measured: Measured,
    mode: Mode = "finetuned",
    validation: float = 0.1,
    fraction: float = 1.0,
    recipe: Recipe = CLASSIFICATION,
    resources: Resources = RESOURCES,
    network: Path | None = None,
) -> int:
    """Classification fine-tuned from the encoder; the epoch is chosen on a part of the training split.

    Args:
        measured: the encoder and the clouds
        mode: all weights, all from random ones, or a linear head on the frozen encoder
        validation: share of the training clouds that chooses the epoch
        fraction: of the labels that is trained on
        recipe: of training; the defaults are DGCNN's
        resources: what it runs on, instead of --device
        network: new folder for the trained network and its predictions
    """
    result = fine_tune(
        measured.encoder,
        measured.clouds("train"),
        test := measured.clouds("test"),
        mode=mode,
        recipe=recipe,
        validation=validation,
        fraction=fraction,
        seed=measured.seed,
        resources=resources,
        progress=sys.stderr.isatty(),
        out=network,
    )
    return measured.report(result, test.name)


def partseg(
    measured: Measured,
    mode: PartMode = "finetuned",
    train_split: Literal["train", "trainval"] = "train",
    validation: float | None = None,
    fraction: float = 1.0,
    votes: int = 1,
    recipe: Recipe = PARTS,
    resources: Resources = RESOURCES,
    network: Path | None = None,
) -> int:
    """Part segmentation fine-tuned from a part-segmentation encoder, on ShapeNetPart's layout (--dataset shapenetpart).

    Args:
        measured: the encoder and the clouds; --k is 40 where it is not given
        mode: start from the encoder, or from random weights
        train_split: the original trains on trainval, with --validation 0
        validation: share of the training clouds that chooses the epoch; null takes the val split
        fraction: of the labelled clouds that is trained on
        votes: passes over each test cloud, averaged
        recipe: of training; the defaults are the original's
        resources: what it runs on, instead of --device
        network: new folder for the trained network and its predictions
    """
    encoder = check_encoder(measured.encoder)  # before data are read
    result = segment_parts(
        encoder,
        measured.clouds(train_split),
        test := measured.clouds("test"),
        mode=mode,
        recipe=recipe,
        k=measured.k or 40,
        validation=measured.clouds("val") if validation is None else validation,
        fraction=fraction,
        votes=votes,
        seed=measured.seed,
        resources=resources,
        progress=sys.stderr.isatty(),
        out=network,
    )
    return measured.report(result, test.name)


PROTOCOLS: dict[str, Callable[..., int]] = {
    "linear": linear,
    "fewshot": fewshot,
    "knn": knn,
    "retrieval": retrieval,
    "finetune": finetune,
    "partseg": partseg,
}


def call(protocol: str, values: dict[str, Any]) -> int:
    """Run one protocol on parsed values, those of `Measured` among them."""
    own = {field.name: values.pop(field.name) for field in fields(Measured)}
    return PROTOCOLS[protocol](Measured(**own), **values)
