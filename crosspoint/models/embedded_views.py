"""The place of an image network whose embeddings of all views lie on disk already."""

from __future__ import annotations

from torch import Tensor

from crosspoint.models.image_backbone import ImageBackbone


class EmbeddedViews(ImageBackbone):
    """Image branch without a network, for a method that reads what `crosspoint embed-views` wrote.

    CrossPoint with this branch trains a head on the embeddings of a frozen teacher, and no image is decoded.

    Args:
        feature_dim: numbers of an embedding, as the teacher gives them.

    Raises:
        ValueError: if there are none.
    """

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        if feature_dim < 1:
            raise ValueError(f"found feature_dim {feature_dim}, expected 1 or more: as many as an embedding has")
        self.feature_dim = feature_dim

    def forward(self, embeddings: Tensor) -> Tensor:
        """The embeddings (B, feature_dim) as they are."""
        return embeddings
