import numpy as np
import torch
from scipy.spatial.transform import Rotation

from crosspoint.renderers.cameras import Cameras, look_at
from crosspoint.scene.viz.birdseye import window
from crosspoint.scene.viz.outlines import box_corners, box_lines, camera_lines

BOXES = np.array([[10.0, -3.0, 0.5, 4.0, 2.0, 1.5, 0.6], [-5.0, 8.0, 1.0, 0.8, 0.6, 1.8, -2.5]])


def test_corners_lie_at_half_the_size_in_the_boxs_own_axes():
    for geometry, corners in zip(BOXES, box_corners(BOXES), strict=True):
        own = Rotation.from_euler("z", -geometry[6]).apply(corners - geometry[:3])
        np.testing.assert_allclose(np.abs(own), np.tile(geometry[3:6] / 2, (8, 1)), atol=1e-12)
        assert len(np.unique(np.sign(own), axis=0)) == 8
        assert (own[[0, 1, 4, 5], 0] > 0).all() and (own[:4, 2] < 0).all()  # the front; the bottom


def test_edges_are_as_long_as_the_box_and_the_front_is_crossed():
    lines = box_lines(BOXES).reshape(2, 14, 2, 3)
    for geometry, segments in zip(BOXES, lines, strict=True):
        length, width, height = geometry[3:6]
        found = np.sort(np.linalg.norm(segments[:12, 1] - segments[:12, 0], axis=1))
        np.testing.assert_allclose(found, np.sort([length, width, height] * 4))
        front = geometry[:3] + length / 2 * np.array([np.cos(geometry[6]), np.sin(geometry[6]), 0])
        np.testing.assert_allclose(segments[12:].mean(axis=1), [front, front])


def test_cameras_are_drawn_where_they_stand_and_see():
    R, t = look_at(torch.tensor([[2.0, 1.0, 0.5], [-3.0, 0.0, 1.0]]))
    K = torch.tensor([[80.0, 0.0, 31.0], [0.0, 75.0, 22.0], [0.0, 0.0, 1.0]]).repeat(2, 1, 1)
    cameras = Cameras(K, R, t, (40, 60))
    lines = torch.from_numpy(camera_lines(cameras, 1.5)).reshape(2, 8, 2, 3)
    corners = torch.tensor([[0.0, 0.0], [60.0, 0.0], [60.0, 40.0], [0.0, 40.0]], dtype=torch.float64)
    for view in (0, 1):
        rays, frame = lines[view, :4], lines[view, 4:]
        torch.testing.assert_close(rays[:, 0], cameras.centers[view].expand(4, 3))
        pixels, depth = cameras[view].project(rays[:, 1])
        torch.testing.assert_close(pixels[0], corners)
        torch.testing.assert_close(depth[0], torch.full((4,), 1.5, dtype=torch.float64))
        torch.testing.assert_close(frame[:, 0], rays[:, 1])
        torch.testing.assert_close(frame[:, 1], rays[[1, 2, 3, 0], 1])


def test_the_map_has_its_shape_and_holds_the_sensor_and_nearly_all_points():
    rng = np.random.default_rng(0)
    for points in (rng.normal(0, 20, (5000, 4)), rng.uniform(5, 40, (5000, 4)), np.zeros((1, 4))):
        for aspect in (0.7, 2.0):
            (left, right), (bottom, top) = window(points, aspect)
            np.testing.assert_allclose((right - left) / (top - bottom), aspect)
            assert left < 0 < right and bottom < 0 < top
            x, y = points[:, 0], points[:, 1]
            assert ((x > left) & (x < right) & (y > bottom) & (y < top)).mean() > 0.9
    stray = np.concatenate([rng.normal(0, 20, (5000, 4)), [[9000.0, 9000.0, 0.0, 0.0]]])
    assert window(stray, 1.0)[0][1] < 150  # one bird does not shrink the street
