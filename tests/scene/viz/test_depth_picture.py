"""Pictures of depth: the colors of what is measured, and shapes that fit."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from crosspoint.scene.viz.colors import depth_colors, depth_scale
from crosspoint.scene.viz.depth import draw_depth, measured_colors


def test_a_measured_pixel_is_drawn_in_its_color_and_the_nearer_one_on_top() -> None:
    depth = np.zeros((20, 30), dtype=np.float32)
    depth[5, 5], depth[5, 7], depth[15, 20] = 4.0, 40.0, 10.0
    scale = depth_scale(np.array([2.0, 80.0]))
    painted = measured_colors(depth, scale)
    near, far = depth_colors(np.array([4.0, 40.0]), scale)
    assert (painted[4:7, 4:7] == near).all() and (painted[4:7, 7:9] == far).all()
    assert len(np.unique(painted.reshape(-1, 3), axis=0)) == 4
    assert (painted[0, 0] == painted[19, 29]).all()


def test_a_row_of_three_for_each_image() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 3, 24, 48), dtype=np.uint8)
    truth = rng.uniform(2, 50, (2, 24, 48)) * (rng.random((2, 24, 48)) < 0.2)
    figure = draw_depth(images, truth, rng.uniform(2, 50, (2, 24, 48)))
    assert len(figure.axes) == 2 * 3 + 1
    assert (np.asarray(figure.axes[3].images[0].get_array()) == images[1].transpose(1, 2, 0)).all()
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=30)
    assert Image.open(file).size[0] == 480


def test_parts_that_do_not_fit() -> None:
    images, depth = np.zeros((1, 3, 4, 4), np.uint8), np.ones((1, 4, 4))
    with pytest.raises(ValueError, match=r"found images .* expected"):
        draw_depth(images, depth, np.ones((1, 4, 5)))
    with pytest.raises(ValueError, match="found no pixel with a depth"):
        draw_depth(images, 0 * depth, depth)
