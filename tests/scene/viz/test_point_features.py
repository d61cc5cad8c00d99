import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from sklearn.metrics.pairwise import cosine_similarity

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.viz import show
from crosspoint.scene.viz.chosen_point import central_point
from crosspoint.scene.viz.colors import ACCENT, ramp
from crosspoint.scene.viz.images import overlay, pair_depths
from crosspoint.scene.viz.page import write_page
from crosspoint.scene.viz.picture import draw_frame
from crosspoint.scene.viz.point_features import PointFeatures, by_components, by_similarity
from crosspoint.scene.viz.show import DPI
from crosspoint.scene.viz.similarity import reduced
from tests.scene.frames import made_boxes, made_frame, with_field

CLASSES = ["car", "road"]
COUNT = 400


@pytest.fixture
def frame():
    """Points all around two cameras that both look forward, paired."""
    rng = np.random.default_rng(0)
    points = np.c_[rng.uniform([-20, -15, -2], [30, 15, 3], (COUNT, 3)), rng.random(COUNT)].astype(np.float32)
    forward = torch.tensor([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    K = torch.tensor([[40.0, 0.0, 25.0], [0.0, 40.0, 15.0], [0.0, 0.0, 1.0]])
    cameras = Cameras(K.expand(2, 3, 3), forward.expand(2, 3, 3), torch.zeros(2, 3), (30, 50))
    images = torch.randint(256, (2, 3, 30, 50), dtype=torch.uint8, generator=torch.manual_seed(0))
    boxes = made_boxes([[10.0, 2.0, 0.0, 4.0, 1.8, 1.5, 0.3]], [0])
    return pair_points(made_frame("street", points, images, cameras, rng.integers(0, 2, COUNT), boxes=boxes))


@pytest.fixture
def raw():
    """(400, 48) of several lengths."""
    rng = np.random.default_rng(1)
    return (rng.uniform(0.1, 9, (COUNT, 1)) * (rng.normal(size=(COUNT, 48)) + 0.5)).astype(np.float32)


@pytest.fixture
def features(frame, raw):
    return PointFeatures.of(frame, raw)


def content_of(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text)[1])


def maps_of(figure):
    return [axes for axes in figure.axes if axes.get_xlabel() == "x forward, m"]


def rings_of(axes):
    """Where light rings stand."""
    lines = [line for line in axes.lines if line.get_marker() == "o" and line.get_color() == ACCENT]
    return [tuple(line.get_xydata()[0]) for line in lines]


def test_similarity_goes_up_the_ramp_from_the_lowest_to_1(frame, raw):
    found = by_similarity(PointFeatures.of(frame, raw, 7))
    expected = cosine_similarity(raw)[7]
    low, high = found.limits
    assert low == pytest.approx(np.quantile(expected, 0.01), abs=1e-6) and high == 1
    np.testing.assert_allclose(found.places / 255, ((expected - low) / (1 - low)).clip(0, 1), atol=0.51 / 255)
    assert found.places[7] == 255


def test_features_that_are_all_alike_are_all_similar(frame):
    """Also where lengths differ, and one is zeros."""
    alike = np.outer(np.linspace(0, 5, COUNT), [1.0, 2.0, -1.0]).astype(np.float32)
    found = by_similarity(PointFeatures.of(frame, alike, 9))
    assert found.places[0] == 0 and set(found.places[1:]) == {255}


def test_the_page_holds_components_and_reduced_features(frame, raw, features, tmp_path):
    write_page(frame, tmp_path / "page.html", CLASSES, features=features)
    components, similarity = content_of(tmp_path / "page.html")["colorings"][-2:]
    assert (components["title"], similarity["title"]) == ("features (PCA)", "similarity")
    colors = np.frombuffer(base64.b64decode(components["of_points"]), np.uint8).reshape(-1, 3)
    np.testing.assert_array_equal(colors, by_components(features).of_points)
    assert re.search(r"red, green and blue: \d+% of the variance", components["note"])
    rows = np.frombuffer(base64.b64decode(similarity["features"]), np.int8).reshape(COUNT, similarity["dimensions"])
    np.testing.assert_array_equal(rows, reduced(features.units))
    assert (similarity["dimensions"], similarity["of"]) == (32, 48)
    assert similarity["chosen"] == features.chosen == central_point(frame)
    off = np.abs(cosine_similarity(rows) - cosine_similarity(raw)).mean()
    assert similarity["error"] == pytest.approx(off, rel=0.1) and 0.001 < off < 0.1


def test_a_page_without_features_has_no_such_colorings(frame, tmp_path):
    write_page(frame, tmp_path / "page.html", CLASSES)
    titles = [one["title"] for one in content_of(tmp_path / "page.html")["colorings"]]
    assert titles == ["class", "height z, m", "intensity", "image"]


def test_a_point_costs_the_page_48_bytes_of_text(frame, features, tmp_path):
    """32 bytes of reduced features and 3 of color, as base64 writes them."""
    with_features, without = tmp_path / "a.html", tmp_path / "b.html"
    write_page(frame, with_features, CLASSES, features=features)
    write_page(frame, without, CLASSES)
    growth = with_features.stat().st_size - without.stat().st_size
    assert growth / COUNT == pytest.approx(35 * 4 / 3, abs=1)


def test_the_picture_shows_both_colorings_in_images_and_on_maps_and_a_ring_around_the_point(frame, features):
    figure = draw_frame(frame, CLASSES, features=features)
    depth, point = pair_depths(frame), frame.pair_point.numpy()
    images = {axes.get_title("left"): axes for axes in figure.axes if axes.images}
    for one in (by_components(features), by_similarity(features)):
        for view in (0, 1):
            axes = images[f"{one.title}, image {view}"]
            expected = overlay(frame, depth, one.of_points[point], view)
            np.testing.assert_array_equal(axes.images[0].get_array(), expected)
            [pixel] = frame.pair_pixel[(frame.pair_point == features.chosen) & (frame.pair_view == view)].tolist()
            assert rings_of(axes) == [tuple(pixel)]
            assert axes.get_xlim() == (0, 50)
    assert rings_of(images["image 0: " + f"{(frame.pair_view == 0).sum()} points"]) == []
    maps = maps_of(figure)
    named = f"similarity to point {features.chosen:,}"
    assert [axes.get_title("left") for axes in maps] == ["class", "features (PCA)", named]
    assert {tuple(rings_of(axes)) for axes in maps} == {(tuple(frame.points[features.chosen, :2].tolist()),)}
    bars = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel() not in ("", "y left, m")]
    assert bars == ["depth, m", named]


def test_points_on_the_map_have_the_colors_of_their_similarity(frame, features):
    drawn = maps_of(draw_frame(frame, CLASSES, features=features))[2].collections[0]
    found = {tuple(at): tuple(color) for at, color in zip(drawn.get_offsets(), drawn.get_facecolors(), strict=True)}
    coloring = by_similarity(features)
    assert len(found) > 0.85 * COUNT
    for at, color in zip(frame.points[:, :2].tolist(), ramp()[coloring.places] / 255, strict=True):
        if tuple(at) in found:
            np.testing.assert_allclose(found[tuple(at)][:3], color)


def test_beside_predictions_features_have_a_row_of_maps_of_their_own(frame, features):
    figure = draw_frame(frame, CLASSES, np.zeros(COUNT, dtype=np.int64), features=features)
    titles = [axes.get_title("left") for axes in maps_of(figure)]
    assert titles[:2] == ["truth", "prediction"] and titles[3] == "features (PCA)" and len(titles) == 5
    bare = with_field(frame.keep_views(torch.arange(0)), "label", None)
    figure = draw_frame(bare, [], features=features)
    assert [axes.get_title("left") for axes in maps_of(figure)][:2] == ["height z, m", "features (PCA)"]
    assert not any(axes.images for axes in figure.axes)


def test_a_chosen_point_far_out_is_on_the_map(frame, raw):
    far = replace(frame, points=torch.cat([frame.points[:-1], torch.tensor([[300.0, -200.0, 0.0]])]))
    [axes, *_] = maps_of(draw_frame(far, CLASSES, features=PointFeatures.of(far, raw, COUNT - 1)))
    assert rings_of(axes) == [(300, -200)]
    assert axes.get_xlim()[1] > 300 and axes.get_ylim()[0] < -200


def test_no_text_of_the_picture_overlaps_another_or_is_cut_off(frame, features, monkeypatch):
    drawn = {}
    draw = Text.draw

    def record(text, renderer):
        if text.get_text().strip() and text.get_visible():
            drawn[text] = text.get_window_extent(renderer)
        draw(text, renderer)

    monkeypatch.setattr(Text, "draw", record)
    predictions = np.zeros(COUNT, dtype=np.int64)
    for shown, given in ((frame, predictions), (with_field(frame, "label", None), None)):
        drawn.clear()
        figure = draw_frame(shown, CLASSES, given, ["construction_vehicle"], features)
        figure.savefig(io.BytesIO(), format="png", dpi=DPI)
        extents = list(drawn.values())
        for place, extent in enumerate(extents):
            corners = np.reshape(extent.extents, (2, 2))
            assert (corners >= 0).all() and (corners <= figure.get_size_inches() * DPI).all()
            assert not any(extent.overlaps(other) for other in extents[:place])


@pytest.mark.parametrize(
    ("change", "chosen", "message"),
    [
        (lambda raw: raw[1:], None, r"found features \(399, 48\) float32 for street, .* each of its 400 points"),
        (lambda raw: raw[:, :0], None, r"found features \(400, 0\)"),
        (lambda raw: raw.astype(int), None, r"found features \(400, 48\) int64"),
        (lambda raw: np.where(raw > 8, np.nan, raw), None, "found NaN or infinite features for street"),
        (lambda raw: raw, COUNT, "found point 400, expected 0 to 399: street has 400 points"),
        (lambda raw: raw, -1, "found point -1, expected 0 to 399"),
        (lambda raw: raw * (np.arange(COUNT) != 5)[:, None], 5, "found a feature of zeros at point 5 of street"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line_and_nothing_is_written(frame, raw, tmp_path, change, chosen, message):
    with pytest.raises(ValueError, match=message) as caught:
        show(frame, tmp_path, classes=CLASSES, features=change(raw), chosen=chosen)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
