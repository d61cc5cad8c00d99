"""Manifest of a rendered set: set.json (format, settings, classes) and sources.json (its meshes)."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import PIL
import torch
import trimesh
from msgspec import UNSET, Meta, Struct, UnsetType, to_builtins

from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.layouts import Source
from crosspoint.renderers.records import Count, read_json
from crosspoint.renderers.sample import Recipe
from crosspoint.renderers.sole_writer import LOCK

FORMAT = 1
MOST_VIEWS, LARGEST = 10_000, 2**14  # what set.json announces is not believed beyond these

Split = Annotated[str, Meta(pattern=r"^\w+$")]
Plain = str | int | float | bool | None


EXPECTED, REMEDY = "what a rendered set says of itself", "restore it, or render the set again into another folder"


class Format(Struct, frozen=True):
    """What every version of set.json has."""

    format: int


class Settings(Struct, frozen=True):
    """What the samples of a set were made with; `render_folder` says what each is. Earlier versions lack some."""

    views: Annotated[int, Meta(ge=1, le=MOST_VIEWS)]
    size: Annotated[int, Meta(ge=1, le=LARGEST)]
    points: Count
    orbit: str | UnsetType = UNSET
    backend: str | UnsetType = UNSET
    up_axis: str | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    style: dict[str, Plain | list[float]] | UnsetType = UNSET
    shard_size: Count | UnsetType = UNSET
    test_share: float | UnsetType = UNSET


class Manifest(Struct, frozen=True):
    """The content of set.json."""

    format: int
    classes: list[str]
    shards: dict[Split, Annotated[int, Meta(ge=0, le=10**6)]]  # how many there are, by split
    settings: Settings


def begin(out: Path, source: Source, recipe: Recipe, shard_size: int, test_share: float | None = None) -> None:
    """Write what a set is before its first shard; or compare a set that was begun.

    Raises:
        ValueError: if settings or source differ, naming the difference, or if the folder holds something else.
    """
    settings = json.loads(json.dumps(asdict(recipe) | {"shard_size": shard_size}))
    if test_share is not None:  # absent from sets of earlier versions
        settings["test_share"] = test_share
    sources = {item.path: item.bytes for item in source.items}
    if (out / "set.json").is_file():
        _same(to_builtins(read_manifest(out).settings), settings, out)
        begun = read_json(out / "sources.json", dict[str, int], "the meshes of the set and their bytes", REMEDY)
        _same_sources(begun, sources, out)
        return
    known = {"sources.json", LOCK}  # the first, alone, is what a run leaves that ends before its second file
    if out.exists() and (not out.is_dir() or any(path.name not in known for path in out.iterdir())):
        raise ValueError(f"found files in {out} that are no rendered set, expected a new or empty folder")
    counts = Counter(item.split for item in source.items)
    content = {
        "format": FORMAT,
        "layout": source.layout,
        "classes": source.classes,
        "shards": {split: -(-count // shard_size) for split, count in sorted(counts.items())},
        "settings": settings,
        "made_with": {module.__name__: module.__version__ for module in (trimesh, np, torch, PIL)},
    }
    # set.json comes last: a folder that has it has both.
    for name, value in (("sources.json", sources), ("set.json", content)):
        with atomic_write(out / name) as file:
            file.write((json.dumps(value, indent=1) + "\n").encode())


def read_manifest(root: Path) -> Manifest:
    """The content of set.json.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it is no rendered set, one of another format, or a setting is out of range.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"found no folder {root}, expected a rendered set: make one with `crosspoint render`")
    path = root / "set.json"
    if not os.path.lexists(path):
        raise ValueError(f"found no set.json in {root}, expected a rendered set: make one with `crosspoint render`")
    version = read_json(path, Format, EXPECTED, REMEDY).format  # a newer one may have another structure
    if version != FORMAT:
        raise ValueError(f"found format {version} in {path}, expected {FORMAT}: render the set again")
    return read_json(path, Manifest, EXPECTED, REMEDY)


def _same(found: JsonObject, wanted: JsonObject, out: Path) -> None:
    found, wanted = ({**values, **values.get("style", {})} for values in (found, wanted))
    for name in [*(wanted.keys() - {"style"}), *found]:
        if found.get(name) != wanted.get(name):
            raise ValueError(
                f"found {out} begun with {name} = {found.get(name)}, expected {wanted.get(name)}: "
                "render with the settings of its set.json, or into another folder"
            )


def _same_sources(found: dict[str, int], wanted: dict[str, int], out: Path) -> None:
    changed = sorted(path for path in found.keys() | wanted.keys() if found.get(path) != wanted.get(path))
    if changed:
        path = changed[0]
        what = "is gone" if path not in wanted else "is new" if path not in found else "has changed its size"
        raise ValueError(
            f"found {len(changed)} meshes that differ from those {out} was begun with ({path} {what}), "
            "expected the same source: restore it, or render into another folder"
        )
