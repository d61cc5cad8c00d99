"""The base class of methods that learn from pairs of clouds and views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from crosspoint.checkpoints.record import Inputs
from crosspoint.datasets.finite import FinitePairs
from crosspoint.datasets.pairs import ObjectPair, PairDataset, stack_pairs
from crosspoint.methods.method import Method

WATCHED_POINTS = 512


class ObjectMethod(Method):
    """Method on `ObjectPair`: a subclass needs its constructor and `training_step` alone.

    A batch is an `ObjectPair` whose fields are stacked: points (B, N, 3), images (B, V, 3, H, W) uint8, label (B,).
    """

    default_encoder: ClassVar[str] = "dgcnn"
    default_image_encoder: ClassVar[str | None] = "resnet"
    min_batch: ClassVar[int] = 2  # objects are compared with each other

    def training_samples(self, dataset: Any, *, prepare: bool = True) -> PairDataset:
        """The pairs as they are, each cloud checked: augmentation happens on the device, with the batch.

        Raises:
            ValueError: if they are no pairs of clouds and views.
        """
        if not isinstance(dataset, PairDataset):
            raise ValueError(
                f"found a {type(dataset).__name__} for {type(self).__name__}, expected pairs of clouds and views: "
                "take data.dataset rendered, shapenet, or a class that extends PairDataset"
            )
        return FinitePairs(dataset)

    def collate(self, samples: Sequence[ObjectPair]) -> ObjectPair:
        """Pairs → a batch."""
        return stack_pairs(samples)

    def describe(self, batch: ObjectPair) -> Tensor:
        """The encoder's features of 512 points of each cloud (B, encoder.feature_dim); more would cost time."""
        features: Tensor = self.encoder(batch.points[:, :WATCHED_POINTS])
        return features

    def inputs(self, dataset: PairDataset) -> Inputs:
        """Clouds in the unit sphere, with the points of the first one."""
        return Inputs(points=self.points_per_cloud(dataset), k=self.encoder.neighbors)

    def points_per_cloud(self, dataset: PairDataset) -> int:
        """Points that the encoder sees of a cloud."""
        return len(dataset.read_points(0))

    def labels(self, dataset: PairDataset) -> np.ndarray:
        """Class of each pair (n,) int64, -1 where unknown."""
        return dataset.labels

    def networks_to_compile(self) -> list[nn.Module]:
        """The point encoder, and the image encoder where there is one."""
        return [network for network in (self.encoder, self.image_encoder) if network is not None]
