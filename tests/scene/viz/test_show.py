import base64
import io
import json
import re
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.text import Text
from PIL import Image

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.viz import show
from crosspoint.scene.viz.class_colors import class_colors
from crosspoint.scene.viz.colorings import by_height, by_image, by_intensity
from crosspoint.scene.viz.colors import UNKNOWN, depth_colors, depth_scale, hexadecimal, ramp
from crosspoint.scene.viz.images import overlay, pair_depths
from crosspoint.scene.viz.outlines import box_corners, box_lines
from crosspoint.scene.viz.page import write_page
from crosspoint.scene.viz.picture import draw_frame
from crosspoint.scene.viz.show import DPI
from tests.scene.frames import labels_of, made_boxes, made_frame, returns, with_field, with_returns

CLASSES = ["car", "$x_1$ <b>", "road"]


def make_frame(count=400, views=2, size=(30, 50), **parts):
    rng = np.random.default_rng(0)
    points = np.c_[rng.uniform([-20, -15, -2], [30, 15, 3], (count, 3)), rng.random(count)].astype(np.float32)
    forward = torch.tensor([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    K = torch.tensor([[40.0, 0.0, 25.0], [0.0, 40.0, 15.0], [0.0, 0.0, 1.0]])
    cameras = Cameras(K.expand(views, 3, 3), forward.expand(views, 3, 3), torch.zeros(views, 3), size)
    images = torch.randint(256, (views, 3, *size), dtype=torch.uint8, generator=torch.manual_seed(0))
    return made_frame("drive 3/000007", points, images, cameras, **parts)


@pytest.fixture
def frame():
    labels = np.random.default_rng(1).integers(IGNORED, 3, 400)
    boxes = made_boxes(np.array([[10.0, 2.0, 0.0, 4.0, 1.8, 1.5, 0.3]]), np.array([0]))
    return make_frame(labels=labels, boxes=boxes)


@pytest.fixture
def lidar_only():
    return make_frame(views=0)


def content_of(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text)[1])


def numbers(text, dtype):
    return np.frombuffer(base64.b64decode(text), dtype=dtype)


def test_it_writes_a_picture_and_a_page_that_are_the_same_each_time(frame, tmp_path):
    first = show(frame, tmp_path / "a", classes=CLASSES)
    assert first == [tmp_path / "a" / "drive-3-000007.png", tmp_path / "a" / "drive-3-000007.html"]
    assert sorted(first) == sorted((tmp_path / "a").iterdir())
    second = show(frame, tmp_path / "b", classes=CLASSES)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    with Image.open(first[0]) as image:
        assert image.width == 1920 and np.ptp(np.asarray(image.convert("L"))) == 255


def test_the_page_holds_every_point_to_half_a_step(frame, tmp_path):
    write_page(pair_points(frame), tmp_path / "page.html", CLASSES)
    content = content_of(tmp_path / "page.html")
    assert content["count"] == 400 and content["title"] == frame.name
    found = content["origin"] + content["step"] * numbers(content["points"], "<u2").reshape(-1, 3)
    np.testing.assert_allclose(found, returns(frame)[:, :3], atol=0.51 * content["step"])
    assert content["step"] < 50 / 65000


def test_the_page_holds_classes_height_intensity_images_and_boxes(frame, tmp_path):
    write_page(pair_points(frame), tmp_path / "page.html", CLASSES)
    content = content_of(tmp_path / "page.html")
    named, height, intensity, image = content["colorings"]
    assert [one["title"] for one in content["colorings"]] == ["class", "height z, m", "intensity", "image"]
    assert named["names"] == [*CLASSES, "no class"]
    assert named["colors"] == ["#{:02x}{:02x}{:02x}".format(*c) for c in [*class_colors(CLASSES).tolist(), UNKNOWN]]
    np.testing.assert_array_equal(numbers(named["places"], "<u2"), np.where(labels_of(frame) < 0, 3, labels_of(frame)))
    np.testing.assert_array_equal(numbers(height["places"], "u1"), by_height(frame).places)
    np.testing.assert_array_equal(numbers(intensity["places"], "u1"), by_intensity(frame).places)
    np.testing.assert_array_equal(numbers(content["ramp"], "u1").reshape(-1, 3), ramp())
    taken = by_image(pair_points(frame)).of_points
    np.testing.assert_array_equal(numbers(image["of_points"], "u1").reshape(-1, 3), taken)
    boxes, cameras = content["lines"]
    assert (boxes["title"], cameras["title"]) == ("boxes", "cameras")
    np.testing.assert_allclose(
        np.reshape(boxes["ends"], (-1, 2, 3)), box_lines(frame.boxes.geometry.numpy()), atol=5e-4
    )


def test_the_page_fetches_nothing_and_no_name_becomes_markup(frame, tmp_path):
    hostile = replace(frame, name="</script><img src=x> \udc80 $style")
    text = show(hostile, tmp_path, classes=["</script><b>", "<!--", "a"])[1].read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|\bimport\b|url\(|<link(?! rel=\"icon\" href=\"data:,\")", text)
    assert text.count("</script>") == 2 and "<img" not in text and "<!--" not in text
    assert "default-src 'none'" in text


def test_the_picture_shows_the_overlays_and_one_map(frame):
    pair = pair_points(frame)
    figure = draw_frame(pair, CLASSES)
    drawn = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    depth = pair_depths(pair)
    painted = depth_colors(depth, depth_scale(depth))
    expected = [overlay(pair, depth, painted, view) for view in (0, 1)]
    np.testing.assert_array_equal(drawn, expected)
    [cloud] = [axes for axes in figure.axes if axes.get_xlabel() == "x forward, m"]
    assert cloud.get_title("left") == "class"
    at = cloud.collections[0].get_offsets()
    inside = {tuple(point) for point in at.tolist()}
    assert 0.85 * 400 < len(at) and inside <= {tuple(point) for point in returns(frame)[:, :2].tolist()}


def test_predictions_stand_beside_the_truth(frame):
    predictions = np.where(labels_of(frame) == 2, 0, labels_of(frame))
    figure = draw_frame(pair_points(frame), CLASSES, predictions)
    titles = [axes.get_title("left") for axes in figure.axes if axes.get_xlabel() == "x forward, m"]
    right = (labels_of(frame)[labels_of(frame) >= 0] != 2).mean()
    assert titles[:2] == ["truth", "prediction"] and titles[2].startswith(f"mistakes, {right:.1%} right, mIoU ")
    [legend] = [legend for part in figure.subfigs for legend in part.legends]
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [*CLASSES, "no class", "right", "wrong", "boxes"]


def test_predictions_stand_beside_the_truth_in_the_images_too(frame):
    predictions = np.where(labels_of(frame) == 2, 0, labels_of(frame))
    pair = pair_points(frame)
    table = np.concatenate([class_colors(CLASSES), [UNKNOWN]])
    for shown, kinds in (
        (frame, {"truth": labels_of(frame), "prediction": predictions}),
        (with_field(frame, "label", None), {"prediction": predictions}),
    ):
        figure = draw_frame(pair_points(shown), CLASSES, predictions)
        drawn = {axes.get_title("left"): axes.images[0].get_array() for axes in figure.axes if axes.images}
        for kind, labels in kinds.items():
            painted = table[labels][pair.pair_point.numpy()].astype(np.uint8)
            for view in (0, 1):
                expected = overlay(pair, pair_depths(pair), painted, view)
                np.testing.assert_array_equal(drawn[f"{kind}, image {view}"], expected)
        assert len(drawn) == 2 + 2 * len(kinds)


def test_boxes_are_drawn_in_the_colors_of_their_classes(frame):
    """A box ahead is a wireframe in both images and an outline on the map; one behind is on the map alone."""
    ahead, behind = [10.0, 2.0, 0.0, 4.0, 1.8, 1.5, 0.3], [-10.0, 2.0, 0.0, 4.0, 1.8, 1.5, 0.3]
    names = ["Car", "Cyclist"]
    frame = replace(frame, boxes=made_boxes(np.array([ahead, behind]), np.array([0, 1])))
    figure = draw_frame(pair_points(frame), CLASSES, box_classes=names)
    car, cyclist = map(hexadecimal, class_colors(names))

    def lines_of(axes, color):
        color = matplotlib.colors.to_rgba(color)
        found = [one for one in axes.collections if isinstance(one, LineCollection)]
        return [line for one in found if tuple(one.get_colors()[0]) == color for line in one.get_segments()]

    images = [axes for axes in figure.axes if axes.images]
    ends, _ = frame.cameras.project(torch.from_numpy(box_lines(np.array([ahead])).reshape(-1, 3)))
    for view, axes in enumerate(images):
        np.testing.assert_allclose(np.reshape(lines_of(axes, car), (-1, 2)), ends[view].numpy())
        assert lines_of(axes, cyclist) == []
        assert (axes.get_xlim(), axes.get_ylim()) == ((0, 50), (30, 0))
    [cloud] = [axes for axes in figure.axes if axes.get_xlabel() == "x forward, m"]
    for color, box in ((car, ahead), (cyclist, behind)):
        outline, heading = lines_of(cloud, color)
        np.testing.assert_allclose(outline[:4], box_corners(np.array([box]))[0, :4, :2])
        np.testing.assert_allclose(heading[0], box[:2])


def test_the_page_has_lines_for_each_class_of_boxes(frame, tmp_path):
    geometry = np.random.default_rng(0).normal(size=(3, 7))
    frame = replace(frame, boxes=made_boxes(geometry, np.array([1, 0, 1])))
    page = show(frame, tmp_path, classes=CLASSES, box_classes=["car", "</script>"])[1]
    first, second, cameras = content_of(page)["lines"]
    assert [first["title"], second["title"], cameras["title"]] == ["box: car", "box: </script>", "cameras"]
    assert [first["count"], second["count"], cameras["count"]] == [1, 2, 2]
    np.testing.assert_allclose(np.reshape(second["ends"], (-1, 2, 3)), box_lines(geometry[[0, 2]]), atol=5e-4)
    assert first["color"] == hexadecimal(class_colors(["car"])[0])


def test_no_text_of_the_picture_overlaps_another_or_is_cut_off(frame, monkeypatch):
    """Long names, many views, and a bar of colors beside a legend, drawn as they are written."""
    drawn = {}
    draw = Text.draw

    def record(text, renderer):
        if text.get_text().strip() and text.get_visible():
            drawn[text] = text.get_window_extent(renderer)
        draw(text, renderer)

    monkeypatch.setattr(Text, "draw", record)
    many = make_frame(views=6, labels=labels_of(frame), boxes=frame.boxes)
    wide = make_frame(views=1, size=(20, 60), boxes=frame.boxes)
    predictions = np.zeros(400, dtype=np.int64)
    for shown, classes, given in ((many, CLASSES, predictions), (wide, [], None), (frame, CLASSES, None)):
        drawn.clear()
        figure = draw_frame(pair_points(shown), classes, given, box_classes=["construction_vehicle"])
        figure.savefig(io.BytesIO(), format="png", dpi=DPI)
        extents = list(drawn.values())
        assert len(extents) > 15
        for place, extent in enumerate(extents):
            corners = np.reshape(extent.extents, (2, 2))
            assert (corners >= 0).all() and (corners <= figure.get_size_inches() * DPI).all()
            assert not any(extent.overlaps(other) for other in extents[:place])


def test_images_without_pairs_are_refused(frame):
    with pytest.raises(ValueError, match="found no pairs of points and pixels in drive 3/000007, expected some"):
        draw_frame(frame, CLASSES)


def test_regions_are_outlined(frame):
    regions = torch.zeros(2, 30, 50, dtype=torch.int64)
    regions[1, :, 20:] = 1
    pair = pair_points(frame)
    plain, outlined = (
        [axes.images[0].get_array() for axes in draw_frame(replace(pair, pixel_maps=maps), CLASSES).axes if axes.images]
        for maps in ({}, {"superpixels": regions})
    )
    np.testing.assert_array_equal(plain[0], outlined[0])
    changed = (np.asarray(plain[1]) != outlined[1]).any(axis=2)
    assert changed.any() and set(changed.nonzero()[1].tolist()) == {19}


def test_a_frame_without_images_is_drawn_from_above_alone(lidar_only, tmp_path):
    figure = draw_frame(lidar_only, [])
    assert not any(axes.images for axes in figure.axes)
    assert [axes.get_title("left") for axes in figure.axes if axes.get_xlabel()] == ["height z, m"]
    _, page = show(lidar_only, tmp_path, classes=[])
    content = content_of(page)
    assert [one["title"] for one in content["colorings"]] == ["height z, m", "intensity"]
    assert content["lines"] == []


def test_one_point_can_be_shown(lidar_only, tmp_path):
    picture, page = show(with_returns(lidar_only, np.ones((1, 4), dtype=np.float32)), tmp_path, classes=[])
    assert picture.exists() and content_of(page)["count"] == 1


def same(frame):
    return frame


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (same, {"predictions": np.zeros(399, dtype=np.int64)}, r"predictions \(399,\) int64 for drive 3/000007.* 400"),
        (same, {"predictions": np.zeros(400)}, r"predictions \(400,\) float64 .*expected one integer"),
        (same, {"predictions": np.full(400, 3)}, "predictions from 3 to 3 .*expected -1 to 2: there are 3 classes"),
        (lambda frame: with_field(frame, "label", np.full(400, 0.5)), {}, r"labels \(400,\) float64"),
        (lambda frame: with_field(frame, "label", np.full(400, -2)), {}, "labels from -2 to -2"),
        (same, {"regions": torch.zeros(1, 30, 50)}, r"superpixels of shape \(1, 30, 50\).*expected \(2, 30, 50\)"),
        (
            lambda frame: replace(frame, boxes=made_boxes(np.ones((2, 7)), np.array([0, 1]))),
            {"box_classes": ["car"]},
            "boxes of labels from 0 to 1 .*expected 0 to 0: there are 1 classes of boxes",
        ),
        (lambda frame: with_returns(frame, np.full((400, 4), np.nan, np.float32)), {}, "400 points with NaN"),
        (lambda frame: with_returns(frame, np.zeros((0, 4), np.float32)), {}, "found no point in drive 3/000007"),
        (lambda frame: with_returns(frame, np.full((400, 4), -9, np.float32)), {}, "none of 400 points"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line_and_nothing_is_written(frame, tmp_path, change, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        show(change(frame), tmp_path, classes=CLASSES, **options)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
