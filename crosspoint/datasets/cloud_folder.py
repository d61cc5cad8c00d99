"""Clouds and meshes of your own in a folder, without views: what intra-modal pre-training and the protocols need.

    <root>/<class>/<file>, <root>/<class>/<split>/<file>, <root>/<split>/<class>/<file>, or <root>/<file>

Files may be .npy, .npz, .xyz, .txt, .pts, .csv, .ply, .pcd, .las, .laz, or meshes, of which points are sampled.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from crosspoint.datasets.cloud_reading import cloud_suffixes, is_mesh, read_cloud
from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.labeled import LabeledDataset
from crosspoint.datasets.pairs import ObjectPair, PairDataset
from crosspoint.fields import Fields, turn_cloud
from crosspoint.renderers.layouts import Item, Source, find_meshes
from crosspoint.renderers.meshes import TO_Y_UP, UpAxis
from crosspoint.renderers.ranges import POINTS, in_range

log = logging.getLogger(__name__)

NO_IMAGES = torch.zeros((0, 3, 1, 1), dtype=torch.uint8)
TEST_SHARE = 0.2  # of each class, where the folders name no splits


class CloudFolder(PairDataset):
    """Clouds of a folder for pre-training without images.

    CrossPoint's intra-modal half learns from them (`method.cross_weight` 0). Each cloud is brought to the same number
    of points: drawn without repeats where there are enough, else all of them and some twice.

    Args:
        root: the folder.
        split: one that the folders name; None for all. Where they name none, "train" and "test" are drawn.
        points: points of each cloud.
        up_axis: up axis of the files; None for z in a tree of .off like ModelNet's, y elsewhere. Clouds are turned to
            y up.
        test_share: share of each class that is drawn for "test".
        split_seed: seed of this draw.
        cache: keep all clouds in memory, once, when the dataset is opened.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no cloud, has no such split, or a number is out of range.
    """

    has_views: ClassVar[bool] = False

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        points: int = 2048,
        up_axis: UpAxis | None = None,
        test_share: float = TEST_SHARE,
        split_seed: int = 0,
        cache: bool = False,
    ) -> None:
        in_range("points", points, *POINTS)
        source = _find(root)
        log.info("%s", str(replace(source, up_axis=up_axis or source.up_axis)).replace("meshes:", "files:"))
        self.items = _of_split(source, split, test_share, split_seed)
        self.root, self.points = source.root, points
        self.up_axis: UpAxis = up_axis or source.up_axis
        self.fields: Fields = ()
        self.classes = source.classes
        self.labels = np.array([_label(item, source) for item in self.items], dtype=np.int64)
        self._points: Tensor | None = None  # (n, N, 3) float32
        if cache:
            self._points = torch.stack([torch.from_numpy(self.read_points(i)) for i in range(len(self))])

    def __getitem__(self, item: tuple[int, int]) -> ObjectPair:
        """The cloud at (index, seed), without images; nothing is drawn by the seed."""
        index, _ = item
        points = torch.from_numpy(self.read_points(index)) if self._points is None else self._points[index]
        return ObjectPair(points, NO_IMAGES, torch.tensor(self.labels[index]))

    def read_points(self, index: int) -> np.ndarray:
        """The cloud alone, (N, 3 + 3 F) float32, y up, in the units of its file."""
        return _read(self.root, self.items[index], self.points, self.up_axis, self.fields)

    def with_fields(self, fields: Fields) -> CloudFolder:
        """The same clouds with normals and colors, of meshes or of files that have them."""
        return self.reread(fields)

    def where(self, index: int) -> str:
        """The file of a cloud."""
        return str(self.root / self.items[index].path)


class LabeledCloudFolder(LabeledDataset):
    """Clouds and meshes in folders of classes; where no folder names a split, a fifth of each class is for the test."""

    def __init__(self, root: str | Path) -> None:
        super().__init__(root)
        self.source = _find(root)
        if not self.source.classes or any(item.category is None for item in self.source.items):
            raise ValueError(
                f"found clouds without classes in {root}, expected folders <class>/<file>: a protocol needs labels"
            )
        self.up_axis = self.source.up_axis  # type: ignore[misc] # of this folder, not of all

    def clouds(self, split: str, points: int, seed: int) -> Clouds:
        """Read one split: `points` of each cloud, drawn by its path."""
        return self.clouds_with(split, points, seed, ())

    def clouds_with(self, split: str, points: int, seed: int, fields: Fields) -> Clouds:
        """The same with normals and colors, of meshes or of files that have them."""
        items = _of_split(self.source, split, TEST_SHARE, 0)
        read = np.stack([_read(self.source.root, item, points, "y", fields) for item in items])
        labels = np.array([_label(item, self.source) for item in items], dtype=np.int64)
        return Clouds(read, labels, self.source.classes, "clouds", split, fields=fields)

    def meshes(self, split: str) -> list[Path] | None:
        """The files of a split, where all of them are meshes."""
        paths = [self.source.root / item.path for item in _of_split(self.source, split, TEST_SHARE, 0)]
        return paths if all(is_mesh(path) for path in paths) else None

    def identities(self, split: str) -> list[str]:
        """Sha256 of each file: points of meshes are drawn by the path, so copies have other ones."""
        items = _of_split(self.source, split, TEST_SHARE, 0)
        return [hashlib.sha256((self.source.root / item.path).read_bytes()).hexdigest() for item in items]

    def count(self, split: str) -> int:
        """How many files the split has."""
        return len(_of_split(self.source, split, TEST_SHARE, 0))


def _find(root: str | Path) -> Source:
    source = find_meshes(root, cloud_suffixes())
    modelnet = source.layout == "modelnet" and all(item.path.lower().endswith(".off") for item in source.items)
    return replace(source, up_axis="z" if modelnet else "y")


def _of_split(source: Source, split: str | None, test_share: float, seed: int) -> list[Item]:
    if split is None:
        return source.items
    named = {item.split for item in source.items}
    if named == {"all"} and split in ("train", "test"):
        log.info("no folder of %s names a split: %g of each class is drawn for the test", source.root, test_share)
        source = source.split_by(test_share, seed)
    found = [item for item in source.items if item.split == split]
    if not found:
        there = "train, test" if named == {"all"} else ", ".join(sorted(named))
        raise ValueError(f"found no split {split!r} in {source.root}, expected one of {there}")
    return found


def _label(item: Item, source: Source) -> int:
    return -1 if item.category is None else source.classes.index(item.category)


def _read(root: Path, item: Item, points: int, up_axis: UpAxis, fields: Fields = ()) -> np.ndarray:
    """(points, 3 + 3 F) float32, drawn by the path: not by the order of files, nor by what else is there."""
    cloud = read_cloud(root / item.path, points, item.path, fields)
    if len(cloud) != points:
        drawn = np.random.default_rng([*hashlib.sha256(item.path.encode()).digest()])
        more, order = max(points - len(cloud), 0), drawn.permutation(len(cloud))[:points]
        cloud = cloud[np.concatenate([order, drawn.choice(len(cloud), more)])] if more else cloud[order]
    if up_axis != "y":
        turn = TO_Y_UP[up_axis].astype(np.float32)
        if fields:
            return turn_cloud(torch.from_numpy(cloud), torch.from_numpy(turn), fields).numpy()
        cloud = cloud @ turn.T
    return np.ascontiguousarray(cloud, dtype=np.float32)
