"""Augmentations of scenes that never break a pair: small functions from a sample to a sample.

All of them treat every point field and every pixel map alike, whatever its name: fields stay with their points, maps
are cut and mirrored with their images. Boxes, pose and cameras move with the cloud and the images, so that the cameras
still map points to pixels; those of a mirrored cloud or image mirror, too.

The distributions are SLidR's (Sautier et al. 2022, https://arxiv.org/abs/2203.16258, and its code), which PPKT's
reproduction and OLIVINE share. Every draw comes from an explicit generator on the CPU. Positions of pixels are never
rounded on the way: crops, resizes and flips act on them exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from crosspoint.renderers.cameras import Cameras, image_size
from crosspoint.scene.data.sample import Boxes, LidarSample

ATTEMPTS = 50  # crops tried before an image is kept whole; at KITTI's 1242 × 375 pixels, one in three fits the image

Crop = tuple[int, int, int, int]  # left, top, width, height in pixels


@dataclass(frozen=True)
class SceneAugmentation:
    """What happens to a sample, in this order: the cloud turns and flips, a cuboid is cut out, each image is cropped.

    Args:
        size: height and width that the image encoder sees
        rotate: turn the cloud about the upward axis by any angle
        flip_points: probability of mirroring the cloud's x, and again its y
        cuboid: largest side of the cuboid cut out, as a share of the cloud's extent; 0 cuts nothing
        crop: share of the area that a random crop of an image keeps; null resizes whole images
        aspect: width over height of that crop
        flip_images: probability of mirroring an image
        pairs: least number of pairs that a cut must leave each view
        share: share of its pairs that cuts must leave a view that has fewer pairs than that
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

    def __call__(self, sample: LidarSample, generator: Generator) -> LidarSample:
        """The sample, augmented; what is given is left as it was."""
        if self.rotate:
            sample = rotate_cloud(sample, generator)
        sample = flip_cloud(sample, generator, self.flip_points)
        sample = drop_cuboid(sample, generator, self.cuboid, pairs=self.pairs, share=self.share)
        if self.crop is None:
            sample = resize_images(sample, self.size)
        else:
            sample = crop_images(
                sample, generator, self.size, self.crop, self.aspect, pairs=self.pairs, share=self.share
            )
        return flip_images(sample, generator, self.flip_images)


def draw_views(sample: LidarSample, generator: Generator, count: int) -> LidarSample:
    """Keep `count` images, drawn among those that see a point, in their order; all of them if there are not more.

    Images that see no point are drawn only where too few others are there, so that each sample has as many images.
    """
    views = torch.randperm(len(sample.images), generator=generator)
    seeing = torch.bincount(sample.pair_view, minlength=len(views))[views] > 0
    drawn = torch.cat([views[seeing], views[~seeing]])[:count]
    return sample.keep_views(drawn.sort().values)


def rotate_cloud(sample: LidarSample, generator: Generator) -> LidarSample:
    """Turn the cloud about z by a uniform angle."""
    angle = 2 * math.pi * _uniform(generator)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y, z = sample.points.unbind(dim=1)
    points = torch.stack([cos * x - sin * y, sin * x + cos * y, z], dim=1)
    return moved(sample, points, torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=torch.float64))


def flip_cloud(sample: LidarSample, generator: Generator, probability: float = 0.5) -> LidarSample:
    """Mirror the cloud's x, and independently its y, each with `probability`."""
    signs = [-1.0 if _uniform(generator) < probability else 1.0 for _ in range(2)]
    points = sample.points * sample.points.new_tensor([*signs, 1.0])
    return moved(sample, points, torch.tensor([*signs, 1.0], dtype=torch.float64).diag())


def drop_cuboid(
    sample: LidarSample, generator: Generator, largest: float = 0.2, *, pairs: int = 1024, share: float = 0.75
) -> LidarSample:
    """Remove the points strictly inside a box with sides along the axes, centered on a random point.

    Along each axis the box's side is up to `largest` of the cloud's extent. Nothing is removed if a view that had
    `pairs` pairs would fall below them. The public code asks that of all views, so that one view with few points ends
    all removal; here a view that had fewer must keep `share` of them.
    """
    xyz = sample.points
    size = xyz.new_tensor([_uniform(generator) for _ in range(3)]) * largest
    chosen = _uniform(generator)
    if len(xyz) == 0:
        return sample
    half = (xyz.amax(dim=0) - xyz.amin(dim=0)) * size / 2
    keep = ((xyz - xyz[int(chosen * len(xyz))]).abs() >= half).any(dim=1)
    views = (sample.pair_view, sample.pair_view[keep[sample.pair_point]])
    had, left = (torch.bincount(part, minlength=len(sample.images)) for part in views)
    if bool((left < torch.where(had >= pairs, pairs, share * had)).any()):
        return sample
    return sample.keep_points(keep)


def crop_images(
    sample: LidarSample,
    generator: Generator,
    size: tuple[int, int] = (224, 416),
    area: tuple[float, float] = (0.3, 1.0),
    aspect: tuple[float, float] = (14 / 9, 17 / 9),
    *,
    pairs: int = 1024,
    share: float = 0.75,
) -> LidarSample:
    """Cut a random box out of each image and resize it to `size` (H, W); pairs outside of the boxes are left out.

    Boxes are drawn as by torchvision's RandomResizedCrop (aspect ratio log-uniform). One is taken if more than `pairs`
    pairs or more than `share` of the image's pairs lie inside, or if the image has none; else another is drawn. After
    50 the image is kept whole, where the public code never ends.
    """
    crops, sizes = [], sample.image_sizes.tolist()
    for view in range(len(sample.images)):
        pixels = sample.pair_pixel[sample.pair_view == view]
        crops.append(_draw_crop(pixels, sizes[view], generator, area, aspect, pairs, share))
    return _cut(sample, crops, size)


def resize_images(sample: LidarSample, size: tuple[int, int] = (224, 416)) -> LidarSample:
    """Resize whole images to `size` (H, W): what validation does, and all it does."""
    return _cut(sample, [(0, 0, width, height) for height, width in sample.image_sizes.tolist()], size)


def flip_images(sample: LidarSample, generator: Generator, probability: float = 0.5) -> LidarSample:
    """Mirror left and right of each image with `probability`, each image by its own draw."""
    flipped = torch.tensor([_uniform(generator) < probability for _ in range(len(sample.images))], dtype=torch.bool)
    images = sample.images.clone()
    maps = {name: values.clone() for name, values in sample.pixel_maps.items()}
    widths = sample.image_sizes[:, 1]
    for view in flipped.nonzero()[:, 0].tolist():
        width = int(widths[view])
        images[view, :, :, :width] = images[view, :, :, :width].flip(2)
        for values in maps.values():
            values[view, :, :width] = values[view, :, :width].flip(1)
    pixels = sample.pair_pixel.clone()
    mirrored = widths[sample.pair_view] - pixels[:, 0]
    pixels[:, 0] = torch.where(flipped[sample.pair_view], mirrored, pixels[:, 0])
    cameras = sample.cameras
    if cameras is not None:
        mirror = torch.tensor([[-1.0, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64).repeat(len(widths), 1, 1)
        mirror[:, 0, 2] = widths.double()
        K = torch.where(flipped.view(-1, 1, 1), mirror @ cameras.K, cameras.K)
        cameras = replace(cameras, K=K)
    ends = sample.image_sizes.flip(1)[sample.pair_view]
    return replace(sample, images=images, pixel_maps=maps, cameras=cameras, pair_pixel=_inside(pixels, ends))


def moved(sample: LidarSample, points: Tensor, matrix: Tensor) -> LidarSample:
    """The sample with `points`, which `matrix` (3, 3), a turn about z or a mirror, moved; and all else moved alike."""
    cameras, boxes, pose = sample.cameras, sample.boxes, sample.pose
    if cameras is not None:
        cameras = replace(cameras, R=cameras.R @ matrix.mT)
    if boxes is not None:
        geometry = boxes.geometry.clone()
        heading = torch.stack([geometry[:, 6].cos(), geometry[:, 6].sin()], dim=1) @ matrix[:2, :2].mT
        geometry[:, :3] = geometry[:, :3] @ matrix.mT
        geometry[:, 6] = torch.atan2(heading[:, 1], heading[:, 0])
        velocities = None if boxes.velocities is None else boxes.velocities @ matrix[:2, :2].mT
        boxes = Boxes(geometry, boxes.labels, velocities)
    if pose is not None:
        pose = torch.cat([pose[:, :3] @ matrix.mT, pose[:, 3:]], dim=1)
    return replace(sample, points=points, cameras=cameras, boxes=boxes, pose=pose)


def _draw_crop(
    pixels: Tensor,
    size: tuple[int, int],
    generator: Generator,
    area: tuple[float, float],
    aspect: tuple[float, float],
    pairs: int,
    share: float,
) -> Crop:
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


def _cut(sample: LidarSample, crops: list[Crop], size: tuple[int, int]) -> LidarSample:
    """Of each image and each of its maps the crop alone, resized to `size` (H, W), and the pairs inside."""
    images = sample.images.new_zeros((len(crops), 3, *size))
    for view, (left, top, width, height) in enumerate(crops):
        part = sample.images[view : view + 1, :, top : top + height, left : left + width]
        images[view] = F.interpolate(part, size=size, mode="bilinear", antialias=True)[0]
    maps = {}
    for name, values in sample.pixel_maps.items():
        parts = [_nearest(one, crop, size) for one, crop in zip(values, crops, strict=True)]
        maps[name] = torch.stack(parts) if parts else values.new_zeros((0, *size, *values.shape[3:]))
    bounds = sample.pair_pixel.new_tensor(crops).view(-1, 4)
    own = bounds[sample.pair_view]
    inside = _in_boxes(sample.pair_pixel, own)
    kept = sample.keep_pairs(inside)
    corner, sides = own[inside, :2], own[inside, 2:]
    pixels = (kept.pair_pixel - corner) * (sides.new_tensor([size[1], size[0]]) / sides)
    return replace(
        kept,
        images=images,
        pixel_maps=maps,
        cameras=None if sample.cameras is None else _cut_cameras(sample.cameras, bounds.double(), size),
        pair_pixel=_inside(pixels, torch.tensor([size[1], size[0]])),
    )


def _cut_cameras(cameras: Cameras, crops: Tensor, size: tuple[int, int]) -> Cameras:
    """Cameras (V) of the crops (V, 4), resized to `size` (H, W)."""
    scale = crops.new_tensor([size[1], size[0]]) / crops[:, 2:]
    K = cameras.K.clone()
    K[:, :2] = scale.unsqueeze(2) * (K[:, :2] - crops[:, :2].unsqueeze(2) * K[:, 2:])
    return Cameras(K, cameras.R, cameras.t, size)


def _nearest(values: Tensor, crop: Crop, size: tuple[int, int]) -> Tensor:
    """The crop of a map (H, W, …), resized to `size`: each pixel takes the value of the one that holds its center."""
    left, top, width, height = crop
    rows = top + ((torch.arange(size[0]) + 0.5) * (height / size[0])).long()
    columns = left + ((torch.arange(size[1]) + 0.5) * (width / size[1])).long()
    return values[rows[:, None], columns]


def _in_boxes(pixels: Tensor, boxes: Tensor) -> Tensor:
    """Whether pixels (P, 2) lie in boxes (4,) or (P, 4): (P,) bool."""
    offset = pixels - boxes[..., :2]
    return ((offset >= 0) & (offset < boxes[..., 2:])).all(dim=-1)


def _inside(pixels: Tensor, ends: Tensor) -> Tensor:
    """Pixels (P, 2) of images that end at x and y `ends`, (2,) or (P, 2); float32 may have rounded one up to there."""
    end = ends.to(pixels)
    return pixels.minimum(torch.nextafter(end, torch.zeros_like(end)))


def _uniform(generator: Generator) -> float:
    """One draw from [0, 1)."""
    return float(torch.rand((), generator=generator, dtype=torch.float64))
