"""Files below a folder: the meshes, and what is left out; every folder once, however many links lead to it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from trimesh.exchange.load import mesh_formats

COMPANIONS = {
    ".mtl",
    ".bin",
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".tga",
    ".tif",
    ".tiff",
    ".webp",
    ".gif",
    ".dds",
    ".ktx2",
}
HINTS = {".dae": "pip install pycollada", ".3mf": "pip install lxml networkx", ".fbx": "convert to .glb",
         ".blend": "export as .glb", ".usd": "convert to .glb", ".usdz": "convert to .glb", ".3ds": "convert to .obj",
         ".zip": "unpack", ".gz": "unpack"}  # fmt: skip


@dataclass
class MeshTree:
    """What lies below a folder, by path relative to it."""

    meshes: dict[str, int] = field(default_factory=dict)  # bytes, 0 where a link leads nowhere
    left_out: Counter[str] = field(
        default_factory=Counter
    )  # files that are neither meshes nor what meshes name, by suffix
    skipped: list[str] = field(default_factory=list)  # links to folders that are there anyway, and unreadable folders


def mesh_suffixes() -> set[str]:
    """Suffixes of the files that trimesh reads here as surfaces; some need packages of their own."""
    return {f".{name}" for name in mesh_formats()} - {".xyz"}  # points alone


def walk(root: Path, suffixes: Collection[str] | None = None) -> MeshTree:
    """List a folder. Hidden files, and the copies that macOS packs beside files, are left out.

    Args:
        root: the folder.
        suffixes: of the files that count as meshes, in lower case; None for those of meshes.
    """
    tree = MeshTree()
    suffixes = mesh_suffixes() if suffixes is None else suffixes
    above = {path.resolve() for path in [root, *root.resolve().parents]}
    visited: set[Path] = set()
    waiting, links = [root], list[Path]()
    while waiting or links:
        if not waiting:  # real folders come first: a link to one of them adds nothing
            links.sort()
            link = links.pop(0)
            target = link.resolve()
            if target in visited or target in above:
                tree.skipped.append(link.relative_to(root).as_posix())
                continue
            waiting.append(link)
        folder = waiting.pop()
        target = folder.resolve()
        if target in visited:
            continue
        visited.add(target)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            tree.skipped.append(folder.relative_to(root).as_posix())
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            path, suffix = Path(entry.path), os.path.splitext(entry.name)[1].lower()
            if _is_folder(entry):
                (links if entry.is_symlink() else waiting).append(path)
            elif suffix in suffixes:
                tree.meshes[path.relative_to(root).as_posix()] = _size(path)
            elif suffix not in COMPANIONS:
                tree.left_out[suffix or "no suffix"] += 1
    return tree


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
