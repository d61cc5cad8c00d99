"""Random access to a rendered set, as `render_folder` writes it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from msgspec import to_builtins
from PIL import Image
from torch import Tensor

from crosspoint.renderers.arrays import read_array
from crosspoint.renderers.cameras import Cameras
from crosspoint.renderers.files import reading, short
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.manifest import read_manifest
from crosspoint.renderers.records import decode_json
from crosspoint.renderers.shards import IndexedSample, read_index, read_member

AGAIN = "render its shard again"


class RenderedSet:
    """The objects of a rendered set, by index.

    Structure and places are checked when the set is opened, and one object is read; what a member holds is checked
    when it is read. Files are opened for each read, so that a set can be used in any process and pickled. Objects stand
    in the order of the shards, which is shuffled.

    Args:
        root: folder of the set.
        split: "train", "test", … ("all" where the source had none), or None for every split.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it is no complete rendered set, if a shard was cut, or if it has no object in this split.
    """

    def __init__(self, root: str | Path, split: str | None = None):
        self.root, self.split = Path(root), split
        manifest = read_manifest(self.root)
        self.classes: list[str] = manifest.classes
        self.settings: JsonObject = to_builtins(manifest.settings)
        self.views: int = manifest.settings.views
        self.size: int = manifest.settings.size
        shards = _shards(self.root, manifest.shards, split)
        self.keys: list[str] = []
        shard_numbers: list[int] = []
        labels: list[int] = []
        places: list[list[tuple[int, int]]] = []
        self._endings = ["points.npy", "normals.npy", "colours.npy", "cameras.npz", "json"]
        self._endings += [f"view{view:02d}.png" for view in range(self.views)]
        class_numbers: dict[str | None, int] = {name: number for number, name in enumerate(self.classes)}
        for number, shard in enumerate(shards):
            index = read_index(shard)
            if index is None:
                raise ValueError(f"found no {shard.name} in {root}, expected it: run `render` again to finish the set")
            for sample in index.samples:
                self.keys.append(sample.key)
                shard_numbers.append(number)
                labels.append(class_numbers.get(sample.category, -1))
                places.append(self._members(sample, shard))
        if not self.keys:
            raise ValueError(f"found no object in {root}, expected some: see its failures.jsonl")
        self.labels = np.array(labels, dtype=np.int64)  # (n,), -1 where the class is unknown
        self.shards = shards
        self._shard = np.array(shard_numbers)
        self._places = np.array(places, dtype=np.int64)  # (n, endings, 2): offset, size
        self.points(0), self.normals(0), self.colors(0), self.images(0, [0]), self.cameras(0)

    def __len__(self) -> int:
        return len(self.keys)

    def shard_of(self, index: int) -> Path:
        """The shard that holds an object."""
        return self.shards[self._shard[index]]

    def points(self, index: int) -> np.ndarray:
        """Surface samples (N, 3) float32.

        Raises:
            ValueError: if the member is of another type or shape, or a coordinate is not finite; so for the others.
        """
        return self._array(index, "points.npy", "<f4")

    def normals(self, index: int) -> np.ndarray:
        """Normals of the surface samples (N, 3) float32."""
        return self._array(index, "normals.npy", "<f4")

    def colors(self, index: int) -> np.ndarray | None:
        """Colors of the surface samples (N, 3) uint8, or None where the mesh has none."""
        return self._array(index, "colours.npy", "|u1") if self._has(index, "colours.npy") else None

    @property
    def colored(self) -> int:
        """How many objects have colors at their surface samples; nothing is read."""
        return int((self._places[:, self._endings.index("colours.npy"), 0] >= 0).sum())

    def images(self, index: int, views: Sequence[int] | None = None) -> Tensor:
        """Chosen views, or all of them, (V', 3, H, W) uint8; transparent ones are laid on white.

        Raises:
            ValueError: if an image is truncated, damaged or of another size, naming shard and key.
        """
        chosen = range(self.views) if views is None else views
        images = [
            _decode(self._read(index, f"view{view:02d}.png"), self.size, self._where(index, f"view {view}"))
            for view in chosen
        ]
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()

    def cameras(self, index: int) -> Cameras:
        """The cameras of all views."""
        where, V = self._where(index, "cameras.npz"), self.views
        arrays = {}
        with reading(where, "cameras", AGAIN), zipfile.ZipFile(io.BytesIO(self._read(index, "cameras.npz"))) as file:
            for name, shape in (("K", (V, 3, 3)), ("R", (V, 3, 3)), ("t", (V, 3))):
                member = file.getinfo(f"{name}.npy")
                if member.file_size > 8 * 9 * V + 1024:
                    raise ValueError(
                        f"found {member.file_size} bytes of {name} in {where}, expected {V} views: {AGAIN}"
                    )
                arrays[name] = torch.from_numpy(read_array(file.read(member), "<f8", shape, f"{name} of {where}"))
        return Cameras(arrays["K"], arrays["R"], arrays["t"], (self.size, self.size))

    def meta(self, index: int) -> JsonObject:
        """Class, split, source path, up axis, transform to the unit sphere and number of faces."""
        return decode_json(self._read(index, "json"), dict, self._where(index, "json"), "facts of an object", AGAIN)

    def where(self, index: int) -> str:
        """Key and shard of an object, for messages."""
        return f"{self.keys[index]} in {self.shards[self._shard[index]]}"

    def _members(self, sample: IndexedSample, shard: Path) -> list[tuple[int, int]]:
        """Where the members of a sample are, −1 for what it lacks."""
        places = [sample.members.get(ending, (-1, 0)) for ending in self._endings]
        absent = [e for e, (at, _) in zip(self._endings, places, strict=True) if at < 0 and e != "colours.npy"]
        if absent:
            raise ValueError(
                f"found no {absent[0]} of {short(sample.key)} in the index of {shard}, expected it: remove both "
                "and render again"
            )
        return places

    def _array(self, index: int, ending: str, dtype: str) -> np.ndarray:
        return read_array(self._read(index, ending), dtype, (self.settings["points"], 3), self._where(index, ending))

    def _has(self, index: int, ending: str) -> bool:
        return bool(self._places[index, self._endings.index(ending), 0] >= 0)

    def _read(self, index: int, ending: str) -> bytes:
        if ending not in self._endings:
            raise IndexError(f"found a request for {ending}, expected views 0…{self.views - 1}")
        offset, size = self._places[index, self._endings.index(ending)].tolist()
        return read_member(self.shards[self._shard[index]], offset, size)

    def _where(self, index: int, member: str) -> str:
        return f"{member} of {self.where(index)}"


def _shards(root: Path, counts: dict[str, int], split: str | None) -> list[Path]:
    """The shards that the set must have."""
    if split is not None and split not in counts:
        if list(counts) == ["all"]:
            raise ValueError(
                f"found no split {split!r} in {root}, whose objects are not split, expected one: render them with "
                "--test_share 0.2, or from the folders train/<class>/<mesh> and test/<class>/<mesh>"
            )
        raise ValueError(f"found no split {split!r} in {root}, expected one of {', '.join(counts)}")
    splits = list(counts) if split is None else [split]
    return [root / f"{name}-{number:06d}.tar" for name in splits for number in range(counts[name])]


def _decode(content: bytes, side: int, where: str) -> np.ndarray:
    """PNG → RGB (side, side, 3) uint8, on white."""
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as file:
            if file.size != (side, side):
                width, height = file.size
                raise ValueError(f"{height}×{width} pixels, not {side}×{side} as set.json says")
            if file.mode != "RGBA":
                return np.asarray(file.convert("RGB"))
            white = Image.new("RGBA", file.size, "white")
            return np.asarray(Image.alpha_composite(white, file.convert("RGBA")).convert("RGB"))
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:  # what Pillow raises for a PNG that is cut or damaged
        raise ValueError(f"found a damaged image ({error}), expected PNG: {where}, render its shard again") from None
