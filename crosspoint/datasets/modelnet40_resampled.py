"""ModelNet40 as 10,000 points with normals per shape, in text: what PointNet++ and most later codes with normals read.

    <root>/<class>/<class>_0001.txt               rows x,y,z,nx,ny,nz
    <root>/modelnet40_train.txt                   names of shapes, one a line; and modelnet40_test.txt
    <root>/modelnet40_shape_names.txt             names of classes, one a line

as https://shapenet.cs.stanford.edu/media/modelnet40_normal_resampled.zip unpacks (Qi et al., 2017,
https://arxiv.org/abs/1706.02413); modelnet10_train.txt and others beside them are its ten classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.field_columns import missing_fields
from crosspoint.datasets.labeled import LabeledDataset
from crosspoint.fields import Fields
from crosspoint.renderers.files import read_whole, reading
from crosspoint.renderers.parallel import in_processes

SOURCE = "get modelnet40_normal_resampled.zip (Qi et al., shapenet.cs.stanford.edu/media) and unpack it there"
NAMES = "modelnet40_shape_names.txt"
AGAIN = "unpack the archive again"
CHUNK = 64  # files that a process reads at once


def resampled_clouds(root: str | Path, split: str, points: int = 1024, fields: Fields = (), jobs: int = -1) -> Clouds:
    """Read a split: the first points of each file, which are shuffled in the archive; y is up, as it is there.

    Args:
        root: the folder.
        split: "train" (9,843 shapes) or "test" (2,468).
        points: of a cloud, at most 10,000.
        fields: ("normals",) for normals behind x y z.
        jobs: processes that read, -1 for one per core.

    Raises:
        FileNotFoundError: if the folder or one of its files is not there.
        ValueError: if the split is unknown, or a file does not hold what it should.
    """
    if split not in ("train", "test"):
        raise ValueError(f"found the split {split!r}, expected one of: train, test")
    if points < 1:
        raise ValueError(f"found {points} points, expected at least 1")
    if "colors" in fields:
        raise missing_fields(["colors"], f"{root}, whose rows are a point and its normal")
    root = _root(Path(root))
    classes, shapes = _lines(root, NAMES), _lines(root, f"modelnet40_{split}.txt")
    labels = np.array([_label(shape, classes, root) for shape in shapes], dtype=np.int64)
    paths = [root / classes[label] / f"{shape}.txt" for shape, label in zip(shapes, labels, strict=True)]
    work = ((paths[start : start + CHUNK], points, len(fields)) for start in range(0, len(paths), CHUNK))
    clouds = [cloud for part in in_processes(_read_all, work, jobs if len(paths) > CHUNK else 1) for cloud in part]
    if not clouds:
        raise ValueError(f"found no shape in modelnet40_{split}.txt of {root}, expected some: {AGAIN}")
    return Clouds(np.stack(clouds), labels, classes, "modelnet40_resampled", split, fields=fields)


def _root(root: Path) -> Path:
    """The folder of the lists: this one, or the only one below that has them."""
    if (root / NAMES).is_file():
        return root
    below = sorted(path.parent for path in root.glob(f"*/{NAMES}")) if root.is_dir() else []
    if len(below) == 1:
        return below[0]
    raise FileNotFoundError(f"found no {NAMES} in {root}, expected the folder that holds it: {SOURCE}")


def _lines(root: Path, name: str) -> list[str]:
    return read_whole(root / name, "names, one a line").decode(errors="replace").split()


def _label(shape: str, classes: list[str], root: Path) -> int:
    """The class of night_stand_0012 is night_stand."""
    name = shape.rpartition("_")[0]
    if name not in classes:
        raise ValueError(
            f"found the shape {shape!r} in a list of {root}, expected <class>_<number> of {NAMES}: {AGAIN}"
        )
    return classes.index(name)


def _read_all(paths: Iterable[Path], points: int, fields: int) -> list[np.ndarray]:
    return [_read(path, points, fields) for path in paths]


def _read(path: Path, points: int, fields: int) -> np.ndarray:
    """The first points (N, 3 + 3 F) float32 of a file."""
    if not path.is_file():
        raise FileNotFoundError(f"found no {path}, expected all shapes of its list: {AGAIN}")
    with reading(path, "rows x,y,z,nx,ny,nz", AGAIN):
        rows = np.loadtxt(path, delimiter=",", ndmin=2, max_rows=points)
    if rows.shape != (points, 6) or not np.isfinite(rows).all():
        raise ValueError(
            f"found numbers of shape {rows.shape} in {path}, expected {points} rows x,y,z,nx,ny,nz, finite: ask for "
            "fewer points, or unpack the archive again"
        )
    return rows[:, : 3 + 3 * fields].astype(np.float32)


class ModelNet40Resampled(LabeledDataset):
    """ModelNet40 with normals, from the folder that `resampled_clouds` reads, y up."""

    def clouds(self, split: str, points: int, seed: int) -> Clouds:
        """Read one split: the first points of each cloud, without normals."""
        return resampled_clouds(self.root, split, points)

    def clouds_with(self, split: str, points: int, seed: int, fields: Fields) -> Clouds:
        """The same with normals."""
        return resampled_clouds(self.root, split, points, fields)

    def count(self, split: str) -> int:
        """How many shapes the list of a split has."""
        return len(_lines(_root(self.root), f"modelnet40_{split}.txt"))
