"""The card of an encoder: what it is, what it expects, how it was trained, and what it was measured at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from crosspoint.checkpoints.record import Record
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.records import read_json

TAGS = ["point-cloud", "self-supervised-learning"]


class _Cell(Struct):
    """A figure of a study."""

    mean: float
    deviation: float | None = None
    runs: int = 1


class _Row(Struct):
    """A row of the table of a study."""

    name: str
    cells: dict[str, _Cell]
    source: str | None = None


class _Results(Struct):
    """What a card reads of a study's results.json."""

    table: list[_Row]
    deviation: str = ""
    settings: dict[str, Any] = {}


def model_card(
    record: Record,
    *,
    weights: int,
    results: str | Path | None,
    row: str | None,
    license: str | None,
    command: str | None,
) -> str:
    """Markdown, with what Hugging Face's hub reads in front.

    Args:
        record: of the encoder.
        weights: how many it has.
        results: a study's results.json; None where nothing was measured.
        row: of its table.
        license: of the weights.
        command: that trained them.

    Raises:
        FileNotFoundError: if there are no such results.
        ValueError: if they are damaged, or have no such row.
    """
    name = record.encoder["class_path"].rpartition(".")[2]
    front: JsonObject = {"library_name": "crosspoint3d", "tags": TAGS}
    if license is not None:
        front["license"] = license
    parts = [f"---\n{yaml.safe_dump(front, sort_keys=False)}---", f"# {name}, {weights:,} weights"]
    parts.append(
        "```python\nfrom crosspoint import load_pretrained\n\n"
        'pretrained = load_pretrained("FOLDER")  # this folder, or hf://owner/repo\n'
        "features = pretrained.encoder(pretrained.transform(cloud))\n```"
    )
    parts.append("## What it is\n\n" + _table(("", ""), _facts(record)))
    if command is not None:
        parts.append(f"## Training\n\n```\n{command}\n```")
    if results is not None:
        parts.append(_figures(Path(results), row))
    parts.append(f"## License\n\n{license or 'None is given: ask whoever made it.'}")
    return "\n\n".join(parts)


def _facts(record: Record) -> list[tuple[str, str]]:
    inputs, config = record.inputs, record.config
    facts = [("encoder", record.encoder["class_path"])]
    facts += [(f"its {key}", str(value)) for key, value in record.encoder["init_args"].items()]
    facts += [("takes", inputs.kind), ("up axis", inputs.up_axis)]
    facts += [(key, str(value)) for key, value in (("points", inputs.points), ("k", inputs.k)) if value is not None]
    if inputs.kind == "points":
        facts.append(("unit sphere", str(inputs.unit_sphere).lower()))
    method, training = config.get("method"), config.get("training")
    if isinstance(method, dict):
        facts.append(("method", str(method.get("class_path"))))
    if isinstance(training, dict):
        facts.append(("epochs", str(training.get("epochs"))))
    return facts


def _figures(path: Path, row: str | None) -> str:
    if not path.is_file():
        raise FileNotFoundError(
            f"found no file {path}, expected results.json of crosspoint evaluate all: check the path"
        )
    found = read_json(path, _Results, "the results of a study")
    measured = [each for each in found.table if each.source is None]
    own = [
        each for each in measured if (not each.name.startswith("random initial") if row is None else each.name == row)
    ]
    if len(own) != 1:
        names = ", ".join(each.name for each in measured)
        raise ValueError(f"found the rows {names} in {path}, expected one of them to be named: give row")
    rows = [
        (title, f"{cell.mean:.1f}" + ("" if cell.deviation is None else f" ± {cell.deviation:.1f}"), str(cell.runs))
        for title, cell in own[0].cells.items()
    ]
    data = found.settings.get("dataset")
    said = f"In percent{'' if data is None else f', on {data}'}; ± is the deviation ({found.deviation})."
    return f"## Figures\n\n{said}\n\n{_table(('protocol', 'figure', 'runs'), rows)}"


def _table(head: tuple[str, ...], rows: list[Any]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
