"""The record by which an interrupted study is known again: its settings, and the bytes of its checkpoints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.files import cut
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.records import checked, read_json
from crosspoint.renderers.sole_writer import is_empty

SETTINGS, SHA256 = "settings.json", "sha256"


def with_digests(settings: JsonObject, paths: Iterable[Path]) -> JsonObject:
    """Settings with the sha256 of some files."""
    return {**settings, SHA256: {str(path): _digest(path) for path in sorted({*paths})}}


def open_folder(folder: Path, settings: JsonObject) -> None:
    """Begin a study in a new folder, or go on in that of the same study.

    Raises:
        ValueError: if the folder is another study's, or holds something else.
    """
    saved = folder / SETTINGS
    if not saved.is_file():
        if folder.exists() and (not folder.is_dir() or not is_empty(folder)):
            raise ValueError(f"found {folder} without a study, expected a new folder: choose another --out")
        with atomic_write(saved) as file:
            file.write(json.dumps(settings, indent=2, ensure_ascii=False).encode() + b"\n")
        return
    changed = _differences(_read(saved), settings)
    if changed:
        raise ValueError(
            f"found other settings than those the study in {folder} began with ({'; '.join(changed)}), expected "
            "the same: repeat them, or choose another --out"
        )


def _read(saved: Path) -> JsonObject:
    return read_json(saved, dict[str, Any], "the settings of a study", "restore it, or choose another --out")


def _differences(before: JsonObject, now: JsonObject) -> list[str]:
    changed = [
        f"{name}: {cut(before.get(name))} then, {cut(now.get(name))} now"
        for name in {**before, **now}
        if name != SHA256 and before.get(name) != now.get(name)
    ]
    known = checked(before.get(SHA256, {}), dict[str, str], SHA256, "digests of files", "choose another --out")
    return changed + [
        f"other bytes in {path}" for path, digest in now[SHA256].items() if known.get(path, digest) != digest
    ]


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
