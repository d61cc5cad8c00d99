"""Frames of a dataset as training samples: paired, given superpixels, augmented, voxelized."""

from __future__ import annotations

from torch import Generator
from torch.utils.data import Dataset

from crosspoint.scene.data.batch import SceneSample
from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.data.sample import SceneDataset
from crosspoint.scene.data.superpixels import SuperpixelCache
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.ops.voxels import VoxelConfig


class SceneTrainingSet(Dataset[SceneSample]):
    """Indexed by (index, seed): all that an access draws depends on these two numbers alone.

    Args:
        dataset: the frames.
        augmentation: of cloud and images.
        voxels: how the augmented cloud is cut.
        min_depth: meters before a camera that a paired point exceeds.
        occlusion: meters; see `pair_points`.
        regions: finds the superpixels of images; None where no method asks for them.
    """

    def __init__(
        self,
        dataset: SceneDataset,
        augmentation: SceneAugmentation,
        voxels: VoxelConfig,
        *,
        min_depth: float = 1.0,
        occlusion: float | None = None,
        regions: SuperpixelCache | None = None,
    ) -> None:
        self.dataset = dataset
        self.augmentation = augmentation
        self.voxels = voxels
        self.min_depth = min_depth
        self.occlusion = occlusion
        self.regions = regions

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, item: tuple[int, int]) -> SceneSample:
        index, seed = item
        pair = pair_points(self.dataset[index], min_depth=self.min_depth, occlusion=self.occlusion)
        if self.regions is not None:
            pair = self.regions.add_to(pair)
        return SceneSample.of(self.augmentation(pair, Generator().manual_seed(seed)), self.voxels)
