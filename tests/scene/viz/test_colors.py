import numpy as np
import pytest
import torch

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.datasets import nuscenes, rellis3d, semantickitti
from crosspoint.scene.viz.class_colors import class_colors
from crosspoint.scene.viz.colorings import by_class, by_height, by_image, by_intensity
from crosspoint.scene.viz.colors import RIGHT, UNKNOWN, WRONG, hexadecimal, ramp
from tests.scene.frames import made_frame, returns, with_field, with_returns

CLASSES = ["car", "hovercraft", "road"]


@pytest.fixture
def frame():
    """Ten points in a row, the second half of them behind the only camera."""
    points = np.zeros((10, 4), dtype=np.float32)
    points[:, 0], points[:, 2], points[:, 3] = np.arange(5, -5, -1), np.arange(10) / 100, np.linspace(0, 1, 10)
    forward = torch.tensor([[[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]])
    K = torch.tensor([[[40.0, 0.0, 20.0], [0.0, 40.0, 20.0], [0.0, 0.0, 1.0]]])
    images = torch.arange(40 * 40 * 3, dtype=torch.int32).remainder(251).to(torch.uint8).view(1, 3, 40, 40)
    return made_frame("row", points, images, Cameras(K, forward, torch.zeros(1, 3), (40, 40)))


@pytest.mark.parametrize("dataset", [nuscenes, rellis3d, semantickitti])
def test_no_two_classes_of_a_data_set_look_alike(dataset):
    colors = class_colors(dataset.CLASSES).astype(int)
    assert colors.shape == (len(dataset.CLASSES), 3)
    apart = np.abs(colors[:, None] - colors).sum(axis=2)
    assert apart[~np.eye(len(colors), dtype=bool)].min() > 40
    assert colors.max(axis=1).min() > 100  # none is lost on black


def test_names_are_known_however_they_are_written_and_others_get_colors_too():
    np.testing.assert_array_equal(class_colors(["Traffic_Sign", "car"]), class_colors(["traffic-sign", "car"]))
    strange = class_colors([f"thing {number}" for number in range(20)])
    assert len(np.unique(strange, axis=0)) == 20
    assert class_colors([]).shape == (0, 3)


def test_classes_predictions_and_mistakes(frame):
    labels, predictions = np.array([0, 1, 2, IGNORED, 0] * 2), np.array([0, 2, 2, 1, IGNORED] * 2)
    table = class_colors(CLASSES)
    [alone] = by_class(with_field(frame, "label", labels), CLASSES, None)
    assert alone.title == "class"
    np.testing.assert_array_equal(alone.of_points[:5], [table[0], table[1], table[2], UNKNOWN, table[0]])
    truth, predicted, mistakes = by_class(with_field(frame, "label", labels), CLASSES, predictions)
    assert [truth.title, predicted.title, mistakes.title] == [
        "truth",
        "prediction",
        "mistakes, 50.0% right, mIoU 33.3%",
    ]
    np.testing.assert_array_equal(truth.of_points, alone.of_points)
    np.testing.assert_array_equal(predicted.of_points[:5], [table[0], table[2], table[2], table[1], UNKNOWN])
    np.testing.assert_array_equal(mistakes.of_points[:5], [RIGHT, WRONG, RIGHT, UNKNOWN, WRONG])
    assert [one.title for one in by_class(frame, CLASSES, predictions)] == ["prediction"]
    assert not list(by_class(frame, CLASSES, None))
    nothing = by_class(with_field(frame, "label", np.full(10, IGNORED)), CLASSES, predictions)
    assert [one.title for one in nothing] == ["truth", "prediction", "mistakes"]


def test_height_and_intensity_go_up_the_ramp(frame):
    for coloring, values in ((by_height(frame), returns(frame)[:, 2]), (by_intensity(frame), returns(frame)[:, 3])):
        low, high = coloring.limits
        assert values.min() <= low < high <= values.max()
        places = coloring.places.astype(int)
        assert (np.diff(places) > 0).all() and places[0] == 0 and places[-1] == 255
        inner = slice(1, -1)
        np.testing.assert_allclose((values[inner] - low) / (high - low), places[inner] / 255, atol=1 / 255)
        np.testing.assert_array_equal(coloring.of_points, ramp()[places])
    flat = with_returns(frame, np.ones((4, 4), dtype=np.float32))
    assert (by_height(flat).of_points == ramp()[0]).all()


def test_points_take_the_color_of_their_pixel_and_others_are_gray(frame):
    pair = pair_points(frame)
    found = by_image(pair).of_points
    seen = pair.pair_point.tolist()
    assert seen == [0, 1, 2, 3]  # beyond one meter before the camera
    for point, (x, y) in zip(seen, pair.pair_pixel.tolist(), strict=True):
        np.testing.assert_array_equal(found[point], frame.images[0, :, int(y), int(x)])
    assert (found[4:] == UNKNOWN).all()


def test_hexadecimal():
    assert hexadecimal((0, 128, 255)) == "#0080ff"
