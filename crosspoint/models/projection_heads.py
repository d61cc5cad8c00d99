"""Projection heads: two-layer perceptrons between features and the contrastive loss, thrown away after pre-training."""

from __future__ import annotations

from torch import nn

PROJECTION = 256  # dimensions in which the losses compare


def cloud_head(features: int, projection: int = PROJECTION) -> nn.Sequential:
    """(B, features) → (B, projection) for point encoders; 2,362,624 parameters on DGCNN's 2,048 features.

    The hidden layer has 1,024 units, or as many as there are features if these are fewer (as CrossPoint's heads do
    for DGCNN and for its part-segmentation variant).
    """
    hidden = min(features, 1024)
    return nn.Sequential(
        nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, projection)
    )


def image_head(features: int, projection: int = PROJECTION, hidden: int = 512) -> nn.Sequential:
    """(B, features) → (B, projection) for image encoders; 1,180,672 parameters on ResNet-50's 2,048 features."""
    return nn.Sequential(
        nn.Linear(features, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, projection, bias=False),
    )
