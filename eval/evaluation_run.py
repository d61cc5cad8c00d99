"""One network and the data on which a protocol measures it: the same object for a single command and in a study."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import nn

from crosspoint.eval.checkpoint import Checkpoint
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.features import extract_features
from crosspoint.eval.supervised.config import Resources
from crosspoint.ops.device import chosen_device
from crosspoint.plugins import plain
from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.ops.sparse_conv import Backend, use_backend

GPU_BATCH = 32  # clouds a pass; one alone leaves a GPU idle


@dataclass(frozen=True)
class EvaluationRun:
    """One network and its data; the network is loaded, and features are extracted, when they are first asked for.

    Args:
        checkpoint: of the network, or of the architecture that random weights are drawn for.
        data: splits to learn from and to measure on.
        random_init: random weights in place of the checkpoint's.
        seed: of all that is drawn for this network, its random weights among them.
        device: auto, cpu, cuda, cuda:1, …
        cache: folder that keeps features; None keeps none.
        jobs: threads, -1 for one per core.
        sparse_backend: what computes sparse convolutions.
        results_dir: folder of a study for the results of this network; None for a single command.
        save_dir: new folder of a single command for what a protocol trains; None keeps nothing.
    """

    checkpoint: Checkpoint
    data: EvaluationData
    random_init: bool = False
    seed: int = 0
    device: str = "auto"
    cache: Path | None = None
    jobs: int = -1
    sparse_backend: Backend = "torch"
    results_dir: Path | None = None
    save_dir: Path | None = None

    @property
    def weights_seed(self) -> int | None:
        """Seed of random weights; None where the checkpoint's are taken."""
        return self.seed if self.random_init else None

    @cached_property
    def encoder(self) -> nn.Module:
        """The network, in eval mode."""
        network = self.checkpoint.encoder(self.weights_seed)
        if self.checkpoint.inputs == "voxels":
            use_backend(network, self.sparse_backend)
        return network

    def extract(self, points: np.ndarray, progress: bool = True) -> np.ndarray:
        """Features (n, C) of points (n, N, 3), through the cache where there is one.

        On a CPU one cloud a pass, so that rounding depends on nothing but the cloud.
        """
        device = chosen_device(self.device)
        size = 1 if device == "cpu" else GPU_BATCH
        return extract_features(
            self.encoder, points, batch_size=size, device=device, cache=self.cache, progress=progress
        )

    @cached_property
    def _features(self) -> dict[str, np.ndarray]:
        return {}

    def features(self, split: str) -> np.ndarray:
        """Features (n, C) of a split of the data."""
        if split not in self._features:
            self._features[split] = self.extract(self.data.clouds(split).points)
        return self._features[split]

    def resources(self, given: Resources) -> Resources:
        """What training runs on: as given, but on the CPU where that is this run's device and no other is named."""
        on_cpu = given.accelerator == "auto" and chosen_device(self.device) == "cpu"
        return replace(given, accelerator="cpu") if on_cpu else given

    def folder_of(self, protocol: str) -> Path | None:
        """Folder for what a protocol trains and answers; None keeps nothing."""
        return self.save_dir if self.results_dir is None else self.results_dir / protocol

    def setting(self) -> JsonObject:
        """What decided the features, as a result records it."""
        given = {"checkpoint": str(self.checkpoint.path), "random_init": self.random_init}
        if self.data.inputs == "voxels":
            options = {"options": plain(self.data.options)} if self.data.options else {}
            voxels = {"voxels": asdict(self.checkpoint.voxels)} if self.checkpoint.inputs == "voxels" else {}
            return {**given, "skip": self.data.skip, **voxels, **options}
        return {
            **given,
            "encoder": self.checkpoint.config,
            "points": self.data.points,
            "normalize": self.data.normalize,
            "up_axis": self.data.up_axis,
        }
