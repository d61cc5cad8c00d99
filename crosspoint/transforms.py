"""Augmentations of CrossPoint, batched on the training device, every draw from an explicit generator.

The defaults are the distributions of the original (Afham et al., 2022, https://arxiv.org/abs/2203.00680, and its code).
Each cloud and each image of a batch has its own draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from crosspoint.fields import Field, check_channels, stretch_fields, turn_fields
from crosspoint.renderers.meshes import TO_Y_UP
from crosspoint.renderers.ranges import PIXELS, POINTS, in_range

Rotation = Literal["none", "up", "any"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
GRAY = (0.299, 0.587, 0.114)  # ITU-R 601 luma, as torchvision's ColorJitter takes it


@dataclass(frozen=True)
class CloudAugmentation:
    """What happens to a cloud, in this order, after it is centered and scaled into the unit sphere.

    Args:
        points: a random subset of so many points for each view; null keeps all
        scale: one factor per cloud
        stretch: one factor per axis, log-uniform; [1, 1], the original's, stretches nothing
        rotation: none, about the up axis (any angle), or any rotation, for sets whose up axes are mixed
        translation: largest shift per axis, as a fraction of the cloud's extent
        jitter: standard deviation per coordinate
        jitter_limit: largest jitter per coordinate
        dropout: largest share of points that point 0 replaces; the share is uniform from 0
        color_jitter: standard deviation of noise on each color of a point; null leaves colors as they are
    """

    points: int | None = None
    scale: tuple[float, float] = (0.5, 2.0)
    stretch: tuple[float, float] = (1.0, 1.0)
    rotation: Rotation = "up"
    translation: float = 0.5
    jitter: float = 0.01
    jitter_limit: float = 0.05
    dropout: float = 0.875
    color_jitter: float | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in (("scale", self.scale), ("stretch", self.stretch)):
            if not 0 < low <= high:
                raise ValueError(f"found {name} [{low}, {high}], expected two positive numbers, the smaller first")
            in_range(name, high, 0.0, 1e6)
        in_range("points", self.points, *POINTS)
        in_range("dropout", self.dropout, 0.0, 1.0)
        for name in ("translation", "jitter", "jitter_limit"):
            in_range(name, getattr(self, name), 0.0, 1e6)
        in_range("color_jitter", self.color_jitter, 0.0, 1.0)

    def __call__(self, points: Tensor, generator: Generator, fields: Sequence[Field] = ()) -> Tensor:
        """Augment each cloud by draws of its own.

        Fields go with their points. Normals are turned, and bent by a stretch, but neither scaled nor moved; what is
        drawn for x y z is the same with and without fields.

        Args:
            points: (B, N, 3 + 3 F).
            generator: on their device.
            fields: what stands behind x y z.

        Returns:
            (B, N or self.points, 3 + 3 F).

        Raises:
            ValueError: if a cloud has fewer points than asked, or other channels than the fields say.
        """
        check_channels(points, fields)
        if self.points is not None and self.points != points.shape[1]:
            points = random_subset(points, self.points, generator)
        points, values = points[..., :3], points[..., 3:]
        points = unit_sphere(points) * _uniform((len(points), 1, 1), self.scale, points, generator)
        if self.stretch != (1.0, 1.0):
            low, high = (math.log(limit) for limit in self.stretch)
            factors = _uniform((len(points), 1, 3), (low, high), points, generator).exp()
            points, values = points * factors, stretch_fields(values, factors, fields)
        if self.rotation != "none":
            turn = rotations(self.rotation, points, generator)
            points, values = points @ turn.transpose(1, 2), turn_fields(values, turn, fields)
        extent = points.amax(dim=1, keepdim=True) - points.amin(dim=1, keepdim=True)
        limit = self.translation
        points = points + extent * _uniform((len(points), 1, 3), (-limit, limit), points, generator)
        if self.jitter > 0:
            noise = torch.randn(points.shape, generator=generator, device=points.device, dtype=points.dtype)
            points = points + (self.jitter * noise).clamp(-self.jitter_limit, self.jitter_limit)
        ratio = _uniform((len(points), 1, 1), (0.0, self.dropout), points, generator)
        dropped = _uniform((*points.shape[:2], 1), (0.0, 1.0), points, generator) < ratio
        if fields:
            points = torch.cat([points, self._with_other_colors(values, generator, fields)], dim=-1)
        return torch.where(dropped, points[:, :1], points)

    def _with_other_colors(self, values: Tensor, generator: Generator, fields: Sequence[Field]) -> Tensor:
        """Fields (B, N, 3 F) with noise on colors, where it is asked for."""
        if "colors" not in fields or not self.color_jitter:
            return values
        colors = values[..., -3:]
        noise = torch.randn(colors.shape, generator=generator, device=colors.device, dtype=colors.dtype)
        return torch.cat([values[..., :-3], (colors + self.color_jitter * noise).clamp(0, 1)], dim=-1)


@dataclass(frozen=True)
class ImageAugmentation:
    """What happens to an image, in this order, before ImageNet's mean and deviation are applied.

    Args:
        size: height and width that the image encoder sees
        crop: share of the area that a random resized crop keeps; null crops nothing
        jitter: brightness, contrast and saturation change by factors of 1 ± jitter
        flip: probability of a horizontal flip
    """

    size: int = 224
    crop: tuple[float, float] | None = None
    jitter: float = 0.4
    flip: float = 0.5

    def __post_init__(self) -> None:
        in_range("size", self.size, *PIXELS)
        if self.crop is not None and not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise ValueError(f"found crop {list(self.crop)}, expected two shares of the area, the smaller first")
        if not (0 <= self.jitter <= 1 and 0 <= self.flip <= 1):
            raise ValueError(f"found jitter {self.jitter} and flip {self.flip}, expected both from 0 to 1")

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """images (B, 3, H, W) uint8 → (B, 3, size, size) float, normalized for an image encoder."""
        x = images.float() / 255
        if self.crop is not None:
            x = random_resized_crop(x, self.size, self.crop, generator)
        elif x.shape[2:] != (self.size, self.size):
            x = F.interpolate(x, size=(self.size, self.size), mode="bilinear", antialias=True).clamp(0, 1)
        x = color_jitter(x, self.jitter, generator)
        flipped = _uniform((len(x), 1, 1, 1), (0.0, 1.0), x, generator) < self.flip
        return normalize_images(torch.where(flipped, x.flip(3), x))


def unit_sphere(points: Tensor) -> Tensor:
    """Center clouds (B, N, 3) on their mean and scale them so that the farthest point has norm 1.

    Fields behind x y z, (B, N, 3 + 3 F), stay as they are.
    """
    if points.shape[-1] > 3:
        return torch.cat([unit_sphere(points[..., :3]), points[..., 3:]], dim=-1)
    centered = points - points.mean(dim=1, keepdim=True)
    radius = centered.norm(dim=2, keepdim=True).amax(dim=1, keepdim=True)
    return centered / radius.clamp_min(torch.finfo(points.dtype).tiny)


def turn_up(points: Tensor, up_axis: str, to: str = "y") -> Tensor:
    """Turn clouds (..., 3) so that the axis that was up becomes another, as rendered sets are turned.

    Raises:
        ValueError: if an axis is none of "x", "y" and "z".
    """
    if not {up_axis, to} <= TO_Y_UP.keys():
        raise ValueError(f"found the up axes {up_axis!r} and {to!r}, expected x, y or z")
    turn = torch.from_numpy(TO_Y_UP[to].T @ TO_Y_UP[up_axis]).to(points)
    return points @ turn.T


def random_subset(points: Tensor, count: int, generator: Generator) -> Tensor:
    """Draw `count` points without replacement from each of the clouds (B, N, C), all channels of a point together."""
    if count > points.shape[1]:
        raise ValueError(
            f"found clouds of {points.shape[1]} points, expected at least {count}: lower the augmentation's points"
        )
    keys = torch.rand(points.shape[:2], generator=generator, device=points.device)
    chosen = keys.topk(count, dim=1).indices.unsqueeze(2).expand(-1, -1, points.shape[2])
    return points.gather(1, chosen)


def normalize_images(images: Tensor) -> Tensor:
    """images (B, 3, H, W) in [0, 1] → with ImageNet's mean and standard deviation removed."""
    return (images - _per_channel(IMAGENET_MEAN, images)) / _per_channel(IMAGENET_STD, images)


def color_jitter(images: Tensor, strength: float, generator: Generator) -> Tensor:
    """Change brightness, contrast and saturation of each image (B, 3, H, W) in [0, 1], in a random order per image.

    As torchvision's ColorJitter without hue, but the whole batch at once: each of three rounds applies the three
    operations in turn with factor 1, which changes nothing, to the images whose turn it is not.
    """
    factors = _uniform((len(images), 3), (1 - strength, 1 + strength), images, generator)
    turn = torch.rand(factors.shape, generator=generator, device=images.device).argsort(dim=1)
    gray = _per_channel(GRAY, images)
    for step in range(3):
        now = torch.where(turn == step, factors, 1.0).view(-1, 3, 1, 1, 1)
        brightness, contrast, saturation = now.unbind(1)
        images = (images * brightness).clamp(0, 1)
        mean = (images * gray).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
        images = torch.lerp(mean, images, contrast).clamp(0, 1)
        images = torch.lerp((images * gray).sum(dim=1, keepdim=True), images, saturation).clamp(0, 1)
    return images


def random_resized_crop(images: Tensor, size: int, area: tuple[float, float], generator: Generator) -> Tensor:
    """Cut a random box out of each image (B, 3, H, W) and resize it to (B, 3, size, size), bilinear.

    The box covers a share of the image drawn from `area`, its aspect ratio is log-uniform from 3/4 to 4/3 (as
    torchvision's RandomResizedCrop; a side longer than the image is shortened instead of drawn again).
    """
    batch = len(images)
    share = _uniform((batch,), area, images, generator)
    ratio = _uniform((batch,), (math.log(3 / 4), math.log(4 / 3)), images, generator).exp()
    sides = torch.stack([(share * ratio).sqrt(), (share / ratio).sqrt()], dim=1).clamp(max=1)  # width, height
    centers = (1 - sides) * _uniform((batch, 2), (-1.0, 1.0), images, generator)
    theta = torch.zeros(batch, 2, 3, device=images.device)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = sides[:, 0], sides[:, 1], centers
    grid = F.affine_grid(theta, [batch, 3, size, size], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _per_channel(values: tuple[float, float, float], images: Tensor) -> Tensor:
    """Constants (1, 3, 1, 1) filled in on the device of `images`: a copy from the host would wait for all its work."""
    return torch.cat([torch.full((1, 1, 1, 1), value, device=images.device) for value in values], dim=1)


def rotations(kind: Rotation, points: Tensor, generator: Generator) -> Tensor:
    """A rotation (B, 3, 3) for each of the clouds (B, N, 3): "up", about the y axis by any angle, or "any" one."""
    return _rotation_about_y(points, generator) if kind == "up" else _any_rotation(points, generator)


def _rotation_about_y(points: Tensor, generator: Generator) -> Tensor:
    """One rotation matrix (B, 3, 3) per cloud, by a uniform angle about the up axis."""
    angle = _uniform((len(points),), (0.0, 2 * math.pi), points, generator)
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], dim=1).view(-1, 3, 3)


def _any_rotation(points: Tensor, generator: Generator) -> Tensor:
    """One rotation matrix (B, 3, 3) per cloud, uniform over all rotations, from a normalized Gaussian quaternion."""
    quaternion = torch.randn(len(points), 4, generator=generator, device=points.device, dtype=points.dtype)
    w, x, y, z = F.normalize(quaternion, dim=1).unbind(1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=1).view(-1, 3, 3)


def _uniform(shape: tuple[int, ...], limits: tuple[float, float], like: Tensor, generator: Generator) -> Tensor:
    low, high = limits
    return low + (high - low) * torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype)
