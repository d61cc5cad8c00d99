"""Parts of the documents that repeat what commands say: options of protocols and datasets, files of datasets, classes.

A page marks the place, `<!-- options of evaluate linear -->`, `<!-- options of data kitti_raw -->`,
`<!-- files of kitti_raw -->` or `<!-- classes of crosspoint.scene.datasets.waymo.CLASSES -->`. What stands from there
to `<!-- end -->` is written by `python -m tools.reference_tables`; a test holds the pages to it.
"""

from __future__ import annotations

import html
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from crosspoint.cli.data import KINDS, data
from crosspoint.cli.dataset_arguments import dataset_rows
from crosspoint.cli.parser import Parser, help_row
from crosspoint.eval.cli import ALL, protocol_parser, study_parser
from crosspoint.eval.protocols.named import protocol_class
from crosspoint.plugins import SHORT_NAMES, import_path, import_plugin
from crosspoint.renderers.atomic import atomic_write

DOCS = Path(__file__).parents[1] / "docs"
MARKED = re.compile(
    r"<!-- (?P<what>options of evaluate|options of data|files of|classes of) (?P<name>[\w.]+) -->\n.*?<!-- end -->",
    re.S,
)


def written(text: str) -> str:
    """The text of a page with its marked parts as they should be."""
    return MARKED.sub(_part, text)


def pages() -> list[Path]:
    """All pages with a marked part."""
    return [path for path in sorted(DOCS.rglob("*.md")) if MARKED.search(path.read_text(encoding="utf-8"))]


def main() -> int:
    """Bring all pages up to what the commands say."""
    for path in pages():
        text = path.read_text(encoding="utf-8")
        if (new := written(text)) != text:
            with atomic_write(path) as file:
                file.write(new.encode())
            sys.stdout.write(f"{path.relative_to(DOCS.parent)}\n")
    return 0


def _part(found: re.Match[str]) -> str:
    what, name = found["what"], found["name"]
    inner = {
        "options of evaluate": lambda: _table(_protocol_rows(name)),
        "options of data": lambda: _table(dataset_rows(name, [*inspect.signature(data).parameters])),
        "classes of": lambda: _classes(name),
        "files of": lambda: f"```\n{_module_says(name)}\n```",
    }[what]()
    return f"<!-- {what} {name} -->\n\n{inner}\n\n<!-- end -->"


def _protocol_rows(name: str) -> Iterable[tuple[str, str]]:
    """The rows of `crosspoint evaluate NAME --help`."""
    parser: Parser
    if name == ALL:
        parser = study_parser([protocol_class(each) for each in SHORT_NAMES["protocol"]])
    else:
        parser = protocol_parser(protocol_class(name), name)
    rows = (help_row(action, action.required) for action in parser._actions if action.dest != "help")
    return [row for row in rows if row is not None]


def _table(rows: Sequence[tuple[str, str]] | Iterable[tuple[str, str]]) -> str:
    lines = ["| option | default | what it is |", "|---|---|---|"]
    for name, text in rows:
        said, default = text, ""
        if text.endswith("]") and " [" in text:
            place = text.rfind(" [")
            said, default = text[:place], f"`{text[place + 2 : -1]}`"
        lines.append(f"| `{name}` | {default} | {_escaped(said)} |".replace("|  |", "| |"))
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Words of help as Markdown shows them, those between backticks as code."""
    parts = text.split("`")
    return "`".join(
        part if place % 2 else re.sub(r"([*\[\]|])", r"\\\1", html.escape(part, quote=False))
        for place, part in enumerate(parts)
    )


def _classes(path: str) -> str:
    """A constant that holds names of classes, as a sentence."""
    module, _, name = path.rpartition(".")
    names = [*getattr(importlib.import_module(module), name)]
    return textwrap.fill(f"{len(names)} classes: {', '.join(names)}.", 120)


def _module_says(name: str) -> str:
    """What `crosspoint data NAME` says of files."""
    kind = next(kind for kind in KINDS if name in SHORT_NAMES[kind])
    module = inspect.getmodule(import_plugin(kind, import_path(kind, name), object))
    return inspect.cleandoc((module.__doc__ if module else None) or "").strip()


if __name__ == "__main__":
    sys.exit(main())
