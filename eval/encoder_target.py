"""What the commands below `crosspoint evaluate` share: which encoder is measured, and on which clouds."""

from __future__ import annotations

import logging
import sys
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from crosspoint.checkpoints.load import TrainedOn, load_encoder, remember_training, trained_on
from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.labeled import DatasetName, labeled_clouds
from crosspoint.eval.features import extract_features
from crosspoint.eval.results import Result
from crosspoint.models.build import build_encoder, encoder_config
from crosspoint.renderers.meshes import UpAxis

PROBE_POINTS = 1024  # of CrossPoint's probes
GPU_BATCH = 32  # clouds a pass; one alone leaves a GPU idle

log = logging.getLogger("crosspoint")


@dataclass(frozen=True)
class EncoderTarget:
    """Which encoder is measured.

    Args:
        checkpoint: of pretrain (.ckpt), an export (.safetensors), or the original CrossPoint's weights (.pth)
        points: points per cloud, if not those of training (1,024 where the file does not tell them)
        normalize: scale clouds into the unit sphere, as in pre-training; false takes them as stored
        random_init: measure the checkpoint's network with random weights instead
        k: neighbors per point, if not the checkpoint's
        seed: of every draw: folds, tasks, sampled points, random weights
        device: auto, cpu, cuda, cuda:1, …
        cache: folder that keeps extracted features
        jobs: threads, -1 for one per core
        out: JSON file for the result
    """

    checkpoint: Path
    _: KW_ONLY
    points: int | None = None
    normalize: bool = True
    random_init: bool = False
    k: int | None = None
    seed: int = 0
    device: str = "auto"
    cache: Path | None = None
    jobs: int = -1
    out: Path | None = None

    def check(self) -> None:
        """Say what can be said before minutes of work, not after them.

        Raises:
            FileNotFoundError: if there is no checkpoint.
            ValueError: if it cannot be used, or the file of the result is there already.
        """
        if self.out is not None and self.out.exists():
            raise ValueError(f"found {self.out} already there, expected a new file: choose another --out")
        encoder = self.encoder
        if not self.random_init:
            k = encoder.config.get("k")  # type: ignore[operator, union-attr] # torch's typing expects tensors, modules
            warn_of_mismatch(trained_on(encoder), TrainedOn(self.cloud_points, k), self.checkpoint, self.normalize)

    @property
    def cloud_points(self) -> int:
        """Points per cloud."""
        return trained_on(self.encoder).points or PROBE_POINTS if self.points is None else self.points

    @cached_property
    def encoder(self) -> nn.Module:
        """The network, in eval mode."""
        encoder = load_encoder(self.checkpoint, k=self.k)
        return random_twin(encoder, self.seed) if self.random_init else encoder

    def features(self, points: np.ndarray, progress: bool = True) -> np.ndarray:
        """Features (n, C) of points (n, N, 3), through the cache where there is one.

        On a CPU one cloud a pass, so that rounding depends on nothing but the cloud.
        """
        device = chosen_device(self.device)
        size = 1 if device == "cpu" else GPU_BATCH
        return extract_features(
            self.encoder, points, batch_size=size, device=device, cache=self.cache, progress=progress
        )

    def setting(self) -> dict[str, Any]:
        """What decided the features."""
        return {
            "checkpoint": str(self.checkpoint),
            "random_init": self.random_init,
            "encoder": self.encoder.config,
            "points": self.cloud_points,
            "normalize": self.normalize,
        }

    def report(self, result: Result, dataset: str) -> int:
        """Print the result with the setting that decided its features, and save it."""
        result = replace(result, constants={**result.constants, "dataset": dataset, **self.setting()})
        sys.stdout.write(f"{result}\n")
        if self.out is not None:
            result.save(self.out)
        return 0


@dataclass(frozen=True)
class ClassificationTarget(EncoderTarget):
    """Which encoder is measured, on which clouds.

    Args:
        dataset: which labeled clouds
        root: where they lie
        up_axis: of the stored clouds, if not the dataset's own
    """

    dataset: DatasetName
    root: Path
    _: KW_ONLY
    up_axis: UpAxis | None = None

    def clouds(self, split: str) -> Clouds:
        """One split of the dataset."""
        return labeled_clouds(
            self.dataset,
            self.root,
            split,
            points=self.cloud_points,
            normalize=self.normalize,
            up_axis=self.up_axis,
            seed=self.seed,
        )

    def setting(self) -> dict[str, Any]:
        """What decided the features."""
        return {**super().setting(), "up_axis": self.up_axis}


def random_twin(encoder: nn.Module, seed: int) -> nn.Module:
    """A network like this one with random weights of a seed, in eval mode; it sees the clouds that this one would."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        twin = build_encoder(encoder_config(encoder)).eval()
    return remember_training(twin, trained_on(encoder))


def warn_of_mismatch(trained: TrainedOn, measured: TrainedOn, checkpoint: Path, normalize: bool) -> None:
    """Log what differs between the clouds of training and those to be measured: learned features depend on both."""
    if trained.points is None:
        return
    if trained != (measured.points, measured.k if trained.k else None):
        seen, shown = (
            f"{points:,} points" + (f" and k {near}" if near else "") for points, near in (trained, measured)
        )
        log.warning("%s was trained on clouds of %s, and is measured on clouds of %s", checkpoint, seen, shown)
    if not normalize:
        log.warning("%s was trained on clouds in the unit sphere, and is measured on clouds as stored", checkpoint)


def chosen_device(name: str) -> str:
    """The device that a flag names; "auto" is a GPU where there is one."""
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"
