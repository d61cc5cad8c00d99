"""Labeled frames as voxels: what segmentation is trained on and measured with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from rich.console import Console
from rich.progress import track
from torch import Generator, Tensor, nn

from crosspoint.eval.features import frozen
from crosspoint.eval.supervised.trainer import Examples
from crosspoint.scene.data.batch import SceneSample
from crosspoint.scene.data.sample import IGNORED, SceneDataset, SceneFrame, ScenePair
from crosspoint.scene.data.transforms import flip_cloud, rotate_cloud
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelConfig, collate


class LabeledFrames:
    """Frames of a dataset as clouds with a label at every point; images are left aside.

    Args:
        dataset: with classes and labels.
        voxels: how space is cut.
        every: how manieth frame of the dataset is kept, from the first on.
        augment: turn each cloud about z by any angle and mirror its x and its y, as the item's seed says.

    Raises:
        ValueError: if there is no frame, or the first one has no labels of these classes.
    """

    def __init__(self, dataset: SceneDataset, voxels: VoxelConfig, *, every: int = 1, augment: bool = False) -> None:
        self.dataset = dataset
        self.indices = range(0, len(dataset), every)
        self.voxels = voxels
        self.augment = augment
        if len(self) == 0:
            raise ValueError(f"found no frame in {dataset.name}, expected at least one: check the split and the folder")
        self.cloud(0)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: tuple[int, int]) -> SceneSample:
        """The frame of an (index, seed) pair."""
        index, seed = item
        pair = self.cloud(index)
        if self.augment:
            generator = Generator().manual_seed(seed)
            pair = flip_cloud(rotate_cloud(pair, generator), generator)
        return SceneSample.of(pair, self.voxels)

    def cloud(self, index: int) -> ScenePair:
        """A frame's points and labels as a pair without images.

        Raises:
            ValueError: if labels are absent, of another number than the points, or out of range.
        """
        frame = self.dataset[self.indices[index]]
        return ScenePair(
            points=torch.from_numpy(np.array(frame.points, dtype=np.float32)),
            images=torch.empty((0, 3, 1, 1), dtype=torch.uint8),
            pair_point=torch.empty(0, dtype=torch.int64),
            pair_view=torch.empty(0, dtype=torch.int64),
            pair_pixel=torch.empty(0, 2),
            labels=_labels(frame, len(self.dataset.classes)),
        )

    def fingerprint(self) -> np.ndarray:
        """Points and labels of the first and the last frame, (n, 5) float32, by which the data are known again."""
        clouds = [self.cloud(0), self.cloud(len(self) - 1)]
        return np.concatenate([torch.column_stack([cloud.points, cloud.labels]).numpy() for cloud in clouds])


class KeptFrames:
    """Frames in memory.

    Args:
        samples: one for each frame.
    """

    def __init__(self, samples: Sequence[SceneSample]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, item: tuple[int, int]) -> SceneSample:
        return self.samples[item[0]]


def encode_frames(encoder: nn.Module, frames: Examples, device: torch.device, *, progress: bool = False) -> KeptFrames:
    """Frames whose voxels carry the encoder's features, in memory: 4 bytes a feature, and 32 a point.

    Args:
        encoder: in evaluation mode here; its training flags and its device are as before afterwards.
        frames: as they are, without augmentation.
        device: where the passes run.
        progress: show a bar, where the output is a terminal.
    """
    console, kept = Console(stderr=True), []
    hidden = not (progress and console.is_terminal)
    with frozen(encoder, device), torch.no_grad():
        for number in track(range(len(frames)), "features", console=console, disable=hidden):
            sample = frames[number, 0]
            voxels = move_data_to_device(collate([sample.voxels]), device)
            features = encoder(SparseTensor.of(voxels))
            kept.append(sample._replace(voxels=sample.voxels._replace(features=features.cpu())))
    return KeptFrames(kept)


def label_step(fraction: float) -> int:
    """Every how manieth frame a share of the labels takes; raises ValueError if it is no whole number (to 5 %)."""
    step = round(1 / fraction) if 0 < fraction <= 1 else 0
    if step == 0 or abs(1 / fraction - step) > 0.05:
        raise ValueError(
            f"found a label fraction of {fraction}, expected one over a whole number: give 1, 0.5, 0.25, 0.1, 0.01, …"
        )
    return step


def _labels(frame: SceneFrame, classes: int) -> Tensor:
    if frame.labels is None:
        raise ValueError(f"found no labels in {frame.name}, expected one for each point: take a split that has them")
    labels = torch.from_numpy(np.array(frame.labels, dtype=np.int64))
    if labels.shape != (len(frame.points),):
        raise ValueError(
            f"found labels {tuple(labels.shape)} in {frame.name}, expected one for each of {len(frame.points)} points"
        )
    low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, 0)
    if low < IGNORED or high >= classes:
        raise ValueError(
            f"found labels {low}…{high} in {frame.name}, expected {IGNORED} for what is ignored and 0 to {classes - 1}"
        )
    return labels
