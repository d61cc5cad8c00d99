from dataclasses import replace

import numpy as np
import pytest
import torch

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.viz.chosen_point import central_point, nearest_point
from tests.scene.frames import made_boxes, made_frame, returns

FORWARD = [[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]
BACKWARD = [[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]]
UP = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]


def frame_of(*turns):
    rng = np.random.default_rng(0)
    points = np.c_[rng.uniform([-20, -15, -2], [30, 15, 3], (300, 3)), rng.random(300)].astype(np.float32)
    K = torch.tensor([[40.0, 0.0, 20.0], [0.0, 40.0, 15.0], [0.0, 0.0, 1.0]]).expand(len(turns), 3, 3)
    cameras = Cameras(K, torch.tensor(turns), torch.zeros(len(turns), 3), (30, 50))
    images = torch.zeros(len(turns), 3, 30, 50, dtype=torch.uint8)
    return made_frame("street", points, images, cameras, boxes=made_boxes([[9.0, 2, 0, 4, 2, 1, 0]], [0]))


@pytest.mark.parametrize(("turns", "first"), [((FORWARD, BACKWARD), 0), ((BACKWARD, FORWARD), 0), ((UP, FORWARD), 1)])
def test_it_is_in_the_middle_of_the_first_image_that_sees_a_point(turns, first):
    """Before all the camera that looks up: its image is empty, as no point is high enough."""
    frame = pair_points(frame_of(*turns), min_depth=4.0)
    best, nearest = None, np.inf
    for point, view, pixel in zip(frame.pair_point, frame.pair_view, frame.pair_pixel, strict=True):
        away = np.hypot(float(pixel[0]) - 25, float(pixel[1]) - 15)
        if view == first and away < nearest:
            best, nearest = int(point), away
    assert central_point(frame) == best


def test_without_images_it_is_in_the_first_box_or_in_the_middle_of_the_cloud():
    frame = frame_of(FORWARD).keep_views(torch.arange(0))
    points = returns(frame)[:, :3]
    assert central_point(frame) == min(range(300), key=lambda row: np.linalg.norm(points[row] - [9, 2, 0]))
    for none in (None, made_boxes(np.zeros((0, 7)), [])):
        middle = central_point(replace(frame, boxes=none))
        assert middle == min(range(300), key=lambda row: np.linalg.norm(points[row] - np.median(points, axis=0)))


def test_of_equally_near_points_the_first_counts():
    points = np.array([[5.0, 0, 0], [1, 0, 0], [-1, 0, 0], [1, 0, 0]], dtype=np.float32)
    assert nearest_point(points, np.array([1.2, 0, 0])) == 1
    assert nearest_point(points, np.zeros(3)) == 1
