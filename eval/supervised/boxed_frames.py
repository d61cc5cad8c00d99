"""Frames with boxes, whose batches carry voxels: what detection is trained on and measured with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Generator

from crosspoint.scene.data.batch import LidarBatch, stack_samples, within_extent
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import Boxes, LidarSample
from crosspoint.scene.detection.box_augmentation import BoxAugmentation
from crosspoint.scene.detection.object_sampling import ObjectBank, ObjectSampling, paste_objects
from crosspoint.scene.ops.voxels import VoxelConfig


class BoxedFrames:
    """Frames of a dataset as clouds with boxes; images are left aside.

    Args:
        dataset: with boxes.
        voxels: how space is cut, with an extent; boxes whose center lies outside of it are left out.
        every: keep one of n frames, as `LidarDataset.thinned` chooses them.
        augmentation: of each frame, as the item's seed says; None changes nothing.
        sampling: objects of these frames pasted into each other; None for none.

    Raises:
        ValueError: if there is no frame, the dataset has no boxes, or the first frame's cannot be used.
    """

    def __init__(
        self,
        dataset: LidarDataset,
        voxels: VoxelConfig,
        *,
        every: int = 1,
        augmentation: BoxAugmentation | None = None,
        sampling: ObjectSampling | None = None,
    ) -> None:
        if not dataset.box_classes:
            raise ValueError(f"found no boxes in {dataset.name}, expected a dataset that has them, with box_classes")
        self.dataset = dataset
        self.indices = dataset.thinned(every)
        self.voxels = voxels
        self.augmentation = augmentation
        self._bank: tuple[ObjectBank, list[int]] | None = None
        if len(self) == 0:
            raise ValueError(f"found no frame in {dataset.name}, expected at least one: check the split and the folder")
        self.cloud(0)
        if sampling is not None:
            counts = sampling.of(dataset.box_classes)
            self._bank = ObjectBank(self.clouds(), len(dataset.box_classes), sampling.least_points), counts

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: tuple[int, int]) -> LidarSample:
        """The frame of an (index, seed) pair."""
        index, seed = item
        sample, generator = self.cloud(index), Generator().manual_seed(seed)
        if self._bank is not None:
            sample = paste_objects(sample, *self._bank, generator)
        if self.augmentation is not None:
            sample = self.augmentation(sample, generator)
        return centered_within(within_extent(sample, self.voxels), self.voxels)

    def collate(self, samples: Sequence[LidarSample]) -> LidarBatch:
        """Frames → a batch with voxels and boxes."""
        return stack_samples(samples, self.voxels)

    def cloud(self, index: int) -> LidarSample:
        """A frame as it is, without its images.

        Raises:
            ValueError: if it has no boxes, or some that cannot be used.
        """
        frame = self.dataset[self.indices[index]]
        boxes = checked_boxes(frame, self.dataset.box_classes)
        return LidarSample(frame.name, frame.points, frame.point_fields, boxes=boxes)

    def clouds(self) -> Iterator[LidarSample]:
        """All frames as they are."""
        return (self.cloud(index) for index in range(len(self)))

    def boxes(self) -> list[Boxes]:
        """Of every frame those whose center lies in the extent."""
        found = [centered_within(cloud, self.voxels).boxes for cloud in self.clouds()]
        return [boxes for boxes in found if boxes is not None]

    def fingerprint(self) -> np.ndarray:
        """Points and boxes of the first and the last frame, one column, by which the data are known again."""
        parts = []
        for index in (0, len(self) - 1):
            cloud = self.cloud(index)
            assert cloud.boxes is not None
            boxes = [part.flatten().float().nan_to_num() for part in cloud.boxes if part is not None]
            parts += [cloud.points_with("intensity").flatten(), *boxes]
        return torch.cat(parts).numpy()[:, None]


def centered_within(sample: LidarSample, voxels: VoxelConfig) -> LidarSample:
    """The sample with those boxes alone whose center lies in the extent of the voxels."""
    assert sample.boxes is not None
    kept = sample.boxes.keep(voxels.inside(sample.boxes.geometry))
    return LidarSample(sample.name, sample.points, sample.point_fields, boxes=kept)


def checked_boxes(frame: LidarSample, names: Sequence[str]) -> Boxes:
    """The boxes of a frame.

    Raises:
        ValueError: if it has none, or one of a negative size, not finite, or of a class without a name, or velocities
            of another shape or infinite.
    """
    boxes = frame.boxes
    if boxes is None:
        raise ValueError(f"found no boxes in {frame.name}, expected them: take a split that has them")
    if boxes.geometry.ndim != 2 or boxes.geometry.shape[1] != 7 or len(boxes.labels) != len(boxes.geometry):
        raise ValueError(
            f"found boxes of shapes {tuple(boxes.geometry.shape)} and {tuple(boxes.labels.shape)} in {frame.name}, "
            "expected (n, 7) and (n,)"
        )
    broken = ~boxes.geometry.isfinite().all(dim=1)
    if bool(broken.any()):
        raise ValueError(
            f"found {int(broken.sum())} of {len(broken)} boxes of {frame.name} with NaN or infinite numbers, expected "
            "finite ones: correct its file"
        )
    speed = boxes.velocities
    if speed is not None and (speed.shape != (len(boxes.labels), 2) or bool(speed.isinf().any())):
        raise ValueError(
            f"found velocities of shape {tuple(speed.shape)}, {int(speed.isinf().sum())} numbers infinite, in "
            f"{frame.name}, expected ({len(boxes.labels)}, 2), m/s or NaN: correct its file"
        )
    if len(boxes.geometry) and float(boxes.geometry[:, 3:6].min()) < 0:
        raise ValueError(f"found a box of a negative size in {frame.name}, expected meters from 0: correct its file")
    unknown = [label for label in boxes.labels.tolist() if not 0 <= label < len(names)]
    if unknown:
        raise ValueError(
            f"found a box of the class number {unknown[0]} in {frame.name}, expected 0 to {len(names) - 1}, one of "
            f"{', '.join(names)}"
        )
    return boxes
