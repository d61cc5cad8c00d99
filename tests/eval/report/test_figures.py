from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from crosspoint.eval.report.figure_charts import draw_bars, draw_confusion, draw_curves, draw_embedding
from crosspoint.eval.report.figure_objects import draw_strips
from crosspoint.eval.report.figures import save_figures
from crosspoint.eval.report.palette import palette
from crosspoint.eval.report.report_model import Section
from crosspoint.eval.report.viewpoint import three_quarter

KINDS = ["embedding", "confusion", "classes", "retrieval", "segmentation", "training"]


def test_a_picture_of_all_that_was_measured_and_of_nothing_else(make_report, tmp_path):
    report = make_report()
    sections = [*report.sections, Section("nothing")]
    paths = save_figures(replace(report, sections=sections), tmp_path / "figures")
    expected = [f"CrossPoint_{kind}.png" for kind in KINDS] + [f"random_{kind}.png" for kind in KINDS[:3]]
    assert [path.name for path in paths] == expected
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(expected)
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        assert min(pixels.shape[:2]) > 100 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 3
    again = save_figures(report, tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


def test_names_that_are_no_file_names_and_no_formulas(make_report, tmp_path):
    curves = make_report().sections[0].curves
    names = ["../../etc/passwd", "a", "A", "", r"$\frac{", "x" * 500, "Ω"]
    sections = [Section(name, curves=[replace(curves[0], name=r"$\frac{")]) for name in names]
    paths = save_figures(make_report(sections=sections), tmp_path)
    assert {path.parent for path in paths} == {tmp_path}
    assert len({path.name.lower() for path in paths}) == len(names)
    assert max(len(path.name) for path in paths) < 100


@pytest.mark.parametrize("name", [r"$\frac{", "\udcff", "two\nlines", "x" * 200])
def test_any_name_of_a_class_can_be_drawn(make_report, tmp_path, name):
    report = make_report(classes=[name, "sofa", "table"])
    strips = [replace(strip, label=name) for strip in report.sections[0].retrieved]
    sections = [replace(report.sections[0], retrieved=strips)]
    assert len(save_figures(replace(report, sections=sections), tmp_path)) == len(KINDS)


def test_the_map_shows_every_cloud_once_and_hollow_where_it_is_misclassified(make_report):
    embedding = make_report().sections[0].embedding
    (axes,) = draw_embedding(embedding, ["chair", "$sofa", "table"]).axes
    drawn = {}
    for marks in axes.collections:
        for position in marks.get_offsets().tolist():
            drawn[tuple(position)] = (to_hex(marks.get_edgecolor()[0]), len(marks.get_facecolor()) == 0)
    expected = {
        tuple(position): (palette(3)[label], bool(label != answer))
        for position, label, answer in zip(embedding.positions, embedding.labels, embedding.predicted, strict=True)
    }
    assert drawn == expected
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["chair", "$sofa", "table"]


def test_matrix_and_bars_show_shares_of_rows():
    counts = np.array([[3, 1, 0, 0], [0, 0, 0, 0], [2, 0, 6, 0], [0, 0, 0, 0]])
    (axes,) = draw_confusion(counts, ["a", "b", "c", "never"]).axes
    agree, differ = (image.get_array() for image in axes.images)
    np.testing.assert_allclose(agree.filled(0), np.sqrt([[0.75, 0, 0], [0, 0, 0], [0, 0, 0.75]]))
    np.testing.assert_allclose(differ.filled(0), np.sqrt([[0, 0.25, 0], [0, 0, 0], [0.25, 0, 0]]))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]

    (axes,) = draw_bars(np.array([[1, 3], [0, 5]]), ["a", "b"]).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a"]
    assert [bar.get_width() for bar in axes.patches] == [100, 25]


def test_strips_and_curves(make_report):
    section = make_report().sections[0]
    query, right, wrong = draw_strips(section.retrieved).axes
    assert [axes.get_xlabel() for axes in (query, right, wrong)] == ["chair", "✓ chair", "✗ sofa"]
    assert {side.get_linestyle() for side in wrong.spines.values()} == {"--"}
    (axes,) = draw_curves(section.curves).axes
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[1, 3], [2, np.nan], [3, 1.5], [4, 1.25]])


def test_three_quarter_view_turns_without_distortion():
    view = three_quarter(np.eye(3))
    np.testing.assert_allclose(view @ view.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(view), 1)
    assert view[1, 1] > 0.9 and view[2, 2] > 0.5  # up stays up, and the front faces the eye
