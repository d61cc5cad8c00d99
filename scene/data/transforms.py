"""Augmentations of clouds and images that never break a pair: small functions from a pair to a pair.

The distributions are SLidR's (Sautier et al. 2022, https://arxiv.org/abs/2203.16258, and its code), which PPKT's
reproduction and OLIVINE share. Every draw comes from an explicit generator on the CPU. Positions of pixels are never
rounded on the way: crops, resizes and flips act on them exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from crosspoint.renderers.cameras import image_size
from crosspoint.scene.data.sample import ScenePair

ATTEMPTS = 50  # crops tried before an image is kept whole; at KITTI's 1242 × 375 pixels, one in three fits the image

Box = tuple[int, int, int, int]  # left, top, width, height in pixels


@dataclass(frozen=True)
class SceneAugmentation:
    """What happens to a pair, in this order: the cloud turns and flips, a cuboid is cut out, each image is cropped.

    Args:
        size: height and width that the image encoder sees
        rotate: turn the cloud about the upward axis by any angle
        flip_points: probability of mirroring the cloud's x, and again its y
        cuboid: largest side of the cuboid cut out, as a share of the cloud's extent; 0 cuts nothing
        crop: share of the area that a random crop of an image keeps; null resizes whole images
        aspect: width over height of that crop
        flip_images: probability of mirroring an image
        pairs: cuts that leave a view with fewer pairs than this are refused
        share: where a view has too few for that, cuts must leave this share of them
    """

    size: tuple[int, int] = (224, 416)
    rotate: bool = True
    flip_points: float = 0.5
    cuboid: float = 0.2
    crop: tuple[float, float] | None = (0.3, 1.0)
    aspect: tuple[float, float] = (14 / 9, 17 / 9)
    flip_images: float = 0.5
    pairs: int = 1024
    share: float = 0.75

    def __post_init__(self) -> None:
        image_size(self.size)
        for name in ("flip_points", "cuboid", "flip_images", "share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"found {name} {getattr(self, name)}, expected a number from 0 to 1")
        if self.crop is not None and not 0 < self.crop[0] <= self.crop[1] <= 1:
            raise ValueError(f"found crop {list(self.crop)}, expected two shares of the area, the smaller first")
        if not 0 < self.aspect[0] <= self.aspect[1]:
            raise ValueError(f"found aspect {list(self.aspect)}, expected two positive numbers, the smaller first")
        if self.pairs < 0:
            raise ValueError(f"found pairs {self.pairs}, expected 0 or more")

    def __call__(self, pair: ScenePair, generator: Generator) -> ScenePair:
        """The pair, augmented; what is given is left as it was."""
        if self.rotate:
            pair = rotate_cloud(pair, generator)
        pair = flip_cloud(pair, generator, self.flip_points)
        pair = drop_cuboid(pair, generator, self.cuboid, pairs=self.pairs, share=self.share)
        if self.crop is None:
            pair = resize_images(pair, self.size)
        else:
            pair = crop_images(pair, generator, self.size, self.crop, self.aspect, pairs=self.pairs, share=self.share)
        return flip_images(pair, generator, self.flip_images)


def rotate_cloud(pair: ScenePair, generator: Generator) -> ScenePair:
    """Turn the cloud about z by a uniform angle."""
    angle = 2 * math.pi * _uniform(generator)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y, *others = pair.points.unbind(dim=1)
    return pair._replace(points=torch.stack([cos * x - sin * y, sin * x + cos * y, *others], dim=1))


def flip_cloud(pair: ScenePair, generator: Generator, probability: float = 0.5) -> ScenePair:
    """Mirror the cloud's x, and independently its y, each with `probability`."""
    signs = [-1.0 if _uniform(generator) < probability else 1.0 for _ in range(2)]
    return pair._replace(points=pair.points * pair.points.new_tensor([*signs, 1.0, 1.0]))


def drop_cuboid(
    pair: ScenePair, generator: Generator, largest: float = 0.2, *, pairs: int = 1024, share: float = 0.75
) -> ScenePair:
    """Remove the points strictly inside a box with sides along the axes, centered on a random point.

    Along each axis the box's side is up to `largest` of the cloud's extent. Nothing is removed if a view that had
    `pairs` pairs would fall below them. The public code asks that of all views, so that one view with few points ends
    all removal; here a view that had fewer must keep `share` of them.
    """
    size = pair.points.new_tensor([_uniform(generator) for _ in range(3)]) * largest
    chosen = _uniform(generator)
    if len(pair.points) == 0:
        return pair
    xyz = pair.points[:, :3]
    half = (xyz.amax(dim=0) - xyz.amin(dim=0)) * size / 2
    keep = ((xyz - xyz[int(chosen * len(xyz))]).abs() >= half).any(dim=1)
    kept = keep[pair.pair_point]
    had, left = (torch.bincount(views, minlength=len(pair.images)) for views in (pair.pair_view, pair.pair_view[kept]))
    if bool((left < torch.where(had >= pairs, pairs, share * had)).any()):
        return pair
    return pair._replace(
        points=pair.points[keep],
        labels=pair.labels[keep],
        pair_point=(keep.cumsum(0) - 1)[pair.pair_point[kept]],
        pair_view=pair.pair_view[kept],
        pair_pixel=pair.pair_pixel[kept],
    )


def crop_images(
    pair: ScenePair,
    generator: Generator,
    size: tuple[int, int] = (224, 416),
    area: tuple[float, float] = (0.3, 1.0),
    aspect: tuple[float, float] = (14 / 9, 17 / 9),
    *,
    pairs: int = 1024,
    share: float = 0.75,
) -> ScenePair:
    """Cut a random box out of each image and resize it to `size` (H, W); pairs outside of the boxes are left out.

    Boxes are drawn as by torchvision's RandomResizedCrop (aspect ratio log-uniform). One is taken if more than `pairs`
    pairs or more than `share` of the image's pairs lie inside, or if the image has none; else another is drawn. After
    50 the image is kept whole, where the public code never ends.
    """
    boxes = []
    height, width = pair.images.shape[2:]
    for view in range(len(pair.images)):
        pixels = pair.pair_pixel[pair.pair_view == view]
        boxes.append(_draw_box(pixels, (height, width), generator, area, aspect, pairs, share))
    return _cut(pair, boxes, size)


def resize_images(pair: ScenePair, size: tuple[int, int] = (224, 416)) -> ScenePair:
    """Resize whole images to `size` (H, W): what validation does, and all it does."""
    height, width = pair.images.shape[2:]
    return _cut(pair, [(0, 0, width, height)] * len(pair.images), size)


def flip_images(pair: ScenePair, generator: Generator, probability: float = 0.5) -> ScenePair:
    """Mirror left and right of each image with `probability`, each image by its own draw."""
    flipped = torch.tensor([_uniform(generator) < probability for _ in range(len(pair.images))], dtype=torch.bool)
    images = pair.images.clone()
    images[flipped] = images[flipped].flip(3)
    width, pixels = images.shape[3], pair.pair_pixel.clone()
    pixels[:, 0] = torch.where(flipped[pair.pair_view], width - pixels[:, 0], pixels[:, 0])
    regions = pair.regions
    if regions is not None:
        regions = regions.clone()
        regions[flipped] = regions[flipped].flip(2)
    return pair._replace(images=images, pair_pixel=_inside(pixels, images), regions=regions)


def _draw_box(
    pixels: Tensor,
    size: tuple[int, int],
    generator: Generator,
    area: tuple[float, float],
    aspect: tuple[float, float],
    pairs: int,
    share: float,
) -> Box:
    """A box inside an image of `size` (H, W) that holds enough of its pixels (P, 2)."""
    height, width = size
    for _ in range(ATTEMPTS):
        covered = width * height * (area[0] + (area[1] - area[0]) * _uniform(generator))
        ratio = aspect[0] * (aspect[1] / aspect[0]) ** _uniform(generator)
        w, h = round(math.sqrt(covered * ratio)), round(math.sqrt(covered / ratio))
        across, down = _uniform(generator), _uniform(generator)
        if not (0 < w <= width and 0 < h <= height):
            continue
        box = (int(across * (width - w + 1)), int(down * (height - h + 1)), w, h)
        inside = int(_in_boxes(pixels, pixels.new_tensor(box)).sum())
        if len(pixels) == 0 or inside > pairs or inside > share * len(pixels):
            return box
    return 0, 0, width, height


def _cut(pair: ScenePair, boxes: list[Box], size: tuple[int, int]) -> ScenePair:
    """Image by image (and region map by region map) the box alone, resized to `size` (H, W), and the pairs inside."""
    images = pair.images.new_zeros((len(boxes), 3, *size))
    for view, (left, top, width, height) in enumerate(boxes):
        part = pair.images[view : view + 1, :, top : top + height, left : left + width]
        images[view] = F.interpolate(part, size=size, mode="bilinear", antialias=True)[0]
    regions = None
    if pair.regions is not None:
        parts = [_nearest(region, box, size) for region, box in zip(pair.regions, boxes, strict=True)]
        regions = torch.stack(parts) if parts else pair.regions.new_zeros((0, *size))
    bounds = pair.pair_pixel.new_tensor(boxes).view(-1, 4)[pair.pair_view]
    kept = _in_boxes(pair.pair_pixel, bounds)
    corner, sides = bounds[kept, :2], bounds[kept, 2:]
    pixels = (pair.pair_pixel[kept] - corner) * (sides.new_tensor([size[1], size[0]]) / sides)
    return pair._replace(
        images=images,
        pair_point=pair.pair_point[kept],
        pair_view=pair.pair_view[kept],
        pair_pixel=_inside(pixels, images),
        regions=regions,
    )


def _nearest(region: Tensor, box: Box, size: tuple[int, int]) -> Tensor:
    """The box of a map of numbers (H, W), resized to `size`: each pixel takes the one that holds its center."""
    left, top, width, height = box
    rows = top + ((torch.arange(size[0]) + 0.5) * (height / size[0])).long()
    columns = left + ((torch.arange(size[1]) + 0.5) * (width / size[1])).long()
    return region[rows[:, None], columns]


def _in_boxes(pixels: Tensor, boxes: Tensor) -> Tensor:
    """Whether pixels (P, 2) lie in boxes (4,) or (P, 4): (P,) bool."""
    offset = pixels - boxes[..., :2]
    return ((offset >= 0) & (offset < boxes[..., 2:])).all(dim=-1)


def _inside(pixels: Tensor, images: Tensor) -> Tensor:
    """Pixels (P, 2) of `images`, where float32 had rounded one up to the far border."""
    end = pixels.new_tensor([images.shape[3], images.shape[2]])
    return pixels.minimum(torch.nextafter(end, torch.zeros_like(end)))


def _uniform(generator: Generator) -> float:
    """One draw from [0, 1)."""
    return float(torch.rand((), generator=generator, dtype=torch.float64))
