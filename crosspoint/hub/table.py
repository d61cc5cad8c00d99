"""The table of published weights: models.json in this folder, which `crosspoint models` lists.

A new entry is one object there: name, file, sha256, license, command, figures, and the same of random weights.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct, field

from crosspoint.renderers.records import read_json

TABLE = Path(__file__).with_name("models.json")
SHIPPED = Path(__file__).with_name("weights")  # files that come with the package
IN_WHEEL = "wheel:"


class PublishedModel(Struct, forbid_unknown_fields=True, frozen=True):
    """Weights that `load_pretrained` finds by their name.

    Attributes:
        name: what they are called.
        file: where they lie: https://…, hf://owner/repo, or wheel:NAME, a file in the folder `weights` beside this one.
        sha256: of the file.
        license: of the weights, which may be that of their training data.
        command: that trained them.
        figures: what they were measured at, in percent, by protocol and data.
        random: the same of a network of random weights.
        measured_by: the command that measured both.
    """

    name: str
    file: str
    sha256: str
    license: str
    command: str
    figures: dict[str, float] = field(default_factory=dict)
    random: dict[str, float] = field(default_factory=dict)
    measured_by: str | None = None


class _Table(Struct, forbid_unknown_fields=True, frozen=True):
    """What models.json holds."""

    models: list[PublishedModel]


def published_models() -> list[PublishedModel]:
    """All entries of the table.

    Raises:
        ValueError: if the file is damaged.
    """
    return read_json(TABLE, _Table, "the table of published weights", "install this package again").models
