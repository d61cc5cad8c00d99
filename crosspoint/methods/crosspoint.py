"""CrossPoint: contrast two augmentations of a cloud with each other, and their mean with views of the same object.

Afham et al., CrossPoint: Self-Supervised Cross-Modal Contrastive Learning for 3D Point Cloud Understanding, CVPR 2022,
https://arxiv.org/abs/2203.00680.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from crosspoint.datasets.pairs import ObjectPair
from crosspoint.losses import nt_xent
from crosspoint.models.projection_heads import PROJECTION, cloud_head, image_head
from crosspoint.ops.precision import full_precision
from crosspoint.transforms import CloudAugmentation, ImageAugmentation


class CrossPoint(nn.Module):
    """The method: `encoder` is what users keep, the rest serves training.

    Args:
        encoder: maps clouds (B, N, 3) to features (B, encoder.feature_dim).
        image_encoder: maps images (B, 3, H, W) to (B, image_encoder.feature_dim); None for intra-modal training alone.
        projection: dimensions in which the losses compare.
        temperature: of both losses.
        intra_weight: of the loss between the two augmentations of a cloud.
        cross_weight: of the loss between clouds and images.
        clouds: how clouds are augmented.
        images: how images are augmented.

    Raises:
        ValueError: if both weights are zero, one is negative, images are to be used without an image encoder, or an
            encoder has no feature_dim.
    """

    def __init__(
        self,
        encoder: nn.Module,
        image_encoder: nn.Module | None,
        *,
        projection: int = PROJECTION,
        temperature: float = 0.1,
        intra_weight: float = 1.0,
        cross_weight: float = 1.0,
        clouds: CloudAugmentation | None = None,
        images: ImageAugmentation | None = None,
    ) -> None:
        super().__init__()
        if min(intra_weight, cross_weight) < 0 or intra_weight + cross_weight == 0:
            raise ValueError(f"found weights {intra_weight} and {cross_weight}, expected both ≥ 0 and one above 0")
        if cross_weight > 0 and image_encoder is None:
            raise ValueError(f"found cross_weight {cross_weight} without an image encoder: give one, or set it to 0")
        self.encoder = encoder
        self.head = cloud_head(_feature_dim(encoder), projection)
        # Without the cross-modal loss the branch would be idle, and idle parameters stop DistributedDataParallel.
        self.image_encoder: nn.Module | None = None
        self.image_head: nn.Module | None = None
        if image_encoder is not None and cross_weight > 0:
            self.image_encoder = image_encoder.to(memory_format=torch.channels_last)  # the layout convolutions want
            self.image_head = image_head(_feature_dim(image_encoder), projection)
        self.temperature = temperature
        self.intra_weight = intra_weight
        self.cross_weight = cross_weight
        self.clouds = clouds or CloudAugmentation()
        self.images = images or ImageAugmentation()

    def training_step(self, batch: ObjectPair, generator: Generator) -> dict[str, Tensor]:
        """One batch of pairs → "loss" and its parts "intra" and "cross", all scalars.

        Args:
            batch: points (B, N, 3), images (B, V, 3, H, W) uint8.
            generator: on the device of the batch; augmentations draw from it alone.
        """
        z1, z2 = self.project_clouds(batch.points, generator)
        parts = {"intra": nt_xent(z1, z2, temperature=self.temperature)}
        loss = self.intra_weight * parts["intra"]
        if self.image_encoder is not None:
            # The mean of the projections as they are; the loss normalizes it.
            z_images = self.project_images(batch.images, generator)
            parts["cross"] = nt_xent((z1 + z2) / 2, z_images, temperature=self.temperature)
            loss = loss + self.cross_weight * parts["cross"]
        return {"loss": loss, **parts}

    def project_clouds(self, points: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Augment points (B, N, 3) twice and project both: two of (B, projection).

        One forward pass of 2B, so that BatchNorm sees both augmentations together.
        """
        with torch.autocast(points.device.type, enabled=False):  # half precision would round the coordinates
            both = torch.cat([self.clouds(points, generator), self.clouds(points, generator)])
        z1, z2 = full_precision(self.head(self.encoder(both))).chunk(2)
        return z1, z2

    def project_images(self, images: Tensor, generator: Generator) -> Tensor:
        """images (B, V, 3, H, W) uint8 → (B, projection), the mean over the views of an object."""
        batch, views = images.shape[:2]
        assert self.image_encoder is not None and self.image_head is not None
        with torch.autocast(images.device.type, enabled=False):
            augmented = self.images(images.flatten(0, 1), generator)
        augmented = augmented.contiguous(memory_format=torch.channels_last)
        return full_precision(self.image_head(self.image_encoder(augmented))).view(batch, views, -1).mean(dim=1)


def _feature_dim(encoder: nn.Module) -> int:
    """How many features an encoder gives."""
    dimensions = getattr(encoder, "feature_dim", None)
    if not isinstance(dimensions, int):
        raise ValueError(
            f"found no feature_dim on {type(encoder).__name__}, expected the number of its features: "
            "set encoder.feature_dim"
        )
    return dimensions
