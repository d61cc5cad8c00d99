"""Boxes that were found beside true ones: which are drawn, where, and in what color."""

import io
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.text import Text

from crosspoint.scene.data.sample import Boxes
from crosspoint.scene.viz.boxes import image_lines
from crosspoint.scene.viz.class_colors import class_colors
from crosspoint.scene.viz.colors import hexadecimal
from crosspoint.scene.viz.found_boxes import SCORE, confident, draw_found_boxes
from crosspoint.scene.viz.outlines import box_corners, box_lines
from tests.scene.frames import made_boxes
from tests.scene.viz.test_show import make_frame

NAMES = ["Car", "Cyclist"]
TRUE = np.array([[10.0, 2.0, 0.0, 4.0, 1.8, 1.5, 0.3], [12.0, -4.0, 0.0, 1.8, 0.6, 1.7, 0.0]])
FOUND = np.array(
    [[10.2, 2.1, 0.0, 4.0, 1.8, 1.5, 0.2], [8.0, 3.0, 0.0, 4.0, 1.8, 1.5, 0.0], [14, -2, 0, 1.8, 0.6, 1.7, 1.0]]
)
SCORES = np.array([0.9, SCORE - 0.01, SCORE])


def found_boxes():
    return Boxes(torch.from_numpy(FOUND), torch.tensor([0, 0, 1]))


def figure_of(views=2):
    frame = make_frame(views=views, boxes=made_boxes(TRUE, np.array([0, 1])))
    return frame, draw_found_boxes(frame, found_boxes(), SCORES, NAMES)


def lines_of(axes, color, width):
    """Segments of one color and width, and whether they are dotted."""
    wanted, found = matplotlib.colors.to_rgba(color), []
    for drawn in axes.collections:
        if isinstance(drawn, LineCollection) and tuple(drawn.get_colors()[0]) == wanted:
            dotted = drawn.get_linestyles()[0][1] is not None
            found += [(line, dotted) for line in drawn.get_segments() if drawn.get_linewidths()[0] == width]
    return found


def test_boxes_of_low_scores_are_left_out():
    kept = confident(found_boxes(), SCORES)
    np.testing.assert_array_equal(kept.geometry.numpy(), FOUND[[0, 2]])
    assert kept.labels.tolist() == [0, 1]


def test_found_boxes_are_drawn_over_true_ones_in_the_images_and_on_the_second_map():
    frame, figure = figure_of()
    car, cyclist = map(hexadecimal, class_colors(NAMES))
    images = [axes for axes in figure.axes if axes.images]
    assert len(images) == 2
    for view, axes in enumerate(images):
        for color, width, boxes in (("#ffffff", 0.9, TRUE), (car, 1.5, FOUND[:1]), (cyclist, 1.5, FOUND[2:])):
            lines = [line for line, _ in lines_of(axes, color, width)]
            np.testing.assert_allclose(lines, image_lines(box_lines(boxes), frame.cameras, view))
    left, right = [axes for axes in figure.axes if axes.get_xlabel()]
    assert left.get_title("left") == "true boxes"
    for axes, kinds in ((left, ((car, TRUE[0]), (cyclist, TRUE[1]))), (right, ((car, FOUND[0]), (cyclist, FOUND[2])))):
        for color, box in kinds:
            (outline, dotted), (heading, _) = lines_of(axes, color, 0.9)
            assert not dotted
            np.testing.assert_allclose(outline[:4], box_corners(box[None])[0, :4, :2])
            np.testing.assert_allclose(heading[0], box[:2])
    dotted = [line for line, dotted in lines_of(right, "#ffffff", 0.9) if dotted]
    np.testing.assert_allclose(np.array(dotted)[:, :4], box_corners(TRUE)[:, :4, :2])
    assert not lines_of(left, "#ffffff", 0.9)
    [legend] = [legend for part in figure.subfigs for legend in part.legends]
    assert [text.get_text() for text in legend.get_texts()] == ["Car", "Cyclist", "true box"]
    assert "2 boxes, 2 found" in figure.get_suptitle()


def test_a_frame_without_images_or_boxes_is_drawn_from_above_alone():
    frame = make_frame(views=0)
    figure = draw_found_boxes(frame, found_boxes(), SCORES, NAMES)
    assert not any(axes.images for axes in figure.axes) and "0 boxes, 2 found" in figure.get_suptitle()
    none = Boxes(torch.zeros(0, 7), torch.zeros(0, dtype=torch.int64))
    assert "0 boxes, 0 found" in draw_found_boxes(frame, none, np.zeros(0), NAMES).get_suptitle()


@pytest.mark.parametrize("views", [0, 1, 6])
def test_no_text_overlaps_another_or_is_cut_off(views, monkeypatch):
    drawn, draw = {}, Text.draw

    def record(text, renderer):
        if text.get_text().strip() and text.get_visible():
            drawn[text] = text.get_window_extent(renderer)
        draw(text, renderer)

    monkeypatch.setattr(Text, "draw", record)
    frame = make_frame(views=views, boxes=made_boxes(TRUE, np.array([0, 1])))
    figure = draw_found_boxes(replace(frame, name="drive $3$"), found_boxes(), SCORES, ["construction_vehicle", "$x$"])
    figure.savefig(io.BytesIO(), format="png", dpi=75)
    extents = list(drawn.values())
    assert len(extents) > 15
    for place, extent in enumerate(extents):
        corners = np.reshape(extent.extents, (2, 2))
        assert (corners >= 0).all() and (corners <= figure.get_size_inches() * 75).all()
        assert not any(extent.overlaps(other) for other in extents[:place])
