"""HTML files that need nothing else: a style, a script, an object of data, and a policy that allows no more."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from pathlib import Path
from string import Template
from typing import Any

from renderers.atomic import writing


def write_html(path: Path, template: str, *, title: str, style: str, script: str, data: Any) -> None:
    """Fill a template and write it, atomically.

    Args:
        path: of the file.
        template: HTML with `$title`, `$style`, `$script`, `$data`, and for its content security policy `$style_hash`
            and `$script_hash`.
        title: any text.
        style: CSS.
        script: JavaScript.
        data: what JSON can hold, for the script.
    """
    page = Template(template).substitute(
        title=html.escape(title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        data=embedded(data),
    )
    with writing(path) as file:
        file.write(page.encode("utf-8", "xmlcharrefreplace"))  # names of files may hold lone surrogates


def embedded(value: Any) -> str:
    """JSON that can stand inside a script element: no `<` of it can end the element or open a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _hash(text: str) -> str:
    """As a content security policy names the only script or style it allows."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
