"""HTML files that need nothing else: a style, a script, an object of data, and a policy that allows no more."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from pathlib import Path
from string import Template

from crosspoint.renderers.atomic import atomic_write

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="$scheme">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; base-uri 'none'; form-action 'none'; \
img-src data:; style-src '$style_hash'; script-src '$script_hash'">
<title>$title</title>
<link rel="icon" href="data:,">
<style>$style</style>
</head>
<body>
<noscript>This page draws itself with JavaScript, from data inside this file: please allow it.</noscript>
$body
<script type="application/json" id="data">$data</script>
<script>$script</script>
</body>
</html>
""")


def write_html(
    path: Path, body: str, *, title: str, style: str, script: str, data: object, scheme: str = "light dark"
) -> None:
    """Write a page, atomically.

    Args:
        path: of the file.
        body: HTML elements for the script to fill.
        title: any text.
        style: CSS.
        script: JavaScript.
        data: what JSON can hold, for the script, in the element "data".
        scheme: color schemes that the style has.
    """
    page = PAGE.substitute(
        body=body,
        scheme=scheme,
        title=html.escape(title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        data=embedded(data),
    )
    with atomic_write(path) as file:
        file.write(page.encode("utf-8", "xmlcharrefreplace"))  # names of files may hold lone surrogates


def embedded(value: object) -> str:
    """JSON that can stand inside a script element: no `<` of it can end the element or open a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _hash(text: str) -> str:
    """As a content security policy names the only script or style it allows."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
