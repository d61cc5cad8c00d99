"""The report in headless Chromium, driven over the DevTools protocol through a pipe: no driver, no port, no library."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from crosspoint.eval.report.page import write_page
from crosspoint.eval.report.report_model import Cell, Row, Section
from tests.browser import Page


@pytest.fixture
def opened(browser, make_report, tmp_path) -> Any:
    """Writes a report, opens it, and returns the page; in the end, nothing went wrong and nothing was fetched."""

    def open_report(width: int = 1400, **changes: Any) -> Page:
        browser.events.clear()
        write_page(make_report(**changes), tmp_path / "report.html")
        browser.open(tmp_path / "report.html", width=width)
        return browser

    yield open_report
    browser.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    complaints = (
        "Runtime.exceptionThrown",
        "Runtime.consoleAPICalled",
        "Log.entryAdded",
        "Page.javascriptDialogOpening",
    )
    assert not [event for event in browser.events if event["method"] in complaints]
    requests = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    assert {url for url in requests if not url.startswith("data:")} == {(tmp_path / "report.html").as_uri()}


def point(index: int) -> str:
    return f"document.querySelector('[data-index=\"{index}\"]')"


def box(label: int) -> str:
    return f"document.querySelector('.legend input[value=\"{label}\"]')"


def card(page: Page) -> list[str] | None:
    """Lines of the card beside the pointer, or None where there is none."""
    lines = "[...node.querySelectorAll('p')].map((line) => line.textContent)"
    return page.evaluate(f"((node) => node.hidden ? null : {lines})(document.querySelector('.card'))")


def shown(page: Page) -> set[int]:
    marks = "[...document.querySelectorAll('.plane [data-index]')]"
    return set(page.evaluate(f"{marks}.filter((mark) => mark.checkVisibility()).map((mark) => +mark.dataset.index)"))


def color_of_picture(page: Page) -> list[int]:
    return page.evaluate(
        """(async () => {
          const picture = document.querySelector(".card img");
          await picture.decode();
          const pen = document.createElement("canvas").getContext("2d");
          pen.drawImage(picture, 0, 0);
          return [...pen.getImageData(2, 2, 1, 1).data].slice(0, 3);
        })()"""
    )


def color(picture: bytes) -> list[int]:
    return list(Image.open(io.BytesIO(picture)).getpixel((0, 0)))


def headings(page: Page) -> list[str]:
    return page.evaluate("[...document.querySelectorAll('h3')].map((heading) => heading.textContent)")


def test_hovering_a_point_shows_its_own_picture_class_and_prediction(opened, make_report):
    page = opened()
    embedding = make_report().sections[0].embedding
    classes = ["chair", "sofa", "table"]
    for index in (0, 3, 7, 11):
        page.hover(point(index))
        label, answer = embedding.labels[index], embedding.predicted[index]
        verdict = "✓ recognized" if label == answer else f"✗ predicted {classes[answer]}"
        assert card(page) == [classes[label], verdict]
        assert color_of_picture(page) == color(embedding.pictures[index])
    page.hover("document.querySelector('h1')")
    assert card(page) is None


def test_the_class_filter_hides_points_and_brings_them_back(opened):
    page = opened()
    status = "document.querySelector('.shown').textContent"
    assert shown(page) == set(range(12))
    page.click(box(1))
    assert shown(page) == {0, 1, 2, 3, 8, 9, 10, 11}
    assert page.evaluate(status) == "8 of 12 objects, 2 of 3 classes shown"
    page.hover("document.querySelector('.plane')")  # between the rows, where only a hidden point is near
    assert card(page) is None
    page.click("document.querySelector('.legend .none')")
    assert shown(page) == set() and page.evaluate(f"{box(0)}.checked") is False
    page.click(box(2))
    assert shown(page) == {8, 9, 10, 11}
    page.click("document.querySelector('.legend .all')")
    assert shown(page) == set(range(12)) and page.evaluate(f"{box(0)}.checked") is True
    page.click("document.querySelector('.mistakes input')")
    assert shown(page) == {3, 7}
    page.click("document.querySelectorAll('.legend .only')[1]")
    assert shown(page) == {7}
    assert page.evaluate(status) == "1 of 12 objects, 1 of 3 classes shown"


def test_tabs_switch_methods_and_keep_the_filter(opened):
    page = opened()
    everything = [
        "Map of the features",
        "Confusion matrix",
        "Accuracy by class",
        "Retrieval",
        "Part segmentation",
        "Training",
    ]
    assert headings(page) == everything
    page.click(box(0))
    page.click("document.querySelector('#tab-1')")
    assert headings(page) == everything[:3]
    assert page.evaluate("document.querySelector('[aria-selected=true]').textContent") == "random"
    assert shown(page) == set(range(4, 12))
    page.hover(point(4))
    assert card(page) == ["sofa", "✓ recognized"]
    page.evaluate("document.querySelector('#tab-1').focus()")
    page.press("ArrowRight")
    assert headings(page) == everything
    assert shown(page) == set(range(4, 12))


def test_the_keyboard_goes_from_point_to_point(opened, make_report):
    page = opened()
    pictures = make_report().sections[0].embedding.pictures
    page.evaluate("document.querySelector('.legend .none').focus()")
    page.press("ArrowDown")  # the last input was the keyboard
    page.evaluate("document.querySelector('.plane').focus()")
    assert card(page) == ["chair", "✓ recognized"] and color_of_picture(page) == color(pictures[0])
    page.press("ArrowRight")
    assert color_of_picture(page) == color(pictures[1])
    page.press("ArrowUp")
    assert card(page) == ["sofa", "✓ recognized"] and color_of_picture(page) == color(pictures[5])
    page.press("Escape")
    assert card(page) is None


def test_the_matrix_tells_counts_and_shares(opened):
    page = opened()
    page.hover("document.querySelector('.matrix .cell.wrong')")
    assert card(page) == ["chair taken for sofa", "1 of 4 (25\u00a0%)"]
    page.hover("document.querySelectorAll('.matrix .cell.right')[2]")
    assert card(page) == ["table, recognized", "4 of 4 (100\u00a0%)"]
    bars = "[...document.querySelectorAll('.bars li')].map((line) => line.textContent)"
    assert page.evaluate(bars) == ["table100\u00a0%", "chair75\u00a0%", "sofa75\u00a0%"]


def test_a_cloud_turns_with_the_mouse_and_with_the_keyboard(opened):
    page = opened()
    cloud = "document.querySelector('.shelf figure')"
    drawn = "[...document.querySelectorAll('.shelf canvas')].map((canvas) => canvas.toDataURL())"
    x, y = page.place(cloud)
    start = page.evaluate(drawn)
    assert start[0] != start[1]  # the prediction is not the truth
    page.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", clickCount=1)
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + 40, y=y, button="left", buttons=1)
    page.call("Input.dispatchMouseEvent", type="mouseReleased", x=x + 40, y=y, button="left", clickCount=1)
    dragged = page.evaluate(drawn)
    page.evaluate(f"{cloud}.focus()")
    page.press("ArrowLeft")
    turned = page.evaluate(drawn)
    assert all(len({a, b, c}) == 3 for a, b, c in zip(start, dragged, turned, strict=True))


def test_right_and_wrong_finds_differ_by_more_than_color(opened):
    page = opened()
    found = "[...document.querySelectorAll('.strip li')]"
    captions = page.evaluate(f"{found}.map((hit) => hit.textContent)")
    frames = page.evaluate(f"{found}.map((hit) => getComputedStyle(hit.querySelector('img')).borderStyle)")
    assert (captions, frames) == (["✓ chair", "✗ sofa"], ["solid", "dashed"])


def test_what_was_not_measured_is_not_there(opened, make_report):
    page = opened(rows=[], facts={}, sections=[Section("nothing")])
    assert page.evaluate("document.querySelector('main').innerText.trim()") == "Toys"
    page = opened(sections=[replace(make_report().sections[0], embedding=None, segmented=(), retrieved=())])
    assert headings(page) == ["Training"]
    assert page.evaluate("document.querySelectorAll('[role=tab]').length") == 0
    assert page.evaluate("document.querySelector('h2').textContent") == "CrossPoint"


def test_hostile_names_are_shown_as_they_are(opened, make_report):
    name = "<script>alert(1)</script><img src=http://example.org/x onerror=alert(1)>"
    sections = [replace(section, name=name) for section in make_report().sections]
    rows = [Row(name, {"constructor": Cell(1.0)}, source=name)]
    columns = ["constructor", "__proto__", "toString"]
    page = opened(title=name, classes=[name, "</script>", "<!--"], sections=sections, rows=rows, columns=columns)
    assert page.evaluate("document.title") == page.evaluate("document.querySelector('h1').textContent") == name
    assert page.evaluate("document.querySelector('.legend .name').textContent") == name
    page.hover(point(3))
    assert card(page) == [name, "✗ predicted </script>"]
    assert page.evaluate("document.querySelectorAll('main script, img:not([src^=\"data:\"])').length") == 0
    assert page.evaluate("[...document.querySelectorAll('td')].map((cell) => cell.textContent)") == ["1.0", "", ""]


@pytest.mark.parametrize("width", [360, 700, 1000])
def test_the_page_fits_narrow_windows(opened, width):
    page = opened(width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.hover(point(0))
    right = "document.querySelector('.card').getBoundingClientRect().right"
    assert page.evaluate(right) <= width


def test_a_tap_shows_a_point_until_the_next(opened):
    page = opened(width=700)
    x, y = page.place(point(7))
    page.call("Emulation.setTouchEmulationEnabled", enabled=True)
    for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
        page.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
    page.call("Emulation.setTouchEmulationEnabled", enabled=False)
    assert card(page) == ["sofa", "✗ predicted table"]
    page.click("document.querySelector('h3')")
    assert card(page) is None
