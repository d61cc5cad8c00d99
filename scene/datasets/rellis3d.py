"""RELLIS-3D (Jiang et al. 2021, https://arxiv.org/abs/2011.12954): off-road sweeps of an Ouster OS1, with one camera.

    <root>/pt_{train,val,test}.lst                                        lists of sweeps and their labels
    <root>/00000/os1_cloud_node_kitti_bin/000104.bin
    <root>/00000/os1_cloud_node_semantickitti_label_id/000104.label
    <root>/00000/pylon_camera_node/frame000104-1581624663_149.jpg
    <root>/00000/{camera_info.txt,transforms.yaml}

as the archives of https://github.com/unmannedlab/RELLIS-3D unpack, or one sequence's files side by side, as in the
example there: <root>/{000104.bin,000104.label,frame000104-….jpg,camera_info.txt,transforms.yaml}.

Sweeps are float32 rows x y z intensity, a row per beam: the 40 % that met nothing lie at the origin and are dropped.
The OS1 looks back along its x axis; points and cameras are turned here to x forward, y left. `transforms.yaml` places
the camera in the LiDAR's frame, so its inverse takes points to the camera. Correcting for the lens distortion given in
the authors' notebook brings labels of points and pixels no closer together, so images are taken as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from msgspec import Struct

from crosspoint.renderers.records import read_yaml
from crosspoint.scene.data.calibration import invert, lidar_cameras, quaternion_rotation, rigid
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import IGNORED, LidarSample
from crosspoint.scene.datasets.readers import (
    IMAGE_SUFFIXES,
    find_sweeps,
    layout,
    misfit,
    optional_file,
    read_images,
    read_labels,
    read_lines,
    read_sweep,
    subsample,
    to_classes,
)
from crosspoint.scene.datasets.submission import first_numbers, spread_classes, written_numbers

SPLITS = ("train", "val", "test")
ClassMap = Literal["papers", "official"]
TO_FORWARD = rigid(np.diag([-1, -1, 1]), [0, 0, 0])  # the OS1's frame → x forward, y left, z up
# Files hold the raw 16-bit intensity over 65,535, of which the OS1 uses the lowest 1,024 but for retroreflectors.
FULL_SCALE = 1 / 64

# The labels of the authors' ontology; 0 is void. Seal (Liu et al. 2023) and OLIVINE keep all 19.
_NAMES = {
    1: "dirt", 3: "grass", 4: "tree", 5: "pole", 6: "water", 7: "sky", 8: "vehicle", 9: "object", 10: "asphalt",
    12: "building", 15: "log", 17: "person", 18: "fence", 19: "bush", 23: "concrete", 27: "barrier", 31: "puddle",
    33: "mud", 34: "rubble",
}  # fmt: skip
CLASSES = tuple(_NAMES.values())
CLASS_OF_LABEL = {0: IGNORED} | {label: place for place, label in enumerate(_NAMES)}

# The authors' own benchmark of sweeps has 14 classes: dirt and sky have no point at all, and object, asphalt and
# building next to none (2, 479 and 10 of all points).
_LEFT_OUT = (1, 7, 9, 10, 12)
_OFFICIAL = {label: name for label, name in _NAMES.items() if label not in _LEFT_OUT}
OFFICIAL_CLASSES = tuple(_OFFICIAL.values())
_OFFICIAL_OF_LABEL = dict.fromkeys((0, *_LEFT_OUT), IGNORED) | {label: place for place, label in enumerate(_OFFICIAL)}
_CLASS_MAPS = {"papers": (CLASSES, CLASS_OF_LABEL), "official": (OFFICIAL_CLASSES, _OFFICIAL_OF_LABEL)}

_SWEEPS, _LABELS, _IMAGES = "os1_cloud_node_kitti_bin", "os1_cloud_node_semantickitti_label_id", "pylon_camera_node"


class Rellis3d(LidarDataset):
    """The frames of RELLIS-3D that have an image; the number in its name says to which sweep it belongs.

    Args:
        root: the folder of the sequences, or of one sequence's files.
        split: "train", "val" or "test", read from `pt_<split>.lst`; None for all sweeps there are.
        skip: keep every skip-th frame, from the first on.
        class_map: official, the 14 classes of the authors' benchmark; or papers, all 19, as papers on pre-training have
            it: five of those have no point or next to none, so that `miou_absent_as_100` gives points for them.
        images: whether frames have images, which are then those that have one; False takes all sweeps.
        weak_labels: folder of PNG maps that mirrors the images: `<folder>/<path of the image relative to root>`, with
            the suffix .png: 0 for nothing, 1 to K for the classes of its manifest.
        superpixels: folder of PNG maps of regions, likewise.
        labels: whether points have classes; None for where a frame's file is there.
        columns: numbers in a row of a sweep, which begins x y z intensity; 3 where there is no intensity; None for 4.
        intensity_scale: the sensor's largest intensity, which becomes 1; None for that of the dataset.
        skip_incomplete: leave out frames that lack a file or cannot be read, and say how many.

    Raises:
        FileNotFoundError: if the list, a sweep or the calibration is not there, or no sweep has an image; or a folder
            of maps or its manifest is not there.
        ValueError: if the split is unknown, or the calibration or the list broken.
    """

    splits = SPLITS

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        skip: int = 1,
        class_map: ClassMap = "papers",
        images: bool = True,
        *,
        weak_labels: str | Path | None = None,
        superpixels: str | Path | None = None,
        labels: bool | None = None,
        columns: int | None = None,
        intensity_scale: float | None = None,
        skip_incomplete: bool = False,
    ) -> None:
        self._layout = layout(columns, intensity_scale, (4, FULL_SCALE))
        if split is not None and split not in SPLITS:
            raise ValueError(f"found the split {split!r}, expected one of: {', '.join(SPLITS)}")
        self.name = "rellis3d" if split is None else f"rellis3d ({split})"
        if class_map not in _CLASS_MAPS:
            raise ValueError(f"found the class_map {class_map!r}, expected one of: {', '.join(_CLASS_MAPS)}")
        classes, self._class_of_label = _CLASS_MAPS[class_map]
        self.classes = [] if labels is False else list(classes)
        self._labels = labels
        frames = _find_frames(Path(root), split, images)
        self._frames = subsample(frames, skip)
        self._rigs = {folder: _read_rig(folder) for folder in {frame.sequence for frame in self._frames if images}}
        self.open_maps(root, weak_labels, superpixels)
        if self.map_names and not images:
            raise ValueError("found maps of images for rellis3d without images, expected `images`: leave the maps out")
        if skip_incomplete:
            self.leave_out_incomplete()

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> LidarSample:
        frame = self._frames[index]
        sweep, name = read_sweep(frame.sweep, *self._layout), f"{frame.sequence.name}/{frame.sweep.stem}"
        points = sweep.points @ torch.from_numpy(TO_FORWARD[:3, :3].T).float()
        fields = {"intensity": sweep.intensity}
        for path in optional_file(frame.labels, self._labels):
            labels = to_classes(read_labels(path, sweep.kept), self._class_of_label, path)
            fields["label"] = torch.from_numpy(labels)
        if frame.image is None:
            return LidarSample(name, points, fields)
        rig, images = self._rigs[frame.sequence], read_images([frame.image])
        cameras = lidar_cameras(rig.intrinsics, rig.from_lidar, (images.shape[2], images.shape[3]))
        return self.with_maps(LidarSample(name, points, fields, images, cameras=cameras), index)

    def files(self, index: int) -> list[Path]:
        """The files that an access reads: sweep, image, labels, maps."""
        frame = self._frames[index]
        labels = optional_file(frame.labels, self._labels)
        return [frame.sweep, *self.image_files(index), *labels, *self.map_files(index)]

    def label_files(self, index: int) -> list[Path]:
        """The labels of the sweep."""
        return [self._frames[index].labels]

    def misfit(self, index: int) -> str | None:
        """What the sizes of sweep and labels say is wrong."""
        frame = self._frames[index]
        return misfit(frame.sweep, self._layout[0], optional_file(frame.labels, self._labels))

    def label_numbers(self) -> list[int]:
        """Of each class the first label that makes it up."""
        return first_numbers(self._class_of_label, len(self.classes))

    def submission(self, index: int, predicted: np.ndarray) -> tuple[str, np.ndarray]:
        """The file of a sweep's predictions, in the folder `predictions` of a sequence; errors: `spread_classes`."""
        sweep = self._frames[index].sweep
        numbers, kept = written_numbers(self._class_of_label, self.name), read_sweep(sweep, *self._layout).kept
        place = f"{self._frames[index].sequence.name}/predictions/{sweep.stem}.label"
        return place, spread_classes(predicted, numbers, kept, str(sweep), other=0)

    @classmethod
    def splits_in(cls, root: Path | None) -> Sequence[str]:
        """The splits whose lists are there."""
        return [split for split in SPLITS if root is not None and (root / f"pt_{split}.lst").is_file()]

    def keep_frames(self, kept: Sequence[int]) -> None:
        """Leave out all frames but these."""
        self._frames = [self._frames[index] for index in kept]

    def image_files(self, index: int) -> list[Path]:
        """The one image, where images are read."""
        image = self._frames[index].image
        return [] if image is None else [image]

    def thinned(self, step: int) -> Sequence[int]:
        """Every step-th frame in the order of the sweeps' paths, which is not that of the lists."""
        return sorted(range(len(self)), key=lambda index: self._frames[index].sweep)[::step]


class _Frame(NamedTuple):
    sequence: Path
    sweep: Path
    image: Path | None
    labels: Path


Number = float | str  # YAML 1.1 takes 1e-05 for text


class _Quaternion(Struct, frozen=True):
    w: Number
    x: Number
    y: Number
    z: Number


class _Place(Struct, frozen=True):
    x: Number
    y: Number
    z: Number


class _Pose(Struct, frozen=True):
    q: _Quaternion
    t: _Place


class _Transforms(Struct, rename={"pose": "os1_cloud_node-pylon_camera_node"}, frozen=True):
    """What is read of transforms.yaml."""

    pose: _Pose


class _Rig(NamedTuple):
    intrinsics: np.ndarray  # (1, 3, 3)
    from_lidar: np.ndarray  # (1, 4, 4)


def _find_frames(root: Path, split: str | None, with_images: bool) -> list[_Frame]:
    flat = (root / "transforms.yaml").is_file()
    where = "the sweeps of a RELLIS-3D sequence"
    if flat:
        if split is not None:
            raise ValueError(f"found one sequence's files in {root}, expected no split but {split!r}: leave it out")
        sweeps = [(path, path.with_suffix(".label")) for path in find_sweeps(root, where)]
    elif split is None:
        folders = sorted(root.glob(f"*/{_SWEEPS}"))
        if not folders:
            raise FileNotFoundError(f"found no {root}/00000/{_SWEEPS} or the like, expected {where}")
        paths = [path for folder in folders for path in find_sweeps(folder, where)]
        sweeps = [(path, path.parents[1] / _LABELS / f"{path.stem}.label") for path in paths]
    else:
        listed = root / f"pt_{split}.lst"
        words = [line.split() for line in read_lines(listed, "a sweep and its labels a line")]
        broken = next((line for line in words if len(line) != 2 or len(Path(line[0]).parts) != 3), None)
        if broken is not None or not words:
            found = "nothing" if broken is None else f"the line {' '.join(broken)!r}"
            raise ValueError(
                f"found {found} in {listed}, expected lines <sequence>/<folder>/<sweep> and the same of labels"
            )
        sweeps = [(root / line[0], root / line[1]) for line in words]
    images: dict[Path, dict[str, Path]] = {}
    frames = []
    for sweep, labels in sweeps:
        sequence = sweep.parent if flat else sweep.parents[1]
        if not with_images:
            frames.append(_Frame(sequence, sweep, None, labels))
            continue
        if sequence not in images:
            images[sequence] = _find_images(sequence if flat else sequence / _IMAGES)
        if sweep.stem in images[sequence]:
            frames.append(_Frame(sequence, sweep, images[sequence][sweep.stem], labels))
    if not frames:
        raise FileNotFoundError(
            f"found no image of {len(sweeps)} sweeps in {root}, expected frame<number>-<time>.jpg or .png"
        )
    return frames


def _find_images(folder: Path) -> dict[str, Path]:
    """Images by their number, the sweep's name."""
    paths = [path for path in sorted(folder.glob("frame*.*")) if path.suffix in IMAGE_SUFFIXES]
    return {path.stem.removeprefix("frame").partition("-")[0]: path for path in paths}


def _read_rig(folder: Path) -> _Rig:
    path = folder / "camera_info.txt"
    words = " ".join(read_lines(path, "the camera's fx, fy, cx, cy")).split()
    try:
        fx, fy, cx, cy = map(float, words)
    except ValueError:
        raise ValueError(f"found {' '.join(words)!r} in {path}, expected the four numbers fx, fy, cx, cy") from None
    path = folder / "transforms.yaml"
    pose = read_yaml(path, _Transforms, "where the camera is in the LiDAR's frame", "fetch it anew").pose
    try:
        rotation = quaternion_rotation([pose.q.w, pose.q.x, pose.q.y, pose.q.z])
        camera = rigid(rotation, [pose.t.x, pose.t.y, pose.t.z])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    from_lidar = invert(camera) @ invert(TO_FORWARD)
    return _Rig(np.array([[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]]), from_lidar[None])
