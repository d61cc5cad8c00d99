"""Cameras of two image sizes in one rig: every step gives for each what it gives for a rig of that camera alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.batch import stack_samples
from crosspoint.scene.data.correspondences import pair_colors, pair_points
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.data.superpixels import SuperpixelCache
from crosspoint.scene.data.transforms import SceneAugmentation, flip_images, resize_images
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.datasets.folder_writing import write_frame
from crosspoint.scene.datasets.rig import write_rig
from crosspoint.scene.viz.show import show

SIZES = ((40, 80), (72, 56))  # a wide image and a high one: neither holds the other


def made_cameras() -> Cameras:
    """One looks ahead, the other to the left."""
    K = torch.tensor(
        [[[width * 0.5, 0, width / 2], [0, width * 0.5, height / 2], [0, 0, 1]] for height, width in SIZES]
    )
    R = torch.tensor([[[0.0, -1, 0], [0, 0, -1], [1, 0, 0]], [[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]])
    return Cameras(K, R, torch.zeros(2, 3), (72, 80), sizes=torch.tensor(SIZES))


def made_frame() -> LidarSample:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(3000, 3, generator=generator) * torch.tensor([15.0, 15.0, 4.0])
    images = torch.zeros(2, 3, 72, 80, dtype=torch.uint8)
    for view, (height, width) in enumerate(SIZES):
        images[view, :, :height, :width] = torch.randint(1, 256, (3, height, width), generator=generator)
    return LidarSample("two sizes", points, {"intensity": torch.rand(3000)}, images, cameras=made_cameras())


def alone(frame: LidarSample, view: int) -> LidarSample:
    """The frame of a rig of one camera, whose image fills its array."""
    height, width = SIZES[view]
    camera = replace(made_cameras()[view], size=(height, width), sizes=None)
    return replace(frame, images=frame.images[view : view + 1, :, :height, :width], cameras=camera)


@pytest.mark.parametrize("occlusion", [None, 0.5])
def test_each_image_pairs_the_points_that_it_pairs_alone(occlusion: float | None) -> None:
    frame = made_frame()
    both = pair_points(frame, occlusion=occlusion)
    for view in range(2):
        own, single = both.pair_view == view, pair_points(alone(frame, view), occlusion=occlusion)
        assert len(single.pair_point) > 50
        assert torch.equal(both.pair_point[own], single.pair_point)
        torch.testing.assert_close(both.pair_pixel[own], single.pair_pixel)
        assert torch.equal(pair_colors(both)[own], pair_colors(single))
    assert (pair_colors(both) > 0).all()  # what lies beyond an image is black


def test_whole_images_are_resized_as_alone() -> None:
    frame = made_frame()
    both = resize_images(pair_points(frame), (30, 50))
    assert both.cameras is not None and both.cameras.sizes is None
    for view in range(2):
        single = resize_images(pair_points(alone(frame, view)), (30, 50))
        assert torch.equal(both.images[view], single.images[0])
        torch.testing.assert_close(both.pair_pixel[both.pair_view == view], single.pair_pixel)


def projected(frame: LidarSample) -> torch.Tensor:
    """Where its cameras see the points of its pairs: (P, 2)."""
    assert frame.cameras is not None
    return frame.cameras.project(frame.points)[0][frame.pair_view, frame.pair_point].float()


@pytest.mark.parametrize("seed", range(4))
def test_cameras_still_see_the_pairs_after_every_augmentation(seed: int) -> None:
    frame = pair_points(made_frame())
    frame = replace(frame, pixel_maps={"ones": (frame.images.sum(dim=1) > 0).long()})
    done = SceneAugmentation(size=(32, 48), pairs=20)(frame, torch.Generator().manual_seed(seed))
    torch.testing.assert_close(projected(done), done.pair_pixel, atol=1e-3, rtol=1e-4)
    assert (done.images.amin(dim=(2, 3)) > 0).all()  # no crop reaches beyond its image
    assert (done.pixel_maps["ones"] == 1).all()
    assert stack_samples([done, done]).images.shape == (4, 3, 32, 48)


def test_a_mirrored_image_stays_in_its_corner() -> None:
    frame = pair_points(made_frame())
    done = flip_images(frame, torch.Generator().manual_seed(0), 1.0)
    torch.testing.assert_close(projected(done), done.pair_pixel, atol=1e-3, rtol=1e-4)
    for view, (height, width) in enumerate(SIZES):
        assert torch.equal(done.images[view, :, :height, :width], frame.images[view, :, :height, :width].flip(2))
        assert not done.images[view, :, height:].any() and not done.images[view, :, :, width:].any()


def test_superpixels_are_those_of_the_image_alone(tmp_path: Path) -> None:
    frame, cache = made_frame(), SuperpixelCache(tmp_path)
    both = cache.add_to(frame).pixel_maps["superpixels"]
    for view, (height, width) in enumerate(SIZES):
        assert torch.equal(both[view, :height, :width], cache(alone(frame, view).images)[0])
        assert (both[view, height:] == -1).all() and (both[view, :, width:] == -1).all()


def test_a_rig_of_two_sizes_is_written_read_and_drawn(tmp_path: Path) -> None:
    frame = replace(made_frame(), name="000000")
    assert frame.cameras is not None
    write_rig(tmp_path / "rig", frame.cameras)
    write_frame(tmp_path / "rig", frame)
    read = FolderScenes(tmp_path / "rig")[0]
    assert torch.equal(read.images, frame.images) and read.cameras is not None
    assert torch.equal(read.cameras.image_sizes, torch.tensor(SIZES))
    assert [path.suffix for path in show(read, tmp_path / "out", classes=[])] == [".png", ".html"]


def test_an_image_of_another_size_than_the_calibration_says_is_refused(tmp_path: Path) -> None:
    frame = replace(made_frame(), name="000000")
    assert frame.cameras is not None
    write_rig(tmp_path, frame.cameras)
    write_frame(tmp_path, frame)
    (tmp_path / "images/camera_1/000000.png").write_bytes((tmp_path / "images/camera_0/000000.png").read_bytes())
    with pytest.raises(ValueError, match=r"found an image of 40×80 pixels, .*camera_1.*, expected 72×56"):
        FolderScenes(tmp_path)[0]


def test_sizes_that_no_array_holds_are_refused() -> None:
    cameras = made_cameras()
    with pytest.raises(ValueError, match=r"found images of sizes .* in arrays of 72×80 pixels, expected 2 sizes"):
        replace(cameras, sizes=torch.tensor([[40, 80], [72, 81]]))


def test_some_of_the_cameras_keep_their_sizes() -> None:
    cameras = made_cameras()
    assert cameras[1].image_sizes.tolist() == [[72, 56]]
    assert cameras[[1, 0]].scaled(2).image_sizes.tolist() == [[144, 112], [80, 160]]
    assert np.array_equal(replace(cameras, sizes=None).image_sizes, [[72, 80]] * 2)
