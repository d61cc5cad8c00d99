"""ModelNet: triangle meshes in folders of classes, sampled into clouds (Wu et al., 2015, https://arxiv.org/abs/1406.5670).

    <root>/<class>/train/<mesh>.off               and test

as https://modelnet.cs.princeton.edu/ModelNet40.zip unpacks, or
https://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip; other formats that trimesh reads will do.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track

from crosspoint.datasets.cloud_reading import surface_cloud
from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.labeled import LabeledDataset
from crosspoint.fields import Field, Fields, checked_fields
from crosspoint.renderers.archives import check_zip
from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.files import FAULTS
from crosspoint.renderers.layouts import Item, find_meshes
from crosspoint.renderers.meshes import TO_Y_UP, UpAxis, load_mesh, normalize, sample_surface
from crosspoint.renderers.parallel import in_processes

MOST_RATIO = 2.0  # of the clouds that the cache keeps, which are not packed

_FORMAT = 1  # of the cache: a new number lets old files lie


def modelnet_clouds(
    root: str | Path,
    split: str,
    points: int = 1024,
    seed: int = 0,
    up_axis: UpAxis = "z",
    cache: str | Path | None = None,
    jobs: int = -1,
    skip_broken: bool = False,
    download: Literal["10", "40"] | None = None,
    fields: Sequence[Field] = (),
) -> Clouds:
    """Sample points on the surfaces of a tree `<class>/{train,test}/*.off`.

    The points of a mesh depend on the seed and on its path in the tree alone: other files, their order and the number
    of jobs change nothing.

    Args:
        root: the folder of the classes, unpacked from https://modelnet.cs.princeton.edu/ModelNet40.zip or
            https://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip; other formats that trimesh reads
            are taken, too.
        split: "train" or "test" (or "val", where a tree has it).
        points: of a cloud, drawn evenly over the surface.
        seed: of these draws.
        up_axis: of the meshes, z in ModelNet; the clouds are turned to y up.
        cache: folder that keeps the clouds, under a name made of the settings and of the path, size and time of each
            mesh; None keeps nothing.
        jobs: processes that read meshes, -1 for one per core.
        skip_broken: leave out meshes that cannot be read or have no surface, instead of refusing the tree.
        download: get ModelNet10 or ModelNet40 first, through torch_geometric.datasets.ModelNet, into `<root>/raw`;
            what is there is not fetched again.
        fields: normals of the faces as they are wound in the file, and colors where meshes have some.

    Returns:
        Clouds of meshes whose bounding boxes are centered and which fill the unit sphere.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if the tree has another layout or no such split, if a mesh is broken, or an argument out of range.
    """
    if points < 1 or seed < 0:
        raise ValueError(f"found {points} points and seed {seed}, expected at least 1 and 0")
    if up_axis not in TO_Y_UP:
        raise ValueError(f"found the up axis {up_axis!r}, expected one of: {', '.join(TO_Y_UP)}")
    wanted = checked_fields(fields)
    root = _downloaded(Path(root), download) if download is not None else Path(root)
    root, items, classes = _split(root, split)
    settings = [_FORMAT, points, seed, up_axis, skip_broken, *wanted]
    stored = Path(cache) / f"modelnet-{_digest(root, items, settings)}.npz" if cache is not None else None
    sampled = _restored(stored) if stored is not None and stored.is_file() else None
    if sampled is None:
        sampled = _sample_all(root, items, points, seed, up_axis, skip_broken, jobs, wanted)
        if stored is not None:
            with atomic_write(stored) as file:
                np.savez(file, points=sampled.points, kept=sampled.kept)
    labels = np.array([classes.index(str(item.category)) for item in items], dtype=np.int64)[sampled.kept]
    return Clouds(sampled.points, labels, classes, "modelnet", split, fields=wanted)


class _Sampled(NamedTuple):
    points: np.ndarray  # (kept meshes, N, 3 + 3 F) float32
    kept: np.ndarray  # (meshes,) bool


def _split(root: Path, split: str) -> tuple[Path, list[Item], list[str]]:
    source = find_meshes(root)
    if source.layout != "modelnet":
        raise ValueError(
            f"found meshes in {root} that are in no folder train or test (one is {source.items[0].path}), expected "
            "<class>/{train,test}/<mesh>: give the folder of the classes as --root"
        )
    if source.items[0].path.count("/") == 1:
        raise ValueError(
            f"found one class alone in {root}, expected <class>/{{train,test}}/<mesh>: give {root.resolve().parent}, "
            "the folder of the classes"
        )
    items = [item for item in source.items if item.split == split]
    if not items:
        splits = sorted({item.split for item in source.items})
        raise ValueError(f"found the splits {', '.join(splits)} in {root}, expected one named {split!r}")
    return source.root, items, source.classes


def _sample_all(
    root: Path,
    items: list[Item],
    points: int,
    seed: int,
    up_axis: UpAxis,
    skip_broken: bool,
    jobs: int,
    fields: Fields,
) -> _Sampled:
    work = ((root / item.path, item.path, points, seed, up_axis, fields) for item in items)
    outcomes = track(
        in_processes(_sample, work, jobs),
        "sampling meshes",
        total=len(items),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    clouds, broken, kept = [], [], np.zeros(len(items), dtype=bool)
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, str):
            broken.append(outcome)
        else:
            clouds.append(outcome)
            kept[number] = True
    if broken and (not skip_broken or not clouds):
        raise ValueError(
            f"{root}: found {len(broken)} of {len(items)} meshes that cannot be used (the first: {broken[0]}), "
            "expected none: remove or mend them (in Python, modelnet_clouds can leave them out by skip_broken)"
        )
    return _Sampled(np.stack(clouds), kept)


def _sample(path: Path, place: str, points: int, seed: int, up_axis: UpAxis, fields: Fields) -> np.ndarray | str:
    """Points (N, 3 + 3 F) of one mesh, or why there are none."""
    try:
        mesh = normalize(load_mesh(path), up_axis)
        sample = sample_surface(mesh, points, np.random.default_rng([seed, zlib.crc32(place.encode())]))
        return surface_cloud(sample, fields, place)
    except Exception as error:  # a file can be broken in any way that a reader of a dozen formats can stumble over
        return f"{place}: {error}"


def _digest(root: Path, items: list[Item], settings: Sequence[object]) -> str:
    """A name for these files and settings."""
    files = [(item.path, item.bytes, (root / item.path).stat().st_mtime_ns) for item in items]
    return hashlib.sha256(json.dumps([settings, files]).encode()).hexdigest()[:32]


def _first_bytes(path: Path, count: int = 1 << 16) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(file.read(count)).hexdigest()


def _restored(path: Path) -> _Sampled | None:
    """What a file of the cache holds, None where it is damaged."""
    try:
        with path.open("rb") as file:
            check_zip(file, path, "sampled clouds", MOST_RATIO * path.stat().st_size)
            with np.load(file, allow_pickle=False) as stored:
                return _Sampled(stored["points"], stored["kept"])
    except FAULTS:
        return None


def _downloaded(root: Path, name: Literal["10", "40"]) -> Path:
    """Fetch and unpack ModelNet, and return the folder of its classes."""
    from torch_geometric.datasets import ModelNet

    if name not in ("10", "40"):
        raise ValueError(f"found download={name!r}, expected '10' or '40'")

    class Meshes(ModelNet):
        """Only the files: torch-geometric's own reading of all meshes is not needed here."""

        def process(self) -> None:
            pass

        def load(self, path: str) -> None:
            pass

    return Path(Meshes(str(root), name=name).raw_dir)


class ModelNet(LabeledDataset):
    """Clouds sampled from the meshes that `modelnet_clouds` reads, z up as they are in the files."""

    up_axis: ClassVar[UpAxis] = "z"

    def count(self, split: str) -> int:
        """The meshes of a split; none is opened."""
        return len(_split(self.root, split)[1])

    def clouds(self, split: str, points: int, seed: int) -> Clouds:
        """Sample one split, without turning it."""
        return modelnet_clouds(self.root, split, points, seed=seed, up_axis="y")

    def clouds_with(self, split: str, points: int, seed: int, fields: Fields) -> Clouds:
        """The same points with normals of their faces."""
        return modelnet_clouds(self.root, split, points, seed=seed, up_axis="y", fields=fields)

    def meshes(self, split: str) -> list[Path]:
        """The files of a split."""
        root, items, _ = _split(self.root, split)
        return [root / item.path for item in items]

    def identities(self, split: str) -> list[str]:
        """Size of each file and a digest of its first bytes: points are drawn by the path, copies have other ones."""
        root, items, _ = _split(self.root, split)
        return [f"{item.bytes} {_first_bytes(root / item.path)}" for item in items]
