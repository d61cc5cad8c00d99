"""Frames of a dataset as training samples: paired, given superpixels, augmented."""

from __future__ import annotations

from torch import Generator
from torch.utils.data import Dataset

from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.data.superpixels import SuperpixelCache
from crosspoint.scene.data.transforms import SceneAugmentation, draw_views


class SceneTrainingSet(Dataset[LidarSample]):
    """Indexed by (index, seed): all that an access draws depends on these two numbers alone.

    Args:
        dataset: the frames.
        augmentation: of cloud and images.
        min_depth: meters before a camera that a paired point exceeds.
        occlusion: meters; see `pair_points`.
        views_per_step: images that are drawn of each frame at each access; None takes all.
        superpixels: finds the superpixels of images whose frame brings none; None where no method asks for them.
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
    ) -> None:
        self.dataset = dataset
        self.augmentation = augmentation
        self.min_depth = min_depth
        self.occlusion = occlusion
        self.views_per_step = views_per_step
        self.superpixels = superpixels

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, item: tuple[int, int]) -> LidarSample:
        index, seed = item
        generator = Generator().manual_seed(seed)
        sample = pair_points(self.dataset[index], min_depth=self.min_depth, occlusion=self.occlusion)
        if self.views_per_step is not None:
            sample = draw_views(sample, generator, self.views_per_step)
        if self.superpixels is not None:  # of the images before any augmentation, which makes images of its own
            sample = self.superpixels.add_to(sample)
        return self.augmentation(sample, generator)
