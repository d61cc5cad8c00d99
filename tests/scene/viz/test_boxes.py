import matplotlib
import numpy as np
import pytest
import torch

from crosspoint.renderers.cameras import Cameras, look_at
from crosspoint.scene.viz.boxes import NEAREST, box_kinds, image_lines
from crosspoint.scene.viz.class_colors import class_colors
from crosspoint.scene.viz.outlines import box_corners, box_lines
from tests.scene.frames import made_boxes

K = torch.tensor([[100.0, 0.0, 50.0], [0.0, 110.0, 40.0], [0.0, 0.0, 1.0]])
FORWARD = torch.tensor([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
AHEAD = Cameras(K[None], FORWARD[None], torch.tensor([[0.0, 0.0, 0.0]]), (80, 100))


def test_a_box_projected_by_hand():
    """A cube of 2 m, its center 5 m ahead: faces at 4 and 6 m, corners at ±1 m sideways and up and down."""
    lines = image_lines(box_lines(np.array([[5.0, 0.0, 0.0, 2.0, 2.0, 2.0, 0.0]])), AHEAD, 0)
    assert lines.shape == (14, 2, 2)
    rear = {(50 + side * 100 / 4, 40 + height * 110 / 4) for side in (-1, 1) for height in (-1, 1)}
    front = {(50 + side * 100 / 6, 40 + height * 110 / 6) for side in (-1, 1) for height in (-1, 1)}
    found = {tuple(np.round(end, 9)) for end in lines.reshape(-1, 2).tolist()}
    assert found == {tuple(np.round(end, 9)) for end in rear | front}


def test_lines_before_any_camera_are_its_projections():
    R, t = look_at(torch.tensor([[9.0, 2.0, 3.0], [-12.0, 1.0, 2.0]]), up=torch.tensor([0.0, 0.0, 1.0]))
    cameras = Cameras(K.expand(2, 3, 3), R, t, (80, 100))
    lines = box_lines(np.array([[1.0, 0.5, 0.0, 4.0, 2.0, 1.5, 0.6]]))
    pixels, depth = cameras.project(torch.from_numpy(lines.reshape(-1, 3)))
    assert (depth > 1).all()
    for view in (0, 1):
        np.testing.assert_allclose(image_lines(lines, cameras, view).reshape(-1, 2), pixels[view].numpy())


def test_lines_are_cut_where_they_pass_the_camera():
    """Beside the camera from 3 m behind it to 5 m ahead; wholly behind; across it, on the plane; and its reverse."""
    passing = np.array([[-3.0, 2.0, 1.0], [5.0, 2.0, 1.0]])
    behind = np.array([[-3.0, 0.0, 0.0], [-1.0, 2.0, 0.0]])
    lines = image_lines(np.stack([passing, behind, passing[::-1]]), AHEAD, 0)
    cut, far = [50 - 100 * 2 / NEAREST, 40 - 110 * 1 / NEAREST], [50 - 100 * 2 / 5, 40 - 110 * 1 / 5]
    np.testing.assert_allclose(lines, [[cut, far], [far, cut]])
    assert image_lines(behind[None], AHEAD, 0).shape == (0, 2, 2)
    assert image_lines(np.zeros((0, 2, 3)), AHEAD, 0).shape == (0, 2, 2)


@pytest.mark.filterwarnings("error")
def test_what_is_left_of_a_line_lies_on_it_and_before_the_camera():
    """Rays through the cut ends meet the lines in space at depths from the plane on; all that is visible is there."""
    rng = np.random.default_rng(0)
    lines = rng.normal(0, 4, (500, 2, 3))
    lines[0, :, 0] = NEAREST / 2  # parallel to the image, before the plane
    found = image_lines(lines, AHEAD, 0)
    depth = lines[..., 0]  # the camera looks along x
    kept = (depth > NEAREST).any(axis=1)
    assert len(found) == kept.sum() < 450 and np.isfinite(found).all()
    for (near, far), (first, last) in zip(lines[kept], found, strict=True):
        shares = np.linspace(0, 1, 50)[:, None]
        points = near + shares * (far - near)
        points = points[points[:, 0] >= NEAREST]
        pixels = AHEAD.project(torch.from_numpy(points))[0][0].numpy()
        along = (last - first) / np.linalg.norm(last - first)
        steps = (pixels - first) @ along
        np.testing.assert_allclose(first + steps[:, None] * along, pixels, atol=1e-6 * np.abs(found).max())
        assert (steps > -1e-6).all() and (steps < np.linalg.norm(last - first) + 1e-6).all()


def test_boxes_are_sorted_by_class_and_named():
    geometry = np.random.default_rng(0).normal(size=(5, 7))
    boxes = made_boxes(geometry, np.array([2, 0, 2, 0, 0]))
    names = ["car", "$x$", "Cyclist"]
    first, second = box_kinds(boxes, names)
    assert (first.name, second.name) == ("box: car", "box: Cyclist")
    np.testing.assert_array_equal([first.color, second.color], class_colors(names)[[0, 2]])
    np.testing.assert_array_equal(first.geometry, geometry[[1, 3, 4]])
    np.testing.assert_array_equal(second.geometry, geometry[[0, 2]])
    [unnamed] = box_kinds(boxes, [])
    assert unnamed.name == "boxes" and unnamed.color.tolist() == [255, 255, 255]
    np.testing.assert_array_equal(unnamed.geometry, geometry)
    assert box_kinds(None, names) == box_kinds(made_boxes(np.zeros((0, 7)), np.zeros(0, dtype=np.int64)), names) == []


def test_corners_of_a_box_around_the_camera_are_seen_on_the_side_they_are_on():
    """None of the corners behind is mirrored to the front: of the 8, the 4 ahead are ends of lines."""
    geometry = np.array([[0.5, 0.2, 0.1, 6.0, 2.0, 2.0, 0.3]])
    corners = torch.from_numpy(box_corners(geometry)[0])
    pixels, depth = AHEAD.project(corners)
    ends = {tuple(end) for end in np.round(image_lines(box_lines(geometry), AHEAD, 0).reshape(-1, 2), 6).tolist()}
    for pixel, meters in zip(np.round(pixels[0].numpy(), 6).tolist(), depth[0].tolist(), strict=True):
        assert (tuple(pixel) in ends) == (meters > 0)


def test_colors_of_boxes_are_told_apart_on_dark():
    table = class_colors(["Car", "Pedestrian", "Cyclist"]) / 255.0
    hue = matplotlib.colors.rgb_to_hsv(table)[:, 0]
    assert len(np.unique(np.round(hue, 1))) == 3 and table.max(axis=1).min() > 0.9
