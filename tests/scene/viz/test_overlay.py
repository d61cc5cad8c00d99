import matplotlib
import numpy as np
import pytest
import torch

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.viz.colors import depth_colors, depth_scale
from crosspoint.scene.viz.images import overlay, pair_depths
from crosspoint.scene.viz.overlay import OUTLINE, paint_outlines, paint_points
from tests.scene.frames import made_frame, returns

SIZE = (60, 90)


@pytest.fixture
def frame():
    """A black frame of two cameras, one forward and one to the left, in a random cloud."""
    rng = np.random.default_rng(0)
    points = np.c_[rng.normal(0, 8, (3000, 3)), rng.random(3000)].astype(np.float32)
    K = torch.tensor([[70.0, 0.0, 45.0], [0.0, 70.0, 30.0], [0.0, 0.0, 1.0]]).repeat(2, 1, 1)
    forward = torch.tensor([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    left = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    cameras = Cameras(K, torch.stack([forward, left]), torch.tensor([[0.1, 0.2, -0.3], [0.0, 0.1, 0.0]]), SIZE)
    return made_frame("black", points, torch.zeros(2, 3, *SIZE, dtype=torch.uint8), cameras)


def test_colored_pixels_are_where_pairs_are_in_each_image(frame):
    pair = pair_points(frame)
    depth = pair_depths(pair)
    painted = depth_colors(depth, depth_scale(depth))
    for view in (0, 1):
        image = overlay(pair, depth, painted, view, radius=0)
        rows, columns = image.any(axis=2).nonzero()
        x, y = pair.pair_pixel[pair.pair_view == view].floor().int().unbind(dim=1)
        expected = set(zip(y.tolist(), x.tolist(), strict=True))
        assert len(expected) > 100
        assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == expected
    assert not frame.images.any()  # the frame is not painted over


def test_depths_are_those_along_the_cameras_axes(frame):
    pair = pair_points(frame)
    x, y, _ = returns(frame)[pair.pair_point.numpy(), :3].T
    expected = np.where(pair.pair_view == 0, x - 0.3, y)
    np.testing.assert_allclose(pair_depths(pair), expected, atol=1e-5)


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_discs_hide_as_a_depth_buffer_does(radius):
    rng = np.random.default_rng(radius)
    height, width, count = 20, 30, 60
    pixels, depth = rng.random((count, 2)) * [width, height], rng.permutation(count) + 1.0
    colors = rng.integers(1, 256, (count, 3)).astype(np.uint8)
    image = np.zeros((height, width, 3), dtype=np.uint8)
    paint_points(image, pixels, depth, colors, radius)
    expected, nearest = np.zeros_like(image), np.full((height, width), np.inf)
    for (x, y), meters, color in zip(pixels, depth, colors, strict=True):
        for row in range(height):
            for column in range(width):
                near = (row - int(y)) ** 2 + (column - int(x)) ** 2 < (radius + 0.5) ** 2
                if near and meters < nearest[row, column]:
                    expected[row, column], nearest[row, column] = color, meters
    np.testing.assert_array_equal(image, expected)


def test_colors_go_one_way_with_depth():
    depth = np.sort(np.random.default_rng(0).uniform(1.5, 70, 500))
    table = matplotlib.colormaps["turbo_r"](np.arange(256), bytes=True)[:, :3].astype(int)
    found = depth_colors(depth, depth_scale(depth)).astype(int)
    places = np.abs(found[:, None] - table).sum(axis=2).argmin(axis=1)
    assert (np.diff(places) >= 0).all() and places[0] == 0 and places[-1] == 255
    near, far = found[0], found[-1]
    assert near[0] > 2 * near[2] and far[2] > far[0]  # red near, blue far
    equal = np.full(3, 12.0)
    assert len(np.unique(depth_colors(equal, depth_scale(equal)), axis=0)) == 1


def test_outlines_follow_where_regions_meet():
    regions = np.zeros((12, 16), dtype=np.int64)
    regions[:, 9:], regions[7:, :9] = 1, 2
    image = np.zeros((12, 16, 3), dtype=np.uint8)
    paint_outlines(image, regions)
    expected = np.zeros((12, 16), dtype=bool)
    expected[:, 8], expected[6, :9] = True, True
    np.testing.assert_array_equal((image == OUTLINE).all(axis=2), expected)
    thick = np.zeros_like(image)
    paint_outlines(thick, regions, 3)
    assert thick[expected].all() and thick[:, 8:11].all() and not thick[:6, :8].any() and not thick[:, 11:].any()
    flat = np.zeros_like(image)
    paint_outlines(flat, np.full((12, 16), 4))
    assert not flat.any()


def test_outlines_lie_below_points(frame):
    pair = pair_points(frame)
    depth = pair_depths(pair)
    regions = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE)
    painted = depth_colors(depth, depth_scale(depth))
    bare, outlined = (overlay(pair, depth, painted, 0, r, radius=0) for r in (None, regions))
    points = bare.any(axis=2)
    np.testing.assert_array_equal(outlined[points], bare[points])
    assert (outlined[~points] == OUTLINE).all(axis=1).mean() > 0.99
