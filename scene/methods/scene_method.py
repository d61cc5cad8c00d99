"""The base class of methods that learn from LiDAR frames with images, built-in ones and a user's own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import nn

from crosspoint.methods.method import Method
from crosspoint.models.image_backbone import ImageBackbone
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.scene.data.batch import LidarBatch, stack_samples
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.data.superpixels import SuperpixelCache, compute_superpixels
from crosspoint.scene.data.training_set import SceneTrainingSet
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.datasets.validate import check_scenes

log = logging.getLogger(__name__)

AUGMENTATION = SceneAugmentation()


class SceneMethod(Method):
    """Method of scenes: from frames of a dataset to batches of augmented points with their pixels.

    A subclass takes `encoder`, `image_encoder` and its settings, these four among them, and defines `training_step` and
    `inputs`. A method whose `needs` hold "superpixels" sets `superpixels` in its constructor. One whose encoder
    takes voxels extends `VoxelMethod`.

    Args:
        encoder: what users keep.
        image_encoder: the image branch or teacher.
        augmentation: of clouds and images.
        min_depth: meters before a camera that a paired point exceeds.
        occlusion: meters by which nearer points hide others; None pairs hidden points too, as the public codes do.
        views_per_step: images that are drawn of each frame at each step; None takes all of them.

    Attributes:
        superpixels: finds and keeps the superpixels of images.

    Raises:
        ValueError: if a setting is out of range.
    """

    superpixels: SuperpixelCache | None = None
    health_samples: ClassVar[int] = 4

    def __init__(
        self,
        encoder: PointEncoder,
        image_encoder: nn.Module | None,
        *,
        augmentation: SceneAugmentation = AUGMENTATION,
        min_depth: float = 1.0,
        occlusion: float | None = None,
        views_per_step: int | None = None,
    ) -> None:
        super().__init__()
        if views_per_step is not None and views_per_step < 1:
            raise ValueError(f"found views_per_step {views_per_step}, expected 1 or more, or null for all images")
        if min_depth < 0 or (occlusion is not None and occlusion < 0):
            raise ValueError(f"found min_depth {min_depth} and occlusion {occlusion}, expected none below 0")
        if isinstance(image_encoder, ImageBackbone):
            image_encoder.check_size(augmentation.size)
        if getattr(image_encoder, "cache", None) is not None and augmentation.crop is not None:
            raise ValueError(
                "found image_encoder.cache and a random crop of images, expected images that come again: set "
                "method.augmentation.crop to null, or leave the cache out"
            )
        self.encoder = encoder
        self.image_encoder = image_encoder
        self.augmentation = augmentation
        self.min_depth = min_depth
        self.occlusion = occlusion
        self.views_per_step = views_per_step

    def training_samples(self, dataset: Any, *, prepare: bool = True) -> SceneTrainingSet:
        """The frames as augmented samples with pairs, indexed by (index, seed).

        Args:
            dataset: a `LidarDataset` with images.
            prepare: find the superpixels of all images, if the method needs them and the dataset does not bring them,
                and keep them on disk.

        Raises:
            FileNotFoundError: if files of the dataset are missing.
            ValueError: if it is no `LidarDataset`, or has frames that cannot be used.
        """
        if not isinstance(dataset, LidarDataset):
            raise ValueError(
                f"found a dataset {type(dataset).__name__}, expected LiDAR frames for {type(self).__name__}: "
                "take a dataset of scenes, or extend LidarDataset"
            )
        check_scenes(dataset)
        superpixels = self.superpixels if "superpixels" in self.needs - dataset.map_names else None
        if superpixels is not None and prepare:
            log.info("superpixels of %d frames → %s", len(dataset), superpixels.folder)
            if dataset.skip_incomplete:
                dataset.leave_out_unreadable()  # they have no superpixels
            compute_superpixels(dataset, superpixels)
        return SceneTrainingSet(
            dataset,
            self.augmentation,
            min_depth=self.min_depth,
            occlusion=self.occlusion,
            views_per_step=self.views_per_step,
            superpixels=superpixels,
            weak_labels="weak_labels" in self.needs,
        )

    def collate(self, samples: Sequence[LidarSample]) -> LidarBatch:
        """Samples → a batch without voxels."""
        return stack_samples(samples)
