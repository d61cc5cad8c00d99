"""Files that a mesh names (materials, textures, buffers), looked for where they may lie and nowhere else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from trimesh.resolvers import Resolver

# Folders that published sets put a mesh in, beside the one of its textures: models/ in ShapeNetCore v2, meshes/ in
# Google Scanned Objects.
GEOMETRY_FOLDERS = {"model", "models", "mesh", "meshes", "obj", "geometry"}

MESH_ENDINGS = {".obj", ".off", ".ply", ".stl", ".glb", ".gltf", ".dae"}


class Companions(Resolver):
    """What a mesh refers to, read from its own tree and from no farther than `root`.

    Names are taken with either slash, in any case, with or without quotes; of an absolute name, which is one of the
    disk that the mesh was made on, the end is looked for. A name that no path leads to is sought in the object's own
    tree, and taken where exactly one file has it. Links that lead out of `root` are as good as absent.

    Args:
        path: the mesh.
        root: folder that nothing is read outside of; by default the mesh's own, or the one above it where its name is
            one of `GEOMETRY_FOLDERS`.
    """

    def __init__(self, path: str | Path, root: str | Path | None = None) -> None:
        path = Path(os.path.abspath(path))
        self.file_name = path.name
        self.folder = path.parent
        self.tree = self.folder.parent if self.folder.name.lower() in GEOMETRY_FOLDERS else self.folder
        self.root = Path(os.path.abspath(root)) if root is not None else self.tree
        if not self.folder.is_relative_to(self.root):
            self.root = self.folder
        if not self.tree.is_relative_to(self.root):
            self.tree = self.folder
        self.not_found: list[str] = []  # names as the file has them

    def find(self, name: str) -> Path | None:
        """The file of a name, or None."""
        for candidate in _spellings(name):
            found = self._at(candidate)
            if found is not None:
                return found
        wanted = PurePosixPath(_spellings(name)[-1]).name.lower()
        alike = [path for path in _own_files(self.tree, self.folder) if path.name.lower() == wanted]
        allowed = [path for path in alike if path.is_file() and self._inside(path)]
        return allowed[0] if len(allowed) == 1 else None

    def get(self, key: str) -> bytes:
        """Content of a file; raises FileNotFoundError, and notes the name, where there is none."""
        found = self.find(key)
        if found is None:
            self.miss(key)
            raise FileNotFoundError(f"found no {key}, which {self.file_name} names, below {self.root}")
        return found.read_bytes()

    def miss(self, name: str) -> None:
        """Note a name that nothing was found for."""
        if name not in self.not_found:
            self.not_found.append(name)

    def keys(self) -> list[str]:
        """Names of the files beside the mesh."""
        return sorted(path.name for path in self.folder.iterdir() if path.is_file())

    def write(self, name: str, data: str | bytes) -> None:
        """Refused: reading a mesh writes nothing."""
        raise ValueError(f"found the file {name} to write beside a mesh, expected reading alone")

    def namespaced(self, namespace: str) -> Companions:
        """The same: the whole tree is looked through anyway."""
        return self

    def _at(self, name: str) -> Path | None:
        """The file at a path relative to the mesh, in any case."""
        place = self.folder
        for part in PurePosixPath(name).parts:
            if part == "..":
                place = place.parent
                if not place.is_relative_to(self.root):
                    return None
            elif part not in (".", "/"):
                found = _entry(place, part)
                if found is None:
                    return None
                place = found
        return place if place.is_file() and self._inside(place) else None

    def _inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.root.resolve())


def _spellings(name: str) -> list[str]:
    """What a name may mean, likeliest first; the last is the plainest."""
    plain = name.strip().strip("\"'").strip().replace("\\", "/")
    plain = re.sub("/+", "/", plain.removeprefix("file://"))
    spellings = [plain] if plain == unquote(plain) else [plain, unquote(plain)]
    for spelling in list(spellings):
        if spelling.startswith("/") or re.match("[A-Za-z]:", spelling):
            parts = [part for part in re.sub("^[A-Za-z]:", "", spelling).split("/") if part]
            spellings.remove(spelling)
            spellings += ["/".join(parts[start:]) for start in range(len(parts))]
    return spellings or [plain]


def _entry(folder: Path, name: str) -> Path | None:
    exact = folder / name
    if exact.exists():
        return exact
    if not folder.is_dir():
        return None
    alike = sorted(entry for entry in os.listdir(folder) if entry.lower() == name.lower())
    return folder / alike[0] if alike else None


def _own_files(tree: Path, folder: Path) -> Iterator[Path]:
    """Files of the object's own tree, without links; folders that hold other meshes belong to other objects."""
    for place, folders, files in os.walk(tree):
        here = Path(place)
        if here not in (tree, folder) and any(os.path.splitext(name)[1].lower() in MESH_ENDINGS for name in files):
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if len(here.relative_to(tree).parts) >= 3:
            folders.clear()
        yield from (here / name for name in sorted(files))
