"""The base class of image encoders, built-in ones and a user's own."""

from __future__ import annotations

from torch import nn

from crosspoint.plugins import Recorded


class ImageBackbone(Recorded, nn.Module):
    """Network that describes images: the image branch of a method, or its teacher.

    A subclass sets `feature_dim` and defines what its method calls: CrossPoint calls `forward`, normalized images
    (B, 3, H, W) → (B, feature_dim). Arguments of the constructor must be plain values, as those of a point encoder.
    """

    feature_dim: int

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise ValueError if the network does not take images of a size (H, W); here, any is taken."""
