from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix

from crosspoint.eval.report.page import write_page
from crosspoint.eval.report.page_data import confusion
from crosspoint.eval.report.report_model import ClassTable, Curve, Matrix, Picture, Section, Segmented
from crosspoint.eval.report.thumbnails import open_picture, thumbnail

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=http://example.org onerror=alert(1)>",
    "<!--<script>${alert(1)} $style \\u003c",
]


class Parsed(HTMLParser):
    """Tags with their attributes, and the text inside each."""

    def __init__(self, path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.inside = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append((tag, dict(attributes)))
        self.inside = dict(attributes).get("id") or tag

    def handle_endtag(self, tag) -> None:
        self.inside = ""

    def handle_data(self, data) -> None:
        self.texts[self.inside] = self.texts.get(self.inside, "") + data

    @property
    def report(self):
        return json.loads(self.texts["data"])


@pytest.fixture
def page_of(tmp_path):
    def write(report) -> Parsed:
        write_page(report, tmp_path / "report.html")
        return Parsed(tmp_path / "report.html")

    return write


def test_nothing_comes_from_outside(make_report, page_of):
    page = page_of(make_report())
    for _, attributes in page.tags:
        assert "src" not in attributes
        assert attributes.get("href", "data:").startswith("data:")
    assert not re.search(r"url\(|@import", page.texts["style"])
    script = page.texts["script"].replace("http://www.w3.org/2000/svg", "")  # a name, which is never fetched
    assert not re.search(r"https?:|fetch\(|XMLHttpRequest|import\(|WebSocket", script)
    assert all(uri.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")) for uri in page.report["pictures"])


def test_the_policy_allows_this_script_and_this_style_alone(make_report, page_of):
    page = page_of(make_report())
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    allowed = dict(part.split(maxsplit=1) for part in policy.split("; "))
    assert allowed["default-src"] == "'none'" and allowed["img-src"] == "data:"
    for directive, name in (("script-src", "script"), ("style-src", "style")):
        digest = base64.b64encode(hashlib.sha256(page.texts[name].encode()).digest()).decode()
        assert allowed[directive] == f"'sha256-{digest}'"


def test_the_page_holds_the_report(make_report, page_of):
    report = make_report()
    stored = page_of(report).report
    assert (stored["title"], stored["classes"], stored["columns"]) == (report.title, report.classes, report.columns)
    assert [tuple(fact) for fact in stored["facts"]] == list(report.facts.items())
    assert stored["rows"][0]["cells"]["linear SVM, toys"] == {"mean": 83.3333, "deviation": 1.25, "runs": 3}
    assert [row["source"] for row in stored["rows"]] == [None, None, "Someone et al., 2022, table 1"]

    def pixels(number):
        data = base64.b64decode(stored["pictures"][number].partition(",")[2])
        return np.asarray(Image.open(io.BytesIO(data)))

    assert len(stored["pictures"]) == 12  # both methods and the strip show the same twelve
    for section, given in zip(stored["sections"], report.sections, strict=True):
        embedding = section["embedding"]
        for name in ("positions", "labels", "predicted"):
            np.testing.assert_array_equal(embedding[name], getattr(given.embedding, name))
        for number, picture in zip(embedding["pictures"], given.embedding.pictures, strict=True):
            np.testing.assert_array_equal(pixels(number), np.asarray(Image.open(io.BytesIO(picture))))

    whole = stored["sections"][0]
    assert [hit["label"] for hit in whole["retrieved"][0]["found"]] == ["chair", "sofa"]
    assert whole["retrieved"][0]["found"][1]["picture"] == whole["embedding"]["pictures"][5]
    assert whole["curves"] == [{"name": "loss", "epochs": [1, 2, 3, 4], "values": [3.0, None, 1.5, 1.25]}]
    cloud, given = whole["segmented"][0], report.sections[0].segmented[0]
    np.testing.assert_allclose(cloud["points"], given.points, rtol=1e-4)
    np.testing.assert_array_equal([cloud["truth"], cloud["predicted"]], [given.truth, given.predicted])
    assert cloud["parts"] == [7, 8]


def test_hostile_names_stay_text(make_report, page_of):
    harmless = page_of(make_report()).tags
    sections = [replace(section, name=HOSTILE[1]) for section in make_report().sections]
    facts = {name: name for name in HOSTILE}
    page = page_of(make_report(title=HOSTILE[1], classes=HOSTILE, columns=HOSTILE, sections=sections, facts=facts))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in harmless]
    assert page.texts["title"] == HOSTILE[1]
    assert page.report["classes"] == HOSTILE and page.report["sections"][0]["name"] == HOSTILE[1]
    assert "<" not in page.texts["data"]


def test_names_of_files_that_are_no_unicode_are_kept(make_report, page_of):
    assert page_of(make_report(title="\udcff", classes=["\udcff", "a", "b"])).report["classes"][0] == "\udcff"


def test_confusion_equals_scikit_learn():
    generator = np.random.default_rng(0)
    labels, predicted = generator.integers(0, 6, (2, 200))
    np.testing.assert_array_equal(confusion(labels, predicted, 7), confusion_matrix(labels, predicted, labels=range(7)))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "I;16"])
def test_large_pictures_are_scaled_down(mode):
    ramp = Image.linear_gradient("L").resize((300, 200))
    picture = ramp.convert("I").convert("I;16") if mode == "I;16" else ramp.convert(mode)
    file = io.BytesIO()
    picture.save(file, "JPEG" if mode == "CMYK" else "PNG")
    small = Image.open(io.BytesIO(base64.b64decode(thumbnail(file.getvalue()).partition(",")[2])))
    assert small.format == "JPEG" and small.size == (112, 75)
    if mode != "I;16":
        expected = np.asarray(ramp.resize(small.size, Image.Resampling.BOX), dtype=float)
        assert np.abs(np.asarray(small.convert("L"), dtype=float) - expected).mean() < 4


def test_what_is_transparent_is_laid_on_white():
    file = io.BytesIO()
    Image.new("RGBA", (4, 4), (200, 0, 0, 0)).save(file, "PNG")
    assert np.asarray(open_picture(file.getvalue())).min() == 255


def broken(section: Section, **changes) -> list[Section]:
    return [replace(section, embedding=replace(section.embedding, **changes))]


FAULTS = {
    "CrossPoint: found positions": lambda s: broken(s, positions=s.embedding.positions[:5]),
    r"found positions \(12, 2\)": lambda s: broken(s, positions=s.embedding.positions * np.nan),
    "found 3 pictures": lambda s: broken(s, pictures=s.embedding.pictures[:3]),
    r"found labels 0…3, expected 0…2": lambda s: broken(s, labels=np.arange(12) % 4),
    r"found predictions \(12,\) of type float64": lambda s: broken(s, predicted=s.embedding.predicted / 1),
    r"unreadable .*expected PNG or JPEG": lambda s: broken(s, pictures=[b"<svg onload=alert(1)>"] * 12),
    "a picture of 40 bytes": lambda s: broken(s, pictures=[s.embedding.pictures[0][:40]] * 12),
    "found a map of no cloud": lambda s: broken(s, labels=np.zeros(0, int)),
    r"parts of a lamp \(4,\)": lambda s: [
        replace(s, segmented=[Segmented("lamp", np.zeros((5, 3)), np.zeros(5, int), np.zeros(4, int))])
    ],
    "2 epochs for 1 values of loss": lambda s: [replace(s, curves=[Curve("loss", [1, 2], [0.5])])],
}


@pytest.mark.parametrize("message", FAULTS)
def test_what_does_not_fit_is_one_line_and_leaves_the_old_page(make_report, tmp_path, message):
    path = tmp_path / "report.html"
    path.write_text("old")
    report = make_report()
    with pytest.raises(ValueError, match=message) as error:
        write_page(replace(report, sections=FAULTS[message](report.sections[0])), path)
    assert "\n" not in str(error.value)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def wide_picture() -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (90, 1500, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, format="PNG")
    return file.getvalue()


def test_points_of_frames_have_a_matrix_and_pictures_of_their_own(make_report, page_of) -> None:
    matrix = Matrix(np.array([[3, 1], [0, 2]]), ["ground", "wall"])
    section = Section("SLidR", matrix=matrix, pictures=[Picture("frame 7", wide_picture())])
    found = page_of(make_report(sections=[section])).report
    (shown,) = found["sections"]
    assert shown["matrix"] == {"confusion": [[3, 1], [0, 2]], "classes": ["ground", "wall"], "counted": "point"}
    (frame,) = shown["frames"]
    assert frame["label"] == "frame 7"
    data = found["pictures"][frame["picture"]].partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.size == (1200, 72)  # far more than a thumbnail


@pytest.mark.parametrize("counts", [np.zeros((2, 3), np.int64), np.zeros((2, 2)), np.array([[1, -1], [0, 2]])])
def test_a_matrix_that_is_none_is_refused(counts, make_report, page_of) -> None:
    with pytest.raises(ValueError, match="SLidR: found a confusion matrix"):
        page_of(make_report(sections=[Section("SLidR", matrix=Matrix(counts, ["ground", "wall"]))]))


def test_figures_of_classes_are_tables(make_report, page_of) -> None:
    table = ClassTable("Classes: <b>", ["objects", "AP"], [("car", [12, 45.678]), ("</script>", [0, None])])
    section = Section("ours", tables=[table])
    data = page_of(make_report(sections=[section])).report
    assert data["sections"][0]["tables"] == [
        {
            "title": "Classes: <b>",
            "columns": ["objects", "AP"],
            "rows": [{"name": "car", "values": ["12", 45.678]}, {"name": "</script>", "values": ["0", None]}],
        }
    ]
    short = ClassTable("Classes: AP", ["objects", "AP"], [("car", [12])])
    with pytest.raises(
        ValueError, match=r"ours: found 1 figures of car in Classes: AP, expected 2, one for each column"
    ):
        page_of(make_report(sections=[Section("ours", tables=[short])]))
