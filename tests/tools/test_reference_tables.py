"""Tables of options, files and classes in the documents: they say what the commands say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crosspoint.plugins import SHORT_NAMES
from tools.reference_tables import DOCS, pages, written

VARIANTS = {"semseg_mlp", "semseg_finetuned"}  # semseg with another mode, told of on its page
PROTOCOLS = sorted([*(SHORT_NAMES["protocol"].keys() - VARIANTS), "all"])
DATASETS = sorted({*SHORT_NAMES["dataset"], *SHORT_NAMES["labeled_dataset"]})


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(DOCS)))
def test_a_page_is_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert written(text) == text, "run python -m tools.reference_tables"


def test_every_protocol_has_a_page() -> None:
    for name in PROTOCOLS:
        text = (DOCS / "protocols" / f"{name}.md").read_text(encoding="utf-8")
        assert f"<!-- options of evaluate {name} -->" in text
        assert f"crosspoint evaluate {name} " in text
        assert f"({name}.md)" in (DOCS / "protocols" / "index.md").read_text(encoding="utf-8")


def test_every_dataset_has_a_page() -> None:
    index = (DOCS / "datasets" / "index.md").read_text(encoding="utf-8")
    for name in DATASETS:
        page = "scanobjectnn" if name.startswith("scanobjectnn") else name
        assert name in (DOCS / "datasets" / f"{page}.md").read_text(encoding="utf-8")
        assert f"({page}.md)" in index


def test_a_table_has_every_option_with_its_default() -> None:
    text = written("<!-- options of evaluate knn -->\n<!-- end -->")
    rows = dict(re.findall(r"^\| `--(\w+)` \| (\S*) ?\|", text, re.MULTILINE))
    assert rows["metric"] == "`cosine`" and rows["seed"] == "`0`" and rows["checkpoint"] == ""
    assert "equal \\[" not in text and "(required)" in text


def test_help_with_signs_of_markdown_stays_as_it_is() -> None:
    text = written("<!-- options of data nuscenes -->\n<!-- end -->")
    assert "`<folder>/<path of the image relative to root>`" in text
    assert "| `--cameras` | `[CAM_FRONT, " in text


def test_a_marker_of_no_command_is_refused() -> None:
    with pytest.raises(ValueError, match="linnear"):
        written("<!-- options of evaluate linnear -->\n<!-- end -->")
