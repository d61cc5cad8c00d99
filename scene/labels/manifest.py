"""The manifest of a folder of label maps, `manifest.json`: what their numbers mean, and how they were made.

    {
      "format": 1,
      "kind": "semantic",              # or "regions"
      "classes": ["road", "car", …],   # 1 is the first, 0 means that nothing is said; empty for regions
      "recipe": {…},                   # all that decides the maps
      "versions": {…},                 # of the packages that made them
      "images": 1200,                  # these two are there when all maps are
      "sha256": "…"                    # of sha256.txt, which has that of each map
    }

Who brings maps of his own needs the first three.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from msgspec import Struct

from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.records import read_json

MANIFEST = "manifest.json"
FORMAT = 1
MOST_CLASSES = 2**16 - 1  # what the numbers of a PNG of 16 bits can tell apart, without 0
_MOST_BYTES = 2**24  # a table of so many classes is smaller; no other file is read into memory by mistake

Kind = Literal["semantic", "regions"]
KINDS = ("semantic", "regions")

_OWN = (  # what a message ends with
    "crosspoint label writes it; beside maps of your own, write "
    '{"format": 1, "kind": "semantic", "classes": ["road", …]} into it, the name of number 1 first'
)


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says.

    Args:
        kind: what a number stands for: a class, or a region of its image.
        classes: their names, number 1 first; none for regions.
        recipe: all that decides the maps.
        versions: of the packages that made them.
        images: how many maps there are; None until they are complete.
        sha256: digest of the list of digests; None until then.
    """

    kind: Kind
    classes: list[str]
    recipe: JsonObject = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    images: int | None = None
    sha256: str | None = None


class _Format(Struct, frozen=True):
    """What a manifest of any version has."""

    format: int


def read_class_table(folder: Path) -> list[str]:
    """Names of the classes of a folder of semantic maps, that of number 1 first.

    Raises:
        FileNotFoundError: if the folder has no manifest.
        ValueError: if the manifest is broken, or the maps are those of regions.
    """
    manifest = read_manifest(folder)
    if manifest.kind != "semantic":
        raise ValueError(
            f"found maps of {manifest.kind} in {folder}, expected semantic ones: "
            "make them with crosspoint label --kind semantic, or open"
        )
    return manifest.classes


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder of maps.

    Raises:
        FileNotFoundError: if the folder has none.
        ValueError: if it is no JSON, is of another format, or one of its entries is missing or of another type.
    """
    path = Path(folder) / MANIFEST
    expected = "what the numbers of the maps mean"
    number = read_json(path, _Format, expected, _OWN, _MOST_BYTES).format  # a newer one may have another structure
    if number != FORMAT:
        raise ValueError(f"found the format {number} in {path}, expected {FORMAT}: {_OWN}")
    manifest = read_json(path, Manifest, expected, _OWN, _MOST_BYTES)
    check_classes(manifest.classes, str(path))
    if bool(manifest.classes) != (manifest.kind == "semantic"):
        raise ValueError(
            f"found {len(manifest.classes)} classes of {manifest.kind} maps in {path}, expected some for semantic maps "
            "alone"
        )
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a folder of maps.

    Raises:
        ValueError: if its classes cannot be those of maps.
    """
    path = Path(folder) / MANIFEST
    check_classes(manifest.classes, str(path))
    content = {"format": FORMAT, **{key: value for key, value in asdict(manifest).items() if value is not None}}
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def check_classes(classes: object, where: str) -> None:
    """Check that classes are a list of names that differ, no more than a map can number.

    Raises:
        ValueError: if they are not.
    """
    if not isinstance(classes, list) or not all(_is_name(name) for name in classes):
        raise ValueError(f"found no list of names as the classes in {where}, expected one: {_OWN}")
    if len(set(classes)) != len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise ValueError(f"found the class {twice!r} twice in {where}, expected each name once")
    if len(classes) > MOST_CLASSES:
        raise ValueError(f"found {len(classes)} classes in {where}, expected at most {MOST_CLASSES}")


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name.isprintable() and name == name.strip() != ""
