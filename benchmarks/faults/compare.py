"""Folders that two runs wrote, compared: tensor for tensor where a file holds tensors, byte for byte elsewhere."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

CURVES = re.compile(r"(^|/)csv/version_\d+/metrics\.csv$")  # a resumed run begins a new one
LOGS = re.compile(r"(^|/)(events\.out\.tfevents\..*|hparams\.yaml|stdout|stderr)$")  # they tell times
DRAFT = re.compile(r"^\.|\.tmp$|~$")
HALF = re.compile(r"\.[0-9a-f]{32}$")
NOT_FINITE = re.compile(rb"(?<![\w.\"])(NaN|-?Infinity|nan|-?inf)(?![\w\"])")


def contents(folder: Path) -> dict[str, str]:
    """A digest of each file by its path in the folder, without logs and drafts; curves of several starts are joined."""
    begun = set(drafts(folder))
    names = [name for name in files(folder) if name not in begun and not LOGS.search(name)]
    found = {name: digest(folder / name) for name in names if not CURVES.search(name)}
    rows = _curves([folder / name for name in names if CURVES.search(name)])
    return found | ({"csv": hashlib.sha256(repr(rows).encode()).hexdigest()[:16]} if rows else {})


def files(folder: Path) -> list[str]:
    """Paths of the files in a folder; symbolic links are not followed."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() or path.is_symlink()
    )


def drafts(folder: Path) -> list[str]:
    """Files that were being written: hidden names and .tmp."""
    return [name for name in files(folder) if any(DRAFT.search(part) for part in name.split("/"))]


def half_written(folder: Path) -> bool:
    """Whether a file is being written at this moment: not a lock, which is hidden, too."""
    return folder.exists() and any(HALF.search(name) for name in drafts(folder))


def digest(path: Path) -> str:
    """Of the tensors in it with their names, or of its bytes."""
    made = hashlib.sha256()
    for name, part in _parts(path):
        made.update(name.encode() + b"\0" + part)
    return made.hexdigest()[:16]


def finite(folder: Path) -> bool:
    """Whether no number in the tables, results and weights of a folder is infinite or none."""
    for name in files(folder):
        path = folder / name
        if path.suffix in (".ckpt", ".safetensors"):
            arrays = _arrays(path)
            weights = (a for name, a in arrays if path.suffix == ".safetensors" or name.startswith("/state_dict"))
            if not all(np.isfinite(array).all() for array in weights if array.dtype.kind == "f"):
                return False
        elif path.suffix in (".csv", ".json", ".jsonl") and NOT_FINITE.search(path.read_bytes()):
            return False
    return True


def differing(reference: dict[str, str], found: dict[str, str]) -> list[str]:
    """Names that only one has, or whose contents differ."""
    return sorted(name for name in reference.keys() | found.keys() if reference.get(name) != found.get(name))


def _curves(paths: list[Path]) -> list[tuple[tuple[str, str], ...]]:
    """Rows of tables by epoch and step, of which the last start decides."""
    rows = {}
    for path in sorted(paths, key=lambda path: int(path.parent.name.removeprefix("version_"))):
        for row in csv.DictReader(path.read_text().splitlines()):
            rows[row.get("epoch", ""), row.get("step", "")] = tuple(sorted((k, v) for k, v in row.items() if v))
    return [rows[key] for key in sorted(rows)]


def _parts(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.suffix in (".ckpt", ".pth", ".pt", ".safetensors", ".npz"):
        for name, array in _arrays(path):
            yield f"{name} {array.dtype} {array.shape}", array.tobytes()
    else:
        yield "", path.read_bytes()


def _arrays(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    if path.suffix == ".safetensors":
        yield from ((name, tensor.numpy()) for name, tensor in sorted(load_file(path).items()))
    elif path.suffix == ".npz":
        with np.load(path) as archive:
            yield from ((name, archive[name]) for name in sorted(archive.files))
    else:
        yield from _walk("", torch.load(path, map_location="cpu", weights_only=True))


def _walk(name: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Tensors and numbers of nested containers; words, which hold paths and times, are left out."""
    if isinstance(value, torch.Tensor):
        yield name, value.detach().float().numpy() if value.dtype == torch.bfloat16 else value.detach().numpy()
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from _walk(f"{name}/{key}", value[key])
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from _walk(f"{name}/{place}", item)
    elif isinstance(value, bool | int | float):
        yield name, np.array(value)
