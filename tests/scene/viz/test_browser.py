"""The page in headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.viz.class_colors import class_colors
from crosspoint.scene.viz.colors import GROUND, RIGHT, UNKNOWN, WRONG, hexadecimal
from crosspoint.scene.viz.page import write_page
from tests.browser import Page
from tests.scene.frames import labels_of, made_boxes, made_frame, returns, with_field

CLASSES = ["above", "below"]
COMPLAINTS = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
PICTURE = "document.querySelector('canvas').toDataURL()"
PAINTED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done))))"


@pytest.fixture
def frame() -> LidarSample:
    """A wall of two classes, one above the other, before one camera, and a box around its upper left corner."""
    y, z = np.meshgrid(np.linspace(-3, 3, 61), np.linspace(-3, 3, 61))
    points = np.stack([np.full(y.size, 8.0), y.ravel(), z.ravel(), np.linspace(0, 1, y.size)], axis=1)
    forward = torch.tensor([[[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]])
    K = torch.tensor([[[40.0, 0.0, 25.0], [0.0, 40.0, 15.0], [0.0, 0.0, 1.0]]])
    images = torch.zeros(1, 3, 30, 50, dtype=torch.uint8)
    images[:, 2] = 200
    boxes = made_boxes(np.array([[8.0, 3.0, 3.0, 2.0, 2.0, 2.0, 0.0]]), np.array([0]))
    labels = (z.ravel() < 0).astype(np.int64)
    cameras = Cameras(K, forward, torch.zeros(1, 3), (30, 50))
    return made_frame("wall <i>", points.astype(np.float32), images, cameras, labels, None, boxes)


@pytest.fixture
def opened(browser, frame, tmp_path) -> Iterator[Page]:
    browser.events.clear()
    path = tmp_path / "wall.html"
    write_page(pair_points(frame), path, CLASSES)
    browser.open(path, width=900, height=600)
    browser.evaluate(PAINTED)
    yield browser
    browser.evaluate(PAINTED)
    assert not [event for event in browser.events if event["method"] in COMPLAINTS]
    requests = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    assert {url for url in requests if not url.startswith("data:")} == {path.as_uri()}


def picture(page: Page) -> str:
    page.evaluate(PAINTED)
    return page.evaluate(PICTURE)


def pixels(page: Page) -> dict[str, int]:
    """How many pixels of each color the canvas has."""
    page.evaluate(PAINTED)
    counts = page.evaluate(
        """(() => {
          const { width, height } = document.querySelector("canvas");
          const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
          copy.drawImage(document.querySelector("canvas"), 0, 0);
          const counts = new Map();
          for (const value of new Uint32Array(copy.getImageData(0, 0, width, height).data.buffer))
            counts.set(value, (counts.get(value) || 0) + 1);
          return [...counts];
        })()"""
    )
    return {hexadecimal((value & 255, value >> 8 & 255, value >> 16 & 255)): count for value, count in counts}


def mouse(page: Page, kind: str, x: float, y: float, **parameters: object) -> None:
    page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **parameters)


def drag(page: Page, dx: float, dy: float, **parameters: object) -> None:
    mouse(page, "mousePressed", 600, 300, button="left", clickCount=1, **parameters)
    mouse(page, "mouseMoved", 600 + dx, 300 + dy, button="left", buttons=1, **parameters)
    mouse(page, "mouseReleased", 600 + dx, 300 + dy, button="left", clickCount=1, **parameters)


def choose(page: Page, title: str) -> None:
    page.evaluate(f"[...document.querySelectorAll('label')].find((l) => l.textContent.startsWith('{title}')).click()")


def switch_lines_off(page: Page) -> None:
    for title in ("boxes", "cameras"):
        choose(page, title)


def test_the_cloud_is_there_in_the_colors_of_its_classes(opened, frame):
    switch_lines_off(opened)
    above, below = map(hexadecimal, class_colors(CLASSES))
    found = pixels(opened)
    assert set(found) == {GROUND, above, below}
    assert min(found[above], found[below]) > 500
    assert opened.evaluate("document.querySelector('summary').textContent") == "wall <i>"
    assert "3,721 points" in opened.evaluate("document.querySelector('p').textContent")


def test_the_page_projects_as_a_pinhole_camera_does(opened, frame):
    """The middle of the painted pixels of each class is where the formula puts its points' middle."""
    found = opened.evaluate(
        """(() => {
          Object.assign(orbit, { target: [8, 0, 0], distance: 20, yaw: 0.5, pitch: 0.3 });
          const { eye, focal } = orbit.projection(900, 600);
          return { eye, focal };
        })()"""
    )
    np.testing.assert_allclose(np.linalg.norm(np.array(found["eye"]) - [8, 0, 0]), 20)
    direction = np.array([np.cos(0.3) * np.cos(0.5), np.cos(0.3) * np.sin(0.5), -np.sin(0.3)])
    np.testing.assert_allclose(found["eye"], np.array([8, 0, 0]) - 20 * direction)
    right = np.cross(direction, [0, 0, 1]) / np.linalg.norm(np.cross(direction, [0, 0, 1]))
    offset = returns(frame)[:, :3] - np.array(found["eye"])
    depth = offset @ direction
    columns = 450 + found["focal"] * (offset @ right) / depth
    rows = 300 - found["focal"] * (offset @ np.cross(right, direction)) / depth
    switch_lines_off(opened)
    opened.evaluate("redraw()")
    opened.evaluate(PAINTED)
    box = opened.evaluate(
        """(() => {
          const { width, height } = painter.canvas;
          const at = [...painter.pixels.keys()].filter((i) => painter.pixels[i] !== GROUND);
          const [columns, rows] = [at.map((i) => i % width), at.map((i) => Math.floor(i / width))];
          const ends = (values) => values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [1e9, -1e9]);
          return [width, height, ...ends(columns), ...ends(rows)];
        })()"""
    )
    assert box[:2] == [900, 600]
    np.testing.assert_allclose(box[2:], [columns.min(), columns.max(), rows.min(), rows.max()], atol=2)


def test_dragging_turns_the_wheel_zooms_shift_moves_and_a_double_click_goes_back(opened):
    pictures = [picture(opened)]
    drag(opened, 60, 0)
    pictures.append(picture(opened))
    assert opened.evaluate("[orbit.yaw < 0, orbit.pitch]") == [True, 0.6]
    drag(opened, 0, 40)
    pictures.append(picture(opened))
    assert opened.evaluate("orbit.pitch > 0.6")
    distance = opened.evaluate("orbit.distance")
    mouse(opened, "mouseWheel", 600, 300, deltaX=0, deltaY=-200)
    pictures.append(picture(opened))
    assert opened.evaluate("orbit.distance") < distance
    drag(opened, 30, 20, modifiers=8)
    pictures.append(picture(opened))
    opened.evaluate("document.querySelector('canvas').focus()")
    opened.press("ArrowLeft")
    pictures.append(picture(opened))
    assert len(set(pictures)) == len(pictures)
    for count in (1, 2):
        for kind in ("mousePressed", "mouseReleased"):
            mouse(opened, kind, 600, 300, button="left", clickCount=count)
    assert picture(opened) == pictures[0]


def test_what_is_dragged_follows_the_mouse(opened):
    """Shift moves the target by as many pixels as the mouse went."""
    place = """(() => {
      const { eye, right, up, forward, focal } = orbit.projection(900, 600);
      const dot = (a) => a.reduce((sum, v, i) => sum + v * (START[i] - eye[i]), 0);
      return [450 + (focal * dot(right)) / dot(forward), 300 - (focal * dot(up)) / dot(forward)];
    })()"""
    place = place.replace("START", str(opened.evaluate("orbit.target")))
    np.testing.assert_allclose(opened.evaluate(place), [450, 300], atol=1e-6)
    drag(opened, 37, -21, modifiers=8)
    np.testing.assert_allclose(opened.evaluate(place), [487, 279], atol=1e-6)


def test_the_switch_changes_colors_and_legends(opened):
    switch_lines_off(opened)
    keys = "document.querySelector('.key').textContent"
    assert opened.evaluate(keys) == "above1,891below1,830"
    choose(opened, "height")
    assert opened.evaluate(keys) == "-3.003.00"
    assert len(pixels(opened)) > 50  # the ramp
    choose(opened, "intensity")
    assert len(pixels(opened)) > 50
    choose(opened, "image")
    assert set(pixels(opened)) == {GROUND, "#0000c8", hexadecimal(UNKNOWN)}  # the blue image, and what it does not show


def test_a_class_can_be_hidden_and_brought_back(opened):
    switch_lines_off(opened)
    before = pixels(opened)
    choose(opened, "above")
    assert set(pixels(opened)) == set(before) - {hexadecimal(class_colors(CLASSES)[0])}
    choose(opened, "above")
    assert pixels(opened) == before


def test_boxes_and_cameras_are_lines_that_can_be_switched_off(opened):
    whole = pixels(opened)
    assert whole.get("#ffffff", 0) > 20
    choose(opened, "boxes")
    assert pixels(opened).get("#ffffff", 0) == 0
    choose(opened, "boxes")
    assert pixels(opened) == whole


def test_predictions_and_mistakes_are_colorings_and_boxes_have_their_classes_color(browser, frame, tmp_path):
    browser.events.clear()
    predictions = (returns(frame)[:, 2] < 1).astype(np.int64)
    wrong = int((predictions != labels_of(frame)).sum())
    names = ["car", "pedestrian"]
    boxes = made_boxes(frame.boxes.geometry.repeat(2, 1).numpy(), np.array([1, 1]))
    shown = replace(frame, boxes=boxes)
    write_page(pair_points(shown), tmp_path / "page.html", CLASSES, predictions, names)
    browser.open(tmp_path / "page.html", width=900, height=600)
    red = hexadecimal(class_colors(names)[1])
    lines = "[...document.querySelectorAll('.lines label')].map((label) => label.textContent)"
    assert browser.evaluate(lines) == ["box: pedestrian2", "cameras1"]
    assert pixels(browser).get(red, 0) > 20
    choose(browser, "box: pedestrian")
    assert pixels(browser).get(red, 0) == 0
    choose(browser, "cameras")
    above, below = map(hexadecimal, class_colors(CLASSES))
    truth = pixels(browser)
    choose(browser, "prediction")
    assert pixels(browser)[below] > truth[below] and set(pixels(browser)) == {GROUND, above, below}
    choose(browser, "mistakes")
    assert set(pixels(browser)) == {GROUND, hexadecimal(RIGHT), hexadecimal(WRONG)}
    assert f"wrong{wrong:,}" in browser.evaluate("document.querySelector('.key').textContent")
    assert not [event for event in browser.events if event["method"] in COMPLAINTS]


def test_a_frame_of_points_alone_opens(browser, frame, tmp_path):
    browser.events.clear()
    bare = with_field(replace(frame, boxes=None).keep_views(torch.arange(0)), "label", None)
    write_page(bare, tmp_path / "bare.html", [])
    browser.open(tmp_path / "bare.html", width=400, height=500)
    assert len(pixels(browser)) > 50
    assert browser.evaluate("document.querySelectorAll('[type=checkbox]').length") == 0
    assert not [event for event in browser.events if event["method"] in COMPLAINTS]
