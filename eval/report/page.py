"""The report as one HTML file that needs nothing else: no network, no server, no library.

Everything that was measured goes in as JSON and becomes text nodes and attributes, never markup; a content security
policy lets the page run its own script and show its own pictures, and nothing more.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from eval.report.contents import Report
from eval.report.payload import payload
from renderers.atomic import writing

STYLES = ("page", "table", "map", "matrix", "strips", "clouds", "curves", "narrow")
SCRIPTS = ("elements", "card", "table", "map", "legend", "matrix", "bars", "strips", "clouds", "curves", "page")


def write_page(report: Report, path: Path) -> None:
    """Write a report as one self-contained HTML file, atomically.

    Raises:
        ValueError: if arrays of the report do not fit each other, or a picture is neither PNG nor JPEG.
    """
    style = "\n".join(_read(f"{name}.css") for name in STYLES)
    script = "\n".join(_read(f"{name}.js") for name in SCRIPTS)
    page = Template(_read("page.html")).substitute(
        title=html.escape(report.title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        report=embedded(payload(report)),
    )
    with writing(path) as file:
        file.write(page.encode("utf-8", "xmlcharrefreplace"))  # names of files may hold lone surrogates


def embedded(value: Any) -> str:
    """JSON that can stand inside a script element: no `<` of it can end the element or open a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _read(name: str) -> str:
    return (files("eval.report") / "web" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a content security policy names the only script or style it allows."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
