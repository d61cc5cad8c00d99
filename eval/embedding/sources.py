"""Sources of what is embedded, or told of: files, the clouds of a rendered set or a dataset, LiDAR frames."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Protocol

import numpy as np

from crosspoint.datasets.cloud_reading import cloud_suffixes, read_cloud
from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.rendered import check_rendered_fields, rendered_cloud
from crosspoint.fields import Fields
from crosspoint.renderers import RenderedSet
from crosspoint.renderers.layouts import split_of
from crosspoint.renderers.meshes import UpAxis
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample

MODELNET = re.compile(r"(?:[^/]+/)?(train|test)/[^/]+\.off", re.IGNORECASE)


class Source(Protocol):
    """Items by index: `names`, `labels` ("" where there is none), and `read`."""

    names: list[str]
    labels: list[str]

    def read(self, index: int) -> np.ndarray | LidarSample:
        """The cloud (N, 3) of an object, or a frame."""
        ...


class FileSource:
    """Meshes and clouds below a folder, or one file.

    In folders of classes, `<class>/…/<file>` with or without a split above or below the class, the class is the label.

    Args:
        root: the folder, or the file.
        points: sampled on the surface of each mesh.
        fields: normals, colors: what the encoder takes behind x y z.

    Attributes:
        up_axis: "z" in a tree like ModelNet's, `<class>/<split>/<file>.off`, or a class of it; None elsewhere.

    Raises:
        FileNotFoundError: if there is no such folder or file.
        ValueError: if it holds neither mesh nor cloud.
    """

    def __init__(self, root: Path, points: int, fields: Fields = ()) -> None:
        if not root.exists():
            raise FileNotFoundError(f"found no {root}, expected a folder of meshes or clouds, or one file: check it")
        self.root, self.points, self.fields = root, points, fields
        self.up_axis: UpAxis | None = None
        if root.is_file():
            self.root, self.names, self.labels = root.parent, [root.name], [""]
            return
        suffixes = cloud_suffixes()
        found = [
            Path(folder, file).relative_to(root).as_posix()
            for folder, folders, files in os.walk(root)
            for file in files
            if Path(file).suffix.lower() in suffixes and not file.startswith(".")
            if not _hidden(folders)
        ]
        self.names = sorted(found)
        if not self.names:
            raise ValueError(
                f"found neither mesh nor cloud below {root}, expected files such as .off, .obj, .ply, .npy or .xyz"
            )
        self.labels = [_class(name) for name in self.names]
        if all(MODELNET.fullmatch(name) for name in self.names):
            self.up_axis = "z"  # as `crosspoint render` takes such a tree

    def __str__(self) -> str:
        """What the folder was taken for."""
        classes = len({*self.labels} - {""})
        up = f", {self.up_axis} up, as in a ModelNet tree" if self.up_axis else ""
        return f"{self.root}: {len(self.names):,} meshes and clouds, {classes} classes{up}"

    def read(self, index: int) -> np.ndarray:
        """The cloud (N, 3 + 3 F)."""
        name = self.names[index]
        return read_cloud(self.root / name, self.points, name, self.fields)


class RenderedSource:
    """The clouds of a rendered set.

    Args:
        root: folder of the set.
        split: of it; None for all.
        fields: normals, colors: what the encoder takes behind x y z.

    Raises:
        FileNotFoundError: if there is no such set.
        ValueError: if it cannot be read, or lacks a field.
    """

    def __init__(self, root: Path, split: str | None = None, fields: Fields = ()) -> None:
        self.objects = RenderedSet(root, split)
        check_rendered_fields(self.objects, fields)
        self.fields = fields
        self.names = self.objects.keys
        classes = self.objects.classes
        self.labels = [classes[label] if label >= 0 else "" for label in self.objects.labels]

    def read(self, index: int) -> np.ndarray:
        """The cloud (N, 3 + 3 F)."""
        return rendered_cloud(self.objects, index, self.fields)


class CloudsSource:
    """The clouds of a labeled dataset, in the frame of training already.

    Args:
        clouds: of a split.
    """

    prepared = True  # the cloud is taken as it is

    def __init__(self, clouds: Clouds) -> None:
        self.clouds = clouds
        self.names = [f"{clouds.split}/{index:06d}" for index in range(len(clouds))]
        self.labels = [clouds.classes[label] for label in clouds.labels]

    def read(self, index: int) -> np.ndarray:
        """The cloud (N, 3)."""
        cloud: np.ndarray = self.clouds.points[index]
        return cloud


class FrameSource:
    """The frames of a LiDAR dataset.

    Args:
        frames: the dataset.
    """

    def __init__(self, frames: LidarDataset) -> None:
        self.frames = frames
        self.names = [f"{index:06d}" for index in range(len(frames))]
        self.labels = [""] * len(frames)

    def read(self, index: int) -> LidarSample:
        """The frame, with its own name."""
        return self.frames[index]


def _hidden(folders: list[str]) -> bool:
    """Take hidden folders out of a walk; always False, so that it may stand in a condition."""
    folders[:] = [folder for folder in folders if not folder.startswith(".")]
    return False


def _class(name: str) -> str:
    """The class of a path: its first folder that is no split."""
    above = [part for part in name.split("/")[:-1] if split_of(part) is None]
    return above[0] if above else ""
