"""The place of an image network whose embeddings of all views lie on disk already."""

from __future__ import annotations

from torch import Tensor

from crosspoint.models.image_backbone import ImageBackbone
from crosspoint.renderers.ranges import CHANNELS, in_range


class EmbeddedViews(ImageBackbone):
    """Image branch without a network, for a method that reads what `crosspoint embed-views` wrote.

    CrossPoint with this branch trains a head on the embeddings of a frozen teacher, and no image is decoded.

    Args:
        feature_dim: numbers of an embedding, as the teacher gives them.

    Raises:
        ValueError: if the number is out of range.
    """

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        in_range("feature_dim", feature_dim, *CHANNELS)
        self.feature_dim = feature_dim

    def forward(self, embeddings: Tensor) -> Tensor:
        """The embeddings (B, feature_dim) as they are."""
        return embeddings
