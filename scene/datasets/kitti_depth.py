"""KITTI's depth prediction on the Eigen split: images of raw drives, with annotated depth or that of their sweeps.

    <root>/2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069.png          or .jpg, as KITTI raw has them
    <depth>/train/2011_09_28_drive_0001_sync/proj_depth/groundtruth/image_02/0000000005.png
    <depth>/val/2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_02/0000000069.png

The second are the files of data_depth_annotated.zip (Uhrig et al. 2017, https://arxiv.org/abs/1708.06500), PNGs of 16
bits with 256 steps a meter and 0 for none; drives may also stand in `depth` itself. The lists of Eigen et al. (2014,
https://arxiv.org/abs/1406.2283) are not shipped. Both forms in which they go round are read, a line an image:

    2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069.png 2011_09_26_drive_0002_sync/proj_depth/… 721.5377
    2011_09_26/2011_09_26_drive_0002_sync 0000000069 l

BTS and its followers have the first, with "None" for a depth that was not annotated (652 of the 697 test images have
one), Monodepth2 and its followers the second.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from crosspoint.scene.data.calibration import lidar_cameras
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.pixel_maps import read_map
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.data.sparse_depth import DEPTH
from crosspoint.scene.datasets.kitti_raw import DayRig, read_day
from crosspoint.scene.datasets.readers import find_image, read_images, read_lines, read_sweep, subsample

log = logging.getLogger("crosspoint")

STEPS = 256.0  # of a meter in KITTI's depth maps
CAMERAS = {"l": "image_02", "r": "image_03"}
_DRIVE = r"(\d{4}_\d\d_\d\d)/(\1_drive_\d{4}_(?:sync|extract))"
_LONG = re.compile(_DRIVE + r"/(image_0[23])/data/(\d{10})\.\w+(?: (\S+).*)?")
_SHORT = re.compile(_DRIVE + r" (\d+) ([lr])")
_LINES = "the images of a split, a line each"


class ListedImage(NamedTuple):
    """A line of a list."""

    day: str
    drive: str
    camera: str  # "image_02" or "image_03"
    number: str
    annotated: bool | None  # None where the list does not say


class KittiDepth(LidarDataset):
    """The images of a split with the pixel map "depth", one a frame.

    With the folder of annotated depth, images that have none are left out, and neither sweeps nor calibration are read.
    Without it, frames come with sweep and cameras, by which their depth is projected.

    Args:
        root: the folder of the days.
        split: train, or val for what is measured on.
        train_list: file that lists the training images.
        val_list: file that lists the images to measure on: Eigen's test images.
        depth: folder of annotated depth, with `train` and `val` in it or the drives themselves; None for the sweeps'.
        skip: keep every skip-th image of the list.
        skip_incomplete: leave out images whose files are missing or cannot be read, and say how many.

    Raises:
        FileNotFoundError: if no list is given for the split, or it, the folder of depth, or a drive of the list is not
            there.
        ValueError: if a line of the list names no image of a drive.
    """

    splits = ("train", "val")
    map_names = frozenset({DEPTH})

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        *,
        train_list: str | Path | None = None,
        val_list: str | Path | None = None,
        depth: str | Path | None = None,
        skip: int = 1,
        skip_incomplete: bool = False,
    ) -> None:
        if split not in self.splits:
            raise ValueError(f"found the split {split!r}, expected one of: {', '.join(self.splits)}")
        given = train_list if split == "train" else val_list
        if given is None:
            raise FileNotFoundError(
                f"found no list of the split {split!r}, expected the file of Eigen's images: give `{split}_list`"
            )
        self.name = f"kitti_depth ({split})"
        self.root, self._depth = Path(root), None if depth is None else Path(depth)
        if self._depth is not None and not self._depth.is_dir():
            raise FileNotFoundError(f"found no folder {depth}, expected KITTI's annotated depth")
        listed = read_list(given)
        self._rigs: dict[tuple[str, str], DayRig] = {}
        if self._depth is None:
            self.map_names = frozenset()
        if not skip_incomplete:
            self._check_drives(listed, Path(given))
        self._images = subsample(listed if self._depth is None else self._with_depth(listed), skip)
        if skip_incomplete:
            self.leave_out_incomplete()

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> LidarSample:
        listed = self._images[index]
        name, images = f"{listed.drive}/{listed.camera}/{listed.number}", read_images(self.image_files(index))
        size = (images.shape[2], images.shape[3])
        if self._depth is not None:
            maps = {DEPTH: read_depth(self._depth_file(listed), size)[None]}
            return LidarSample(name, torch.zeros(0, 3), {"intensity": torch.zeros(0)}, images, maps)
        key = (listed.day, listed.camera)
        if key not in self._rigs:
            self._rigs[key] = read_day(self.root / listed.day, [listed.camera])
        rig = self._rigs[key]
        sweep = read_sweep(self._sweep(listed))
        cameras = lidar_cameras(rig.intrinsics, rig.from_lidar, size)
        return LidarSample(name, sweep.points, {"intensity": sweep.intensity}, images, cameras=cameras)

    def files(self, index: int) -> list[Path]:
        """The image, then its depth or its sweep."""
        listed = self._images[index]
        measured = self._sweep(listed) if self._depth is None else self._depth_file(listed)
        return [*self.image_files(index), measured]

    def image_files(self, index: int) -> list[Path]:
        """The image."""
        listed = self._images[index]
        return [find_image(self.root / listed.day / listed.drive / listed.camera / "data", listed.number)]

    def keep_frames(self, kept: Sequence[int]) -> None:
        """Leave out all images but these."""
        self._images = [self._images[index] for index in kept]

    def _sweep(self, listed: ListedImage) -> Path:
        return self.root / listed.day / listed.drive / "velodyne_points" / "data" / f"{listed.number}.bin"

    def _depth_file(self, listed: ListedImage) -> Path:
        assert self._depth is not None
        place = Path(listed.drive) / "proj_depth" / "groundtruth" / listed.camera / f"{listed.number}.png"
        places = [self._depth / part / place for part in ("train", "val", "")]
        return next((path for path in places if path.exists()), places[-1])

    def _check_drives(self, listed: Sequence[ListedImage], path: Path) -> None:
        """Refuse a list of drives that are not there."""
        drives = dict.fromkeys((image.day, image.drive) for image in listed)
        absent = [drive for day, drive in drives if not (self.root / day / drive).is_dir()]
        if absent:
            raise FileNotFoundError(
                f"found no folder of {len(absent)} of {len(drives)} drives of {path} in {self.root}, such as "
                f"{absent[0]}, expected all of them: fetch them, or set `skip_incomplete` to leave their images out"
            )

    def _with_depth(self, listed: Sequence[ListedImage]) -> list[ListedImage]:
        """Images that are annotated: those of which the list says so, or whose file is there."""
        kept = [
            image
            for image in listed
            if (self._depth_file(image).is_file() if image.annotated is None else image.annotated)
        ]
        if not kept:
            raise FileNotFoundError(
                f"found annotated depth of none of {len(listed)} images in {self._depth}, expected some: give the "
                "folder that holds train and val of data_depth_annotated"
            )
        if len(kept) < len(listed):
            log.info("%s: left out %d of %d images without depth", self.name, len(listed) - len(kept), len(listed))
        return kept


def read_list(path: str | Path) -> list[ListedImage]:
    """The images of a list, in its order.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a line has neither form, or there is none.
    """
    listed = [_read_line(line, number, path) for number, line in enumerate(read_lines(Path(path), _LINES), start=1)]
    if not listed:
        raise ValueError(f"found no line in {path}, expected {_LINES}")
    return listed


def _read_line(line: str, number: int, path: str | Path) -> ListedImage:
    words = " ".join(line.split())
    if (long := _LONG.fullmatch(words)) is not None:
        day, drive, camera, frame, depth = long.groups()
        return ListedImage(day, drive, camera, frame, None if depth is None else depth != "None")
    if (short := _SHORT.fullmatch(words)) is not None:
        day, drive, frame, side = short.groups()
        return ListedImage(day, drive, CAMERAS[side], frame.zfill(10), None)
    raise ValueError(
        f"found {words[:80]!r} in line {number} of {path}, expected the path of an image of a drive, or a drive, a "
        "number and l or r: give one of Eigen's lists"
    )


def read_depth(path: Path, size: tuple[int, int]) -> Tensor:
    """Read a depth map as KITTI keeps it, 256 steps a meter.

    Args:
        path: a grayscale PNG of 16 bits.
        size: (H, W) of its image.

    Returns:
        (H, W) float32 meters, 0 where nothing is measured.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is no such PNG, damaged, or of another size.
    """
    steps = read_map(path, size)
    highest = int(steps.max())
    if 0 < highest < STEPS:
        raise ValueError(
            f"found no depth beyond {highest / STEPS:.2g} m in {path}, expected some: depth maps have 16 bits and 256 "
            "steps a meter"
        )
    return steps.float() / STEPS
