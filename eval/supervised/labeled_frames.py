"""Labeled frames, whose batches carry voxels: what segmentation is trained on and measured with."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from rich.console import Console
from rich.progress import track
from torch import Generator, nn

from crosspoint.eval.features import frozen
from crosspoint.eval.supervised.trainer import Examples
from crosspoint.scene.data.batch import LidarBatch, stack_samples, voxelize_sample
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import IGNORED, LidarSample
from crosspoint.scene.data.transforms import flip_cloud, rotate_cloud
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelConfig, Voxels, collate

log = logging.getLogger("crosspoint")

Answer = TypeVar("Answer")


class VoxelExamples(Examples, Protocol):
    """Examples that say how they become a batch with voxels."""

    def collate(self, samples: Sequence[Any]) -> LidarBatch:
        """Examples → a batch with voxels and labels."""
        ...


class LabeledFrames:
    """Frames of a dataset as clouds with a label at every point; images are left aside.

    Args:
        dataset: with classes and labels.
        voxels: how space is cut.
        every: keep one of n frames, as `LidarDataset.thinned` chooses them: every n-th, of nuScenes every n-th scene's.
        augment: turn each cloud about z by any angle and mirror its x and its y, as the item's seed says.

    Raises:
        ValueError: if there is no frame, or the first one has no labels of these classes.
    """

    def __init__(self, dataset: LidarDataset, voxels: VoxelConfig, *, every: int = 1, augment: bool = False) -> None:
        self.dataset = dataset
        self.indices = dataset.thinned(every)
        self.voxels = voxels
        self.augment = augment
        if len(self) == 0:
            raise ValueError(f"found no frame in {dataset.name}, expected at least one: check the split and the folder")
        self.cloud(0)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: tuple[int, int]) -> LidarSample:
        """The frame of an (index, seed) pair."""
        index, seed = item
        sample = self.cloud(index)
        if self.augment:
            generator = Generator().manual_seed(seed)
            sample = flip_cloud(rotate_cloud(sample, generator), generator)
        return sample

    def collate(self, samples: Sequence[LidarSample]) -> LidarBatch:
        """Frames → a batch with voxels and labels."""
        return stack_samples(samples, self.voxels)

    def cloud(self, index: int) -> LidarSample:
        """A frame without its images.

        Raises:
            ValueError: if labels are absent or out of range.
        """
        frame = self.dataset[self.indices[index]]
        _check_labels(frame, len(self.dataset.classes))
        return LidarSample(frame.name, frame.points, frame.point_fields)

    def fingerprint(self) -> np.ndarray:
        """Points and labels of the first and the last frame, (n, 5) float32, by which the data are known again."""
        clouds = [self.cloud(0), self.cloud(len(self) - 1)]
        return torch.cat([cloud.points_with("intensity", "label") for cloud in clouds]).numpy()


class EncodedFrames:
    """Frames whose voxels carry an encoder's features: those that fit are kept, the others encoded at every access.

    A frame is encoded by itself, so its features are the same however many are kept.

    Args:
        encoder: in evaluation mode here; its training flags are as before afterwards. It stays on `device` where frames
            are left to encode.
        frames: as they are, without augmentation.
        device: where the passes run.
        keep: bytes that may be kept: 4 for each feature, and 28 for each point.
        progress: show a bar, where the output is a terminal.
    """

    def __init__(
        self, encoder: nn.Module, frames: LabeledFrames, device: torch.device, *, keep: int, progress: bool = False
    ) -> None:
        self.encoder, self.frames, self.device = encoder, frames, device
        self.kept: list[tuple[LidarSample, Voxels]] = []  # of the first frames
        console, left = Console(stderr=True), keep
        hidden = not (progress and console.is_terminal)
        for number in track(range(len(frames)), "features", console=console, disable=hidden):
            frame = self.encode(number)
            left -= _bytes(frame)
            if left < 0:
                told = "kept the features of %d of %d frames of %s in %.3g GB; the others are computed at every epoch"
                log.info(told, number, len(frames), frames.dataset.name, keep / 1e9)
                encoder.to(device)  # once, and not at every access
                break
            self.kept.append(frame)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, item: tuple[int, int]) -> tuple[LidarSample, Voxels]:
        index, _ = item
        return self.kept[index] if index < len(self.kept) else self.encode(index)

    def encode(self, index: int) -> tuple[LidarSample, Voxels]:
        """A frame with its labels alone, and its voxels with features."""
        sample = self.frames[index, 0]
        voxels = voxelize_sample(sample, self.frames.voxels)
        with frozen(self.encoder, self.device), torch.no_grad():
            features = self.encoder(SparseTensor.of(move_data_to_device(collate([voxels]), self.device)))
        labels = {"label": sample.point_fields["label"]}
        return LidarSample(sample.name, sample.points, labels), voxels._replace(features=features.cpu())

    def collate(self, samples: Sequence[tuple[LidarSample, Voxels]]) -> LidarBatch:
        """Frames → a batch with their voxels and labels."""
        return stack_samples([sample for sample, _ in samples], [voxels for _, voxels in samples])


def _bytes(frame: tuple[LidarSample, Voxels]) -> int:
    sample, voxels = frame
    tensors = [sample.points, *sample.point_fields.values(), *voxels]
    return sum(tensor.element_size() * tensor.nelement() for tensor in tensors if isinstance(tensor, torch.Tensor))


def in_dataset_order(answers: Sequence[Answer], indices: Sequence[int]) -> list[Answer]:
    """Answers on the frames of these indices, as files of answers have them: in the order of the dataset.

    A dataset may take shares of its frames, and so all of them, in another one.
    """
    return [answers[place] for place in np.argsort(np.asarray(indices), kind="stable")]


def label_step(fraction: float) -> int:
    """The n of every n-th frame that a share of the labels takes; ValueError if 1 / n is not that share (to 5 %)."""
    step = round(1 / fraction) if 0 < fraction <= 1 else 0
    if step == 0 or abs(1 / fraction - step) > 0.05:
        raise ValueError(
            f"found a label fraction of {fraction}, expected one over a whole number: give 1, 0.5, 0.25, 0.1, 0.01, …"
        )
    return step


def _check_labels(frame: LidarSample, classes: int) -> None:
    labels = frame.point_fields.get("label")
    if labels is None:
        raise ValueError(f"found no labels in {frame.name}, expected one for each point: take a split that has them")
    low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, 0)
    if low < IGNORED or high >= classes:
        raise ValueError(
            f"found labels {low}…{high} in {frame.name}, expected {IGNORED} for what is ignored and 0 to {classes - 1}"
        )
