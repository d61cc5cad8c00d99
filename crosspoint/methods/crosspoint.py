"""CrossPoint: contrast two augmentations of a cloud with each other, and their mean with views of the same object.

Afham et al., CrossPoint: Self-Supervised Cross-Modal Contrastive Learning for 3D Point Cloud Understanding, CVPR 2022,
https://arxiv.org/abs/2203.00680.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from crosspoint.datasets.embedded.pairs import EmbeddedPair, EmbeddedPairs, check_embeddings, stack_embedded
from crosspoint.datasets.pairs import ObjectPair, PairDataset
from crosspoint.losses import nt_xent
from crosspoint.methods.object_method import ObjectMethod
from crosspoint.models.embedded_views import EmbeddedViews
from crosspoint.models.image_backbone import ImageBackbone
from crosspoint.models.point_encoder import PointEncoder, feature_dim
from crosspoint.models.projection_heads import PROJECTION, cloud_head, image_head
from crosspoint.ops.precision import full_precision
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.ranges import CHANNELS, TEMPERATURE, in_range
from crosspoint.transforms import CloudAugmentation, ImageAugmentation


class CrossPoint(ObjectMethod):
    """CrossPoint: `encoder` is what users keep, the rest serves training.

    Args:
        encoder: maps clouds (B, N, 3) to features (B, encoder.feature_dim).
        image_encoder: maps images (B, 3, H, W) to (B, image_encoder.feature_dim); None for intra-modal training alone.
        projection: dimensions in which the losses compare
        temperature: number that divides the cosines in both losses
        intra_weight: weight of the loss between two augmentations of a cloud
        cross_weight: weight of the loss between clouds and images; 0 leaves the images out
        clouds: augmentation of clouds
        images: augmentation of images

    Raises:
        ValueError: if a number is out of range, both weights are zero, one is negative, images are to be used without
            an image encoder, or an encoder has no feature_dim.
    """

    recipe: ClassVar[JsonObject] = {
        "epochs": 100,
        "batch_size": 20,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "weight_decay": 1e-6,
    }

    def __init__(
        self,
        encoder: PointEncoder,
        image_encoder: ImageBackbone | None,
        *,
        projection: int = PROJECTION,
        temperature: float = 0.1,
        intra_weight: float = 1.0,
        cross_weight: float = 1.0,
        clouds: CloudAugmentation = CloudAugmentation(),  # noqa: B008 # frozen: one instance serves all
        images: ImageAugmentation = ImageAugmentation(),  # noqa: B008
    ) -> None:
        super().__init__()
        in_range("projection", projection, *CHANNELS)
        in_range("temperature", temperature, *TEMPERATURE)
        if min(intra_weight, cross_weight) < 0 or intra_weight + cross_weight == 0:
            raise ValueError(f"found weights {intra_weight} and {cross_weight}, expected both ≥ 0 and one above 0")
        if cross_weight > 0 and image_encoder is None:
            raise ValueError(f"found cross_weight {cross_weight} without an image encoder: give one, or set it to 0")
        self.encoder = encoder
        self.head = cloud_head(feature_dim(encoder), projection)
        # Without the cross-modal loss the branch would be idle, and idle parameters stop DistributedDataParallel.
        self.image_encoder = None
        self.image_head = None
        if image_encoder is not None and cross_weight > 0:
            self.image_encoder = image_encoder.to(memory_format=torch.channels_last)  # the layout convolutions want
            self.image_head = image_head(feature_dim(image_encoder), projection)
        self.temperature = temperature
        self.intra_weight = intra_weight
        self.cross_weight = cross_weight
        self.clouds = clouds
        self.images = images

    @classmethod
    def uses_images(cls, settings: JsonObject) -> bool:
        """Not without the cross-modal loss."""
        return bool(settings.get("cross_weight", 1.0) > 0)

    def points_per_cloud(self, dataset: PairDataset) -> int:
        """Those that the augmentation leaves."""
        return self.clouds.points or super().points_per_cloud(dataset)

    def training_samples(self, dataset: Any, *, prepare: bool = True) -> PairDataset:
        """The pairs as they are, with images, or with embeddings of them where the branch says so.

        Raises:
            ValueError: if they are no pairs of clouds and views, have no views although there is an image branch, or
                the branch is for the other kind of pairs.
        """
        pairs = super().training_samples(dataset, prepare=prepare)
        if self.image_encoder is not None and not dataset.has_views:
            raise ValueError(
                f"found {type(dataset).__name__}, whose clouds have no views, for the cross-modal loss, expected some: "
                "give --method.cross_weight 0, or render meshes (crosspoint render)"
            )
        embedded, wanted = isinstance(dataset, EmbeddedPairs), isinstance(self.image_encoder, EmbeddedViews)
        if self.image_encoder is not None and embedded != wanted:
            found = f"{type(dataset).__name__} and the image encoder {type(self.image_encoder).__name__}"
            raise ValueError(
                f"found data.dataset {found}, expected both with embeddings or both with images: set both to embedded, "
                "or the dataset to rendered"
            )
        if isinstance(dataset, EmbeddedPairs) and isinstance(self.image_encoder, EmbeddedViews):
            check_embeddings(dataset, self.image_encoder.feature_dim, "image_encoder.feature_dim")
        return pairs

    def collate(self, samples: Sequence[Any]) -> Any:
        """Pairs → a batch."""
        embedded = isinstance(samples[0], EmbeddedPair)
        return stack_embedded(samples) if embedded else super().collate(samples)

    def training_step(self, batch: ObjectPair | EmbeddedPair, generator: Generator) -> dict[str, Tensor]:
        """One batch of pairs → "loss" and its parts "intra" and "cross", all scalars.

        Args:
            batch: points (B, N, 3), images (B, V, 3, H, W) uint8, or embeddings (B, V, D) in their place.
            generator: on the device of the batch; augmentations draw from it alone.
        """
        z1, z2 = self.project_clouds(batch.points, generator)
        parts = {"intra": nt_xent(z1, z2, temperature=self.temperature)}
        loss = self.intra_weight * parts["intra"]
        if self.image_encoder is not None:
            # The mean of the projections as they are; the loss normalizes it.
            z_images = self.project_views(batch, generator)
            parts["cross"] = nt_xent((z1 + z2) / 2, z_images, temperature=self.temperature)
            loss = loss + self.cross_weight * parts["cross"]
        return {"loss": loss, **parts}

    def project_clouds(self, points: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Augment points (B, N, 3) twice and project both: two of (B, projection).

        One forward pass of 2B, so that BatchNorm sees both augmentations together.
        """
        with torch.autocast(points.device.type, enabled=False):  # half precision would round the coordinates
            both = torch.cat([self.clouds(points, generator, self.encoder.fields) for _ in range(2)])
        z1, z2 = full_precision(self.head(self.encoder(both))).chunk(2)
        return z1, z2

    def project_views(self, batch: ObjectPair | EmbeddedPair, generator: Generator) -> Tensor:
        """The views of a batch → (B, projection), the mean over the views of an object."""
        if isinstance(batch, EmbeddedPair):
            assert self.image_head is not None
            return (
                full_precision(self.image_head(batch.embeddings.flatten(0, 1)))
                .view(*batch.embeddings.shape[:2], -1)
                .mean(dim=1)
            )
        return self.project_images(batch.images, generator)

    def project_images(self, images: Tensor, generator: Generator) -> Tensor:
        """images (B, V, 3, H, W) uint8 → (B, projection), the mean over the views of an object."""
        batch, views = images.shape[:2]
        assert self.image_encoder is not None and self.image_head is not None
        with torch.autocast(images.device.type, enabled=False):
            augmented = self.images(images.flatten(0, 1), generator)
        augmented = augmented.contiguous(memory_format=torch.channels_last)
        return full_precision(self.image_head(self.image_encoder(augmented))).view(batch, views, -1).mean(dim=1)
