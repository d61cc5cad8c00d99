"""The report as one HTML file that needs nothing else: no network, no server, no library.

Everything that was measured goes in as JSON and becomes text nodes and attributes, never markup; a content security
policy lets the page run its own script and show its own pictures, and nothing more.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from crosspoint.eval.report.page_data import payload
from crosspoint.eval.report.report_model import Report
from crosspoint.html_page import write_html

STYLES = ("page", "table", "map", "matrix", "classes", "strips", "clouds", "frames", "curves", "narrow")
BODY = '<main id="page"></main>'
SCRIPTS = (
    "elements",
    "card",
    "table",
    "map",
    "legend",
    "matrix",
    "bars",
    "classes",
    "strips",
    "clouds",
    "frames",
    "curves",
    "page",
)


def write_page(report: Report, path: Path) -> None:
    """Write a report as one self-contained HTML file, atomically.

    Raises:
        ValueError: if arrays of the report do not fit each other, or a picture is neither PNG nor JPEG.
    """
    style = "\n".join(_read(f"{name}.css") for name in STYLES)
    script = "\n".join(_read(f"{name}.js") for name in SCRIPTS)
    write_html(path, BODY, title=report.title, style=style, script=script, data=payload(report))


def _read(name: str) -> str:
    return (files("crosspoint.eval.report") / "web" / name).read_text(encoding="utf-8")
