"""The commands below `crosspoint evaluate`, one function a protocol; what they share is one dataclass.

Parameters become flags and YAML keys, docstrings the help.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from eval.fewshot import few_shot
from eval.linear import linear_svm
from eval.results import Result
from renderers.meshes import UpAxis


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
    measured: Measured, split: str = "train", ways: int = 5, shots: int = 10, queries: int = 20, runs: int = 10
) -> int:
    """Few-shot accuracy of a linear SVM on frozen features (CrossPoint's protocol).

    Args:
        measured: the encoder and the clouds
        split: the pool that tasks are drawn from; CrossPoint draws from train
        ways: classes in a task
        shots: labelled samples of each class
        queries: samples of each class to answer
        runs: number of tasks
    """
    pool = measured.clouds(split)
    features = measured.features(pool.points)
    result = few_shot(
        features,
        pool.labels,
        ways=ways,
        shots=shots,
        queries=queries,
        runs=runs,
        seed=measured.seed,
        jobs=measured.jobs,
    )
    return measured.report(result, f"{pool.name} ({split})")


PROTOCOLS: dict[str, Callable[..., int]] = {"linear": linear, "fewshot": fewshot}


def call(protocol: str, values: dict[str, Any]) -> int:
    """Run one protocol on parsed values, those of `Measured` among them."""
    own = {name: values.pop(name) for name in Measured.__dataclass_fields__}
    return PROTOCOLS[protocol](Measured(**own), **values)
