"""Frames of a dataset as training samples: paired, given superpixels, augmented."""

from __future__ import annotations

import logging
from dataclasses import replace

from torch import Generator
from torch.utils.data import Dataset

from crosspoint.datasets.finite import check_finite
from crosspoint.renderers.system_faults import is_system_fault
from crosspoint.scene.data.correspondences import label_pairs, pair_points
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.data.superpixels import SuperpixelCache
from crosspoint.scene.data.transforms import SceneAugmentation, draw_views

log = logging.getLogger("crosspoint")

TRIES = 100  # frames in a row that may be left out before something else is wrong


class SceneTrainingSet(Dataset[LidarSample]):
    """Indexed by (index, seed): all that an access draws depends on these two numbers alone.

    Args:
        dataset: the frames.
        augmentation: of cloud and images.
        min_depth: meters before a camera that a paired point exceeds.
        occlusion: meters; see `pair_points`.
        views_per_step: images that are drawn of each frame at each access; None takes all.
        superpixels: finds the superpixels of images whose frame brings none; None where no method asks for them.
        weak_labels: give each pair the weak label of its pixel, from the frames' pixel map; maps of classes that no
            method asks for are dropped.
    """

    def __init__(
        self,
        dataset: LidarDataset,
        augmentation: SceneAugmentation,
        *,
        min_depth: float = 1.0,
        occlusion: float | None = None,
        views_per_step: int | None = None,
        superpixels: SuperpixelCache | None = None,
        weak_labels: bool = False,
    ) -> None:
        self.dataset = dataset
        self.augmentation = augmentation
        self.min_depth = min_depth
        self.occlusion = occlusion
        self.views_per_step = views_per_step
        self.superpixels = superpixels
        self.weak_labels = weak_labels

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, item: tuple[int, int]) -> LidarSample:
        index, seed = item
        if not self.dataset.skip_incomplete:
            return self._sample(index, seed)
        for step in range(min(TRIES, len(self))):  # the next frames stand in for one that cannot be used
            try:
                return self._sample((index + step) % len(self), seed)
            except (ValueError, OSError) as error:
                if is_system_fault(error):
                    raise
                log.warning("%s: left out frame %d: %s", self.dataset.name, (index + step) % len(self), error)
        raise ValueError(
            f"found {min(TRIES, len(self))} frames in a row of {self.dataset.name} that cannot be used, from number "
            f"{index} on, expected fewer: look at the warnings above"
        )

    def _sample(self, index: int, seed: int) -> LidarSample:
        generator = Generator().manual_seed(seed)
        frame = self.dataset[index]
        check_finite(frame.points, f"points of the frame {frame.name}")
        if "intensity" in frame.point_fields:
            check_finite(frame.point_fields["intensity"], f"intensities of the frame {frame.name}")
        sample = pair_points(frame, min_depth=self.min_depth, occlusion=self.occlusion)
        if self.weak_labels:
            sample = label_pairs(sample, "weak_labels", "weak_label")
        sample = drop_map(sample, "weak_labels")  # pairs have it now, and no augmentation need carry it
        if self.views_per_step is not None:
            sample = draw_views(sample, generator, self.views_per_step)
        if self.superpixels is not None:  # of the images before any augmentation, which makes images of its own
            sample = self.superpixels.add_to(sample)
        return self.augmentation(sample, generator)


def drop_map(sample: LidarSample, name: str) -> LidarSample:
    """The sample without a pixel map."""
    return replace(sample, pixel_maps={key: values for key, values in sample.pixel_maps.items() if key != name})
