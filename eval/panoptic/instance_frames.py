"""Labeled frames whose points have objects, too, and which of their classes have some."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from crosspoint.eval.supervised.labeled_frames import LabeledFrames
from crosspoint.renderers.files import short
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample


class InstanceFrames(LabeledFrames):
    """Frames of a dataset as clouds with a label and the number of an object at every point.

    Args:
        dataset: with classes, labels and instances.
        voxels: how space is cut.
        every: keep one of n frames, as `LidarDataset.thinned` chooses them.
        augment: turn each cloud about z by any angle and mirror its x and its y; its objects stay what they are.

    Raises:
        ValueError: if there is no frame, or the first one has no labels of these classes, or no instances.
    """

    def cloud(self, index: int) -> LidarSample:
        """A frame with intensity, label and instance alone.

        Raises:
            ValueError: if labels are absent or out of range, or instances are absent or negative.
        """
        frame = super().cloud(index)
        objects = frame.point_fields.get("instance")
        if objects is None:
            raise ValueError(
                f"found no objects in {frame.name}, expected the number of one at each point: take a dataset with "
                "instances, such as semantickitti, nuscenes_panoptic or folder"
            )
        if len(objects) and int(objects.min()) < 0:
            raise ValueError(
                f"found the object {int(objects.min())} in {frame.name}, expected 0 for none and numbers from 1 on"
            )
        kept = {name: frame.point_fields[name] for name in ("intensity", "label", "instance")}
        return LidarSample(frame.name, frame.points, kept)

    def fingerprint(self) -> np.ndarray:
        """Points, labels and objects of the first and the last frame, (n, 6) float32."""
        clouds = [self.cloud(0), self.cloud(len(self) - 1)]
        return torch.cat([cloud.points_with("intensity", "label", "instance") for cloud in clouds]).numpy()

    def check_objects(self, things: Tensor) -> None:
        """Refuse frames of which none has an object of the classes `things` (K,) bool; reads until one has.

        Raises:
            ValueError: if all are without.
        """
        for index in range(len(self)):
            fields = self.cloud(index).point_fields
            labels, objects = fields["label"], fields["instance"]
            if bool((things[labels.clamp(min=0)] & (labels >= 0) & (objects > 0)).any()):
                return
        names = [name for name, thing in zip(self.dataset.classes, things.tolist(), strict=True) if thing]
        raise ValueError(
            f"found no object of {', '.join(names)} in {len(self)} frames of {self.dataset.name}, expected at least "
            "one: take more frames, or name other classes with things"
        )


def thing_classes(dataset: LidarDataset, things: Sequence[str] | None) -> Tensor:
    """Which classes of a dataset have objects: (K,) bool.

    Args:
        dataset: with classes.
        things: their names; None for those that the dataset names.

    Raises:
        ValueError: if there is none, or a name is no class.
    """
    names = dataset.things if things is None else things
    unknown = [name for name in names if name not in dataset.classes]
    if unknown:
        raise ValueError(
            f"found the class {unknown[0]!r} among things, expected some of {short(list(dataset.classes))}, the "
            f"classes of {dataset.name}"
        )
    if not names:
        raise ValueError(
            f"found no class of {dataset.name} that has objects, expected at least one: take a dataset with "
            "instances, or name the classes with things"
        )
    return torch.tensor([name in names for name in dataset.classes])
