"""Similarity on the page in headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.viz.colorings import on_ramp
from crosspoint.scene.viz.page import write_page
from crosspoint.scene.viz.point_features import PointFeatures, by_components
from crosspoint.scene.viz.similarity import reduced
from tests.browser import Page

COMPLAINTS = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
PAINTED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done))))"
KEY = "document.querySelector('.key').textContent"
CHOSEN = "coloring.chosen"


@pytest.fixture
def frame() -> LidarSample:
    """A wall of 169 points half a meter apart, 8 m ahead."""
    y, z = np.meshgrid(np.linspace(3, -3, 13), np.linspace(3, -3, 13))
    return LidarSample("wall", torch.tensor(np.stack([np.full(y.size, 8.0), y.ravel(), z.ravel()], 1)).float())


@pytest.fixture
def features(frame) -> PointFeatures:
    rows = np.random.default_rng(0).normal(size=(169, 40)).astype(np.float32) + 0.4
    rows[3] = 0
    return PointFeatures.of(frame, rows, 80)


@pytest.fixture
def opened(browser, frame, features, tmp_path) -> Iterator[Page]:
    """Seen from right before the wall, colored by similarity."""
    browser.events.clear()
    write_page(frame, tmp_path / "wall.html", [], features=features)
    browser.open(tmp_path / "wall.html", width=900, height=600)
    browser.evaluate("Object.assign(orbit, { target: [8, 0, 0], distance: 12, yaw: 0, pitch: 0 })")
    choose(browser, "similarity")
    yield browser
    browser.evaluate(PAINTED)
    assert not [event for event in browser.events if event["method"] in COMPLAINTS]


def choose(page: Page, title: str) -> None:
    page.evaluate(f"[...document.querySelectorAll('label')].find((l) => l.textContent.startsWith('{title}')).click()")
    page.evaluate(PAINTED)


def place(page: Page, point: int) -> tuple[float, float]:
    """Where the canvas shows a point, by the formula of a pinhole camera."""
    focal = 300 / np.tan(np.radians(25))
    y, z = np.linspace(3, -3, 13)[[point % 13, point // 13]]
    return 450 - focal * y / 12, 300 - focal * z / 12


def click(page: Page, x: float, y: float, moved: float = 0) -> None:
    for kind, at in (("mousePressed", x), ("mouseMoved", x + moved), ("mouseReleased", x + moved)):
        page.call("Input.dispatchMouseEvent", type=kind, x=at, y=y, button="left", buttons=1, clickCount=1)
    page.evaluate(PAINTED)


def shown(page: Page) -> np.ndarray:
    """The colors (N, 3) of the points."""
    pixels = np.array(page.evaluate("[...coloring.pixels]"), dtype=np.int64)
    return np.stack([pixels & 255, pixels >> 8 & 255, pixels >> 16 & 255], axis=1)


def expected(features: PointFeatures, point: int) -> tuple[np.ndarray, tuple[float, float]]:
    """Colors and limits by scikit-learn's cosines of the reduced features."""
    values = cosine_similarity(reduced(features.units))[point]
    coloring = on_ramp("", values, (float(np.quantile(values, 0.01)), 1.0))
    return coloring.of_points, coloring.limits


def test_the_page_computes_the_similarities_by_itself(opened, features):
    for point in (80, 0, 168):
        click(opened, *place(opened, point))
        assert opened.evaluate(CHOSEN) == point
        colors, limits = expected(features, point)
        np.testing.assert_allclose(opened.evaluate("coloring.limits"), limits, atol=1e-9)
        assert np.abs(shown(opened) - colors).max() <= 3  # a step of the ramp, where halves are rounded
        assert (shown(opened) == colors).all(axis=1).mean() > 0.98
    assert opened.evaluate("coloring.cosine(3, 80)") == 0  # of zeros


def test_the_cosines_are_those_of_the_features_but_for_the_dimensions_left_out(opened, features):
    found = np.array(opened.evaluate("Array.from({ length: 169 }, (_, i) => coloring.cosine(i, 80))"))
    whole = features.units.astype(np.float64) @ features.units[80]
    assert 0 < np.abs(found - whole).mean() < 3 * opened.evaluate("coloring.error") < 0.1
    np.testing.assert_allclose(found, cosine_similarity(reduced(features.units))[80], atol=1e-9)


def test_a_click_beside_a_point_chooses_the_nearest_one_and_far_off_none(opened):
    x, y = place(opened, 42)
    click(opened, x + 6, y - 3)
    assert opened.evaluate(CHOSEN) == 42
    click(opened, 800, 590)
    assert opened.evaluate(CHOSEN) == 42
    click(opened, *place(opened, 100), moved=30)  # a drag, which turns the cloud
    assert opened.evaluate(CHOSEN) == 42


def test_the_legend_names_the_point_and_says_how_far_off_the_colors_are(opened):
    words = opened.evaluate(KEY)
    assert "Cosine similarity to point 80 at 8.00, 2.00, 0.00 m. Click a point to choose another one." in words
    assert "From 32 of 40 dimensions: off by 0.0" in words and "1.00" in words
    click(opened, *place(opened, 100))
    assert "to point 100 at 8.00, -1.50, -0.50 m." in opened.evaluate(KEY)


def test_a_ring_marks_the_point_where_similarities_are_shown(opened):
    """White pixels around its place, and nowhere else."""
    white = """(() => {
      const copy = new OffscreenCanvas(900, 600).getContext("2d", { willReadFrequently: true });
      copy.drawImage(painter.canvas, 0, 0);
      const { data } = copy.getImageData(0, 0, 900, 600);
      const light = (i) => data[4 * i] + data[4 * i + 1] + data[4 * i + 2] > 740;
      return [...Array(900 * 600).keys()].filter(light);
    })()"""
    for point in (80, 30):
        click(opened, *place(opened, point))
        at = np.array(opened.evaluate(white))
        away = np.hypot(at % 900 + 0.5 - place(opened, point)[0], at // 900 + 0.5 - place(opened, point)[1])
        assert len(at) > 40 and 7.5 < away.min() < away.max() < 10.5
    choose(opened, "height")
    assert opened.evaluate(white) == []


def test_components_are_a_coloring_in_which_a_click_chooses_nothing(opened, features):
    choose(opened, "features (PCA)")
    np.testing.assert_array_equal(shown(opened), by_components(features).of_points)
    assert "principal components as red, green and blue" in opened.evaluate(KEY)
    click(opened, *place(opened, 100))
    choose(opened, "similarity")
    assert opened.evaluate(CHOSEN) == 80
