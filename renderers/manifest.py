"""Manifest of a rendered set: set.json (format, settings, classes) and sources.json (its meshes)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import PIL
import torch
import trimesh

from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.layouts import Source
from crosspoint.renderers.sample import Recipe
from crosspoint.renderers.sole_writer import LOCK

FORMAT = 1


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
        _same(read_manifest(out)["settings"], settings, out)
        _same_sources(json.loads((out / "sources.json").read_bytes()), sources, out)
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


def read_manifest(root: Path) -> JsonObject:
    """The content of set.json.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it is no rendered set, or one of another format.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"found no folder {root}, expected a rendered set: make one with `crosspoint render`")
    path = root / "set.json"
    if not path.is_file():
        raise ValueError(f"found no set.json in {root}, expected a rendered set: make one with `crosspoint render`")
    try:
        manifest = json.loads(path.read_bytes())
        version = manifest["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"found a damaged {path} ({error}), expected JSON of a rendered set") from None
    if version != FORMAT:
        raise ValueError(f"found format {version} in {path}, expected {FORMAT}: render the set again")
    return manifest


def _same(found: JsonObject, wanted: JsonObject, out: Path) -> None:
    found, wanted = ({**values, **values["style"]} for values in (found, wanted))
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
