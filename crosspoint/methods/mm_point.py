"""MM-Point: contrast a cloud with several of its views at once, each in a space of its own.

Yu and Song, MM-Point: Multi-View Information-Enhanced Multi-Modal Self-Supervised 3D Point Cloud Understanding, AAAI
2024, https://arxiv.org/abs/2402.10002. Its training code is not public. What the abstract and reviews name is here: two
augmentations of a cloud contrasted with each other, the cloud contrasted with V views at the same time, heads of their
own for each of them (Multi-MLP), and views that are augmented more and more strongly (Multi-level Augmentation).
Details that they leave open are CrossPoint's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from crosspoint.datasets.pairs import ObjectPair, PairDataset
from crosspoint.losses import nt_xent
from crosspoint.methods.crosspoint import CrossPoint
from crosspoint.methods.object_method import ObjectMethod
from crosspoint.models.image_backbone import ImageBackbone
from crosspoint.models.point_encoder import PointEncoder, feature_dim
from crosspoint.models.projection_heads import PROJECTION, cloud_head, image_head
from crosspoint.ops.precision import full_precision
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.ranges import CHANNELS, TEMPERATURE, VIEWS, in_range
from crosspoint.transforms import CloudAugmentation, ImageAugmentation

IMAGES = ImageAugmentation(crop=(0.4, 1.0))


class MMPoint(ObjectMethod):
    """MM-Point: `encoder` is what users keep, the rest serves training.

    L = w₁ NTXent(z₁, z₂) + w₂ / V Σᵥ NTXent((zᵥ₁ + zᵥ₂) / 2, iᵥ), with the projections z of a cloud's two
    augmentations, theirs zᵥ in the space of view v, and the projection iᵥ of the view.

    Args:
        encoder: maps clouds (B, N, 3) to features (B, encoder.feature_dim).
        image_encoder: maps images (B, 3, H, W) to (B, image_encoder.feature_dim); one for all views.
        views: number of views of each object and step, V; the dataset gives as many
        projection: dimensions in which the losses compare
        temperature: number that divides the cosines in all losses
        intra_weight: weight of the loss between two augmentations of a cloud
        cross_weight: weight of the mean of the losses between clouds and views
        clouds: augmentation of clouds
        images: augmentation of the last view; view v of V has v / V of its crop and color jitter

    Raises:
        ValueError: if a number is out of range, there is no image encoder, or an encoder has no feature_dim.
    """

    recipe: ClassVar[JsonObject] = CrossPoint.recipe

    def __init__(
        self,
        encoder: PointEncoder,
        image_encoder: ImageBackbone | None,
        *,
        views: int = 4,
        projection: int = PROJECTION,
        temperature: float = 0.1,
        intra_weight: float = 1.0,
        cross_weight: float = 1.0,
        clouds: CloudAugmentation = CloudAugmentation(),  # noqa: B008 # frozen: one instance serves all
        images: ImageAugmentation = IMAGES,
    ) -> None:
        super().__init__()
        in_range("views", views, *VIEWS)
        in_range("projection", projection, *CHANNELS)
        in_range("temperature", temperature, *TEMPERATURE)
        for name, weight, least in (("intra_weight", intra_weight, 0.0), ("cross_weight", cross_weight, 1e-12)):
            in_range(name, weight, least, 1e6)
        if image_encoder is None:
            raise ValueError(
                "found no image encoder for MM-Point, expected one: take crosspoint to learn from clouds alone"
            )
        self.encoder = encoder
        self.image_encoder = image_encoder.to(memory_format=torch.channels_last)
        self.head = cloud_head(feature_dim(encoder), projection)
        self.view_heads = nn.ModuleList(cloud_head(feature_dim(encoder), projection) for _ in range(views))
        self.image_heads = nn.ModuleList(image_head(feature_dim(image_encoder), projection) for _ in range(views))
        self.views, self.temperature = views, temperature
        self.intra_weight, self.cross_weight = intra_weight, cross_weight
        self.clouds = clouds
        self.levels = [level(images, (view + 1) / views) for view in range(views)]

    def training_samples(self, dataset: Any, *, prepare: bool = True) -> PairDataset:
        """The pairs as they are.

        Raises:
            ValueError: if they are no pairs, or have another number of views than the method.
        """
        pairs = super().training_samples(dataset, prepare=prepare)
        found = getattr(dataset, "views", self.views) if dataset.has_views else 0
        if found != self.views:
            raise ValueError(
                f"found {found} views of each object in {type(dataset).__name__}, expected {self.views}, as "
                "method.views says: set data.dataset.views and method.views alike"
            )
        return pairs

    def points_per_cloud(self, dataset: PairDataset) -> int:
        """Those that the augmentation leaves."""
        return self.clouds.points or super().points_per_cloud(dataset)

    def training_step(self, batch: ObjectPair, generator: Generator) -> dict[str, Tensor]:
        """One batch of pairs → "loss" and its parts "intra" and "cross", all scalars.

        Args:
            batch: points (B, N, 3), images (B, V, 3, H, W) uint8.
            generator: on the device of the batch; augmentations draw from it alone.

        Raises:
            ValueError: if there are other than V images.
        """
        features = self.describe_twice(batch.points, generator)
        images = self.describe_views(batch.images, generator)
        z1, z2 = full_precision(self.head(features)).chunk(2)
        intra = nt_xent(z1, z2, temperature=self.temperature)
        losses = []
        for view_head, head, seen in zip(self.view_heads, self.image_heads, images, strict=True):
            one, two = full_precision(view_head(features)).chunk(2)
            losses.append(nt_xent((one + two) / 2, full_precision(head(seen)), temperature=self.temperature))
        cross = torch.stack(losses).mean()
        return {"loss": self.intra_weight * intra + self.cross_weight * cross, "intra": intra, "cross": cross}

    def describe_twice(self, points: Tensor, generator: Generator) -> Tensor:
        """points (B, N, 3) → features of two augmentations (2B, encoder.feature_dim), in one pass."""
        with torch.autocast(points.device.type, enabled=False):  # half precision would round the coordinates
            both = torch.cat([self.clouds(points, generator, self.encoder.fields) for _ in range(2)])
        features: Tensor = self.encoder(both)
        return features

    def describe_views(self, images: Tensor, generator: Generator) -> Tensor:
        """images (B, V, 3, H, W) uint8 → (V, B, image_encoder.feature_dim), each view at its level, in one pass."""
        if images.shape[1] != self.views:
            raise ValueError(f"found {images.shape[1]} views, expected {self.views}: set data.dataset.views to as many")
        assert self.image_encoder is not None
        with torch.autocast(images.device.type, enabled=False):
            augmented = [augment(images[:, view], generator) for view, augment in enumerate(self.levels)]
        stacked = torch.cat(augmented).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.image_encoder(stacked)
        return features.view(self.views, len(images), -1)


def level(images: ImageAugmentation, share: float) -> ImageAugmentation:
    """An augmentation with a share of another one's crop and color jitter.

    Args:
        images: the whole one.
        share: from 0, which neither crops nor jitters, to 1.
    """
    crop = None
    if images.crop is not None:
        low, high = (1 - share * (1 - limit) for limit in images.crop)
        crop = low, high
    return replace(images, crop=crop, jitter=share * images.jitter)
