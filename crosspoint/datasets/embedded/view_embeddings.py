"""Embeddings of all views of a rendered set, by index: what `embed_views` wrote beside the shards."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec import Struct
from torch import Tensor

from crosspoint.datasets.embedded.view_facts import COLORS
from crosspoint.renderers import RenderedSet
from crosspoint.renderers.files import short
from crosspoint.renderers.records import as_dataclass, checked, read_json
from crosspoint.renderers.shards import index_path

FOLDER = "embeddings"  # in the folder of a rendered set
MANIFEST = "manifest.json"
FORMAT = 1
KINDS = ("embeddings", "colors")  # files of a shard: <shard>.<kind>.npy


@dataclass(frozen=True)
class Teacher:
    """What decides an embedding beside the view.

    Args:
        network: of timm.
        weights: sha256 of its weights.
        image_size: side in pixels that views have for it.
        feature_dim: numbers of an embedding.
    """

    network: str
    weights: str
    image_size: int
    feature_dim: int


class ViewEmbeddings:
    """Embeddings and colors of the views of one split, in the order of its objects.

    Arrays are mapped into memory, so that a set of any size opens at once, in any process.

    Args:
        objects: the rendered set, opened at the split.
        name: of the folder below SET/embeddings; None where there is one alone.

    Attributes:
        teacher: what made them.

    Raises:
        FileNotFoundError: if there are none.
        ValueError: if they are not complete, were made of another set, or are damaged.
    """

    def __init__(self, objects: RenderedSet, name: str | None = None) -> None:
        self.folder = embeddings_folder(objects.root, name)
        manifest = read_manifest(self.folder)
        self.teacher = Teacher(**manifest["teacher"])
        if manifest["set"] != set_digest(objects.root):
            raise ValueError(
                f"found embeddings of another set in {self.folder}, expected those of {objects.root} as it is now: "
                "remove the folder, and run crosspoint embed-views again"
            )
        self._paths = [embedding_paths(self.folder, shard) for shard in objects.shards]
        self._shapes = {"embeddings": self.teacher.feature_dim, "colors": COLORS}
        self._counts = [0, *np.cumsum([self._rows(paths, objects) for paths in self._paths]).tolist()]
        if self._counts[-1] != len(objects):
            raise ValueError(
                f"found embeddings of {self._counts[-1]} objects in {self.folder}, expected {len(objects)}: remove the "
                "folder, and run crosspoint embed-views again"
            )
        self._open: dict[Path, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        """What another process gets: paths, not what they hold."""
        return {**self.__dict__, "_open": {}}

    def embeddings(self, index: int, views: list[int]) -> Tensor:
        """Embeddings of chosen views (V', feature_dim) float32."""
        return self._read(index, views, "embeddings")

    def colors(self, index: int, views: list[int]) -> Tensor:
        """Shares of colors of chosen views (V', 64) float32."""
        return self._read(index, views, "colors")

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each number of an embedding over all views, (feature_dim,) float32 each."""
        count, total, squares = 0, np.zeros(self.teacher.feature_dim), np.zeros(self.teacher.feature_dim)
        for paths in self._paths:
            rows = self._array(paths["embeddings"]).astype(np.float64).reshape(-1, self.teacher.feature_dim)
            count, total, squares = count + len(rows), total + rows.sum(axis=0), squares + (rows**2).sum(axis=0)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()

    def _read(self, index: int, views: list[int], kind: str) -> Tensor:
        shard = int(np.searchsorted(self._counts, index, side="right")) - 1
        rows = self._array(self._paths[shard][kind])[index - self._counts[shard]]
        return torch.from_numpy(rows[views].astype(np.float32))

    def _array(self, path: Path) -> np.ndarray:
        if path not in self._open:
            self._open[path] = np.load(path, mmap_mode="r", allow_pickle=False)
        return self._open[path]

    def _rows(self, paths: dict[str, Path], objects: RenderedSet) -> int:
        """Objects of a shard, of which only the header is read."""
        counts = set()
        for kind, path in paths.items():
            if not path.is_file():
                raise ValueError(f"found no {path}, expected it: run crosspoint embed-views again to finish the set")
            try:
                array = np.load(path, mmap_mode="r", allow_pickle=False)
            except (ValueError, OSError, EOFError) as error:
                raise ValueError(
                    f"found a damaged {path} ({error}): remove it, and run crosspoint embed-views again"
                ) from None
            expected = (objects.views, self._shapes[kind])
            if array.dtype != np.float16 or array.shape[1:] != expected:
                raise ValueError(
                    f"found {array.dtype} of shape {array.shape} in {path}, expected float16 of shape (n, "
                    f"{expected[0]}, {expected[1]}): remove it, and run crosspoint embed-views again"
                )
            counts.add(len(array))
        if len(counts) != 1:
            raise ValueError(f"found files of different lengths beside {path}, expected equal ones: remove them")
        return counts.pop()


def embeddings_folder(root: Path, name: str | None) -> Path:
    """Where embeddings of a name lie; without one, those that are alone.

    Raises:
        FileNotFoundError: if there are none of this name, or none at all.
        ValueError: if there are several to choose from.
    """
    there = sorted(path.parent.name for path in (root / FOLDER).glob(f"*/{MANIFEST}"))
    if name is None and len(there) > 1:
        raise ValueError(f"found embeddings {', '.join(there)} in {root}, expected a choice: set embeddings to one")
    chosen = there[0] if name is None and there else name
    if chosen is None or chosen not in there:
        found = f"embeddings {', '.join(there)}" if there else "no embeddings"
        raise FileNotFoundError(
            f"found {found} in {root}, expected {name or 'some'}: make them with crosspoint embed-views {root}"
        )
    return root / FOLDER / chosen


class _Manifest(Struct, frozen=True):
    """What a folder's manifest says."""

    teacher: dict[str, Any]
    set: str


def embedding_paths(folder: Path, shard: Path) -> dict[str, Path]:
    """The files of a shard, by what they hold."""
    return {kind: folder / f"{shard.stem}.{kind}.npy" for kind in KINDS}


def set_digest(root: Path) -> str:
    """A digest of a rendered set: of set.json, and of the index of each shard, which has the size of every image."""
    digest = hashlib.sha256((root / "set.json").read_bytes())
    for path in sorted(root.glob("*.tar")):
        digest.update(index_path(path).name.encode())
        digest.update(index_path(path).read_bytes())
    return digest.hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The content of a folder's manifest.

    Raises:
        ValueError: if it is damaged, or of another format.
    """
    path, expected = folder / MANIFEST, "JSON of crosspoint embed-views"
    remedy = "remove the folder, and run it again"
    content: dict[str, Any] = read_json(path, dict[str, Any], expected, remedy)
    if content.get("format") != FORMAT:
        raise ValueError(
            f"found format {short(content.get('format'))} in {path}, expected {FORMAT}, of crosspoint embed-views: "
            f"{remedy}"
        )
    facts = checked(content, _Manifest, path, expected, remedy)
    return {**content, "teacher": asdict(as_dataclass(facts.teacher, Teacher, path, expected, remedy))}


def manifest_content(teacher: Teacher, digest: str) -> dict[str, Any]:
    """What the manifest of a folder says."""
    return {"format": FORMAT, "teacher": asdict(teacher), "set": digest}
