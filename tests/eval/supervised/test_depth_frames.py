"""Images with depth: cut, augmented, encoded and stacked, each against what the pixels say themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from crosspoint.eval.supervised.depth_augmentation import augment_images
from crosspoint.eval.supervised.depth_config import DepthConfig
from crosspoint.eval.supervised.depth_frames import DepthFrames, EncodedImages, stack_frames
from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.data.sparse_depth import DEPTH

PLAIN = DepthConfig(turn=0.0, flip=0.0, color=0.0)


class Ramps(LidarDataset):
    """Images whose red says the depth in meters and whose green says the column, of several sizes in one array."""

    def __init__(self, count: int = 4, sizes: tuple[tuple[int, int], ...] = ((40, 60), (36, 52))) -> None:
        self.name, self.count, self.sizes = "ramps", count, sizes

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> LidarSample:
        height, width = (max(side) for side in zip(*self.sizes, strict=True))
        images = torch.zeros(len(self.sizes), 3, height, width, dtype=torch.uint8)
        depth = torch.zeros(len(self.sizes), height, width)
        for view, (h, w) in enumerate(self.sizes):
            rng = np.random.default_rng([index, view])
            meters = torch.from_numpy(rng.integers(2, 70, (h, w)))
            images[view, 0, :h, :w] = meters.to(torch.uint8)
            images[view, 1, :h, :w] = torch.arange(w, dtype=torch.uint8)
            depth[view, :h, :w] = meters * torch.from_numpy(rng.random((h, w)) < 0.5)
        eye = torch.eye(3).repeat(len(images), 1, 1)
        cameras = Cameras(eye, eye, torch.zeros(len(images), 3), (height, width), sizes=torch.tensor(self.sizes))
        return LidarSample(f"ramp {index}", torch.zeros(0, 3), {}, images, {DEPTH: depth}, cameras)


def agree(images: Tensor, depth: Tensor) -> bool:
    """Whether the depth is what the red of its pixel says."""
    known = depth > 0
    return bool(known.any()) and torch.equal(images[:, 0][known].float(), depth[known])


def test_images_are_cut_at_the_bottom_and_in_the_middle() -> None:
    whole, cut = DepthFrames(Ramps(), PLAIN)[1, 0], DepthFrames(Ramps(), replace(PLAIN, cut=(30, 50)))[1, 0]
    assert torch.equal(cut.images[0], whole.images[0, :, 10:40, 5:55])
    assert torch.equal(cut.images[1], whole.images[1, :, 6:36, 1:51])
    assert torch.equal(cut.depth[1], whole.depth[1, 6:36, 1:51])
    assert whole.sizes.tolist() == [[40, 60], [36, 52]] and cut.sizes.tolist() == [[30, 50]] * 2


@pytest.mark.parametrize(
    "recipe",
    [
        replace(PLAIN, flip=1.0),
        replace(PLAIN, crop=(16, 24)),
        replace(PLAIN, flip=0.5, crop=(20, 50), cut=(30, 50)),
    ],
)
def test_depth_stays_at_its_pixel(recipe: DepthConfig) -> None:
    frames = DepthFrames(Ramps(), recipe, augment=True)
    first, again, other = frames[2, 5], frames[2, 5], frames[2, 6]
    assert agree(first.images, first.depth)
    assert first.depth.shape[1:] == (recipe.crop or (40, 60))
    assert torch.equal(first.images, again.images)
    assert recipe.flip == 1.0 or not torch.equal(first.images, other.images)
    if recipe.flip == 1.0:
        assert torch.equal(first.images.flip(3), frames.whole(2).images)


def test_turning_takes_depth_from_the_nearest_pixel_and_never_mixes() -> None:
    """Red and depth are turned alike, up to the mixing of red: on areas of one depth both agree."""
    image = torch.zeros(1, 3, 80, 120, dtype=torch.uint8)
    depth = torch.full((1, 80, 120), 10.0)
    depth[:, 30:, 50:] = 40.0
    image[:, 0] = depth
    recipe = DepthConfig(turn=2.5, flip=0.0, color=0.0)
    turned = [augment_images(image, depth, recipe, Generator().manual_seed(seed)) for seed in range(8)]
    assert {float(value) for _, truth in turned for value in truth.unique()} <= {0.0, 10.0, 40.0}
    moved = [not torch.equal(truth, depth) for _, truth in turned]
    assert any(moved) and not all(moved)
    for pixels, truth in turned:
        inner = truth[0, 8:-8, 8:-8]
        assert float((pixels[0, 0, 8:-8, 8:-8].float() != inner).float().mean()) < 0.05


def test_colors_change_little_and_depth_not_at_all() -> None:
    image = torch.full((6, 3, 8, 8), 128, dtype=torch.uint8)
    recipe = DepthConfig(turn=0.0, flip=0.0, color=0.1)
    pixels, depth = augment_images(image, torch.ones(6, 8, 8), recipe, Generator().manual_seed(0))
    changed = [not torch.equal(one, image[0]) for one in pixels]
    assert any(changed) and not all(changed)
    bounds = [255 * (128 / 255) ** (1.0 + s * 0.1) * (1.0 - s * 0.1) ** 2 for s in (1, -1)]
    assert bounds[0] - 1 <= int(pixels.min()) and int(pixels.max()) <= bounds[1] + 1
    assert bool((depth == 1).all())


def test_frames_are_thinned_as_the_dataset_says() -> None:
    assert len(DepthFrames(Ramps(5), PLAIN, every=2)) == 3


def test_maps_are_the_encoders_however_many_are_kept() -> None:
    frames, calls = DepthFrames(Ramps(3), PLAIN), []

    def encode(images: Tensor) -> list[Tensor]:
        calls.append(len(images))
        return [images.float() * factor for factor in (1, 2, 3)]

    kept = EncodedImages(encode, frames, stages=2, keep=10**9)
    none = EncodedImages(encode, frames, stages=2, keep=0)
    assert len(kept.kept) == 3 and len(none.kept) == 0
    calls.clear()
    batch = kept.collate([kept[index, 0] for index in range(3)])
    assert not calls
    other, plain = none.collate([none[index, 0] for index in range(3)]), stack_frames([frames[i, 0] for i in range(3)])
    for part, expected in zip(batch.maps, (2, 3), strict=True):
        assert torch.equal(part, plain.images.float() * expected)
    assert all(torch.equal(a, b) for a, b in zip(batch.maps, other.maps, strict=True))
    assert torch.equal(batch.depth, plain.depth) and torch.equal(other.depth, plain.depth)
    assert torch.equal(batch.sizes, plain.sizes) and plain.maps == []


@pytest.mark.parametrize(
    ("sizes", "recipe", "told"),
    [
        (
            ((40, 60),),
            replace(PLAIN, cut=(44, 50)),
            "found an image of 40×60 pixels in ramp 0, expected at least 44×50",
        ),
        (((40, 60),), replace(PLAIN, crop=(40, 64)), "found images of 40×60 pixels, expected at least 40×64"),
    ],
)
def test_images_that_are_too_small(sizes: tuple[tuple[int, int], ...], recipe: DepthConfig, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        DepthFrames(Ramps(2, sizes), recipe, augment=True)


def test_images_of_two_sizes_in_a_batch() -> None:
    frames = [DepthFrames(Ramps(1, (size,)), PLAIN)[0, 0] for size in ((40, 60), (36, 52))]
    with pytest.raises(ValueError, match=r"found images of 36×52 and 40×60 pixels in a batch, .*recipe.cut"):
        stack_frames(frames)


def test_no_frames() -> None:
    with pytest.raises(ValueError, match="found no frame in ramps"):
        DepthFrames(Ramps(0), PLAIN)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"learning_rate": -1.0},
        {"scale": 0.0},
        {"cut": (0, 5)},
        {"betas": (0.9, 1.0)},
        {"nearest": 5.0, "farthest": 2.0},
        {"area": "kb"},
    ],
)
def test_settings_out_of_range(wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"found .*, expected"):
        DepthConfig(**wrong)


def test_a_probe_sees_images_as_they_are() -> None:
    linear, tuned = DepthConfig().of("linear"), DepthConfig().of("finetuned")
    assert (linear.learning_rate, linear.augment, linear.mirror) == (1e-2, False, False)
    assert (tuned.learning_rate, tuned.augment, tuned.mirror) == (1e-4, True, True)
    assert DepthConfig(learning_rate=0.5, augment=True, mirror=True).of("linear").augment
