"""KITTI raw data (Geiger et al. 2013, https://www.cvlibs.net/datasets/kitti/raw_data.php): drives without labels.

    <root>/2011_09_26/calib_cam_to_cam.txt
    <root>/2011_09_26/calib_velo_to_cam.txt
    <root>/2011_09_26/2011_09_26_drive_0001_sync/image_02/data/0000000000.png
    <root>/2011_09_26/2011_09_26_drive_0001_sync/velodyne_points/data/0000000000.bin

as the "synced+rectified data" and "calibration" archives unpack. The sweeps are float32 rows x y z reflectance, the
reflectance in [0, 1]; images and sweeps of one number belong together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crosspoint.scene.data.calibration import lidar_cameras
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.datasets.kitti_calibration import KittiCalibration
from crosspoint.scene.datasets.readers import read_images, read_sweep, subsample

CAMERAS = ("image_02", "image_03")  # left and right color camera


class KittiRaw(LidarDataset):
    """The frames of KITTI's drives that have a sweep and all images; a few of a drive lack the sweep.

    Args:
        root: the folder of the days.
        drives: their folders' names, such as "2011_09_26_drive_0001_sync"; None for all there are.
        cameras: "image_02", "image_03" or both.
        skip: keep every skip-th frame of a drive, from its first on.
        weak_labels: folder of PNG maps that mirrors the images: `<folder>/<path of the image relative to root>`, with
            the suffix .png: 0 for nothing, 1 to K for the classes of its manifest.
        superpixels: folder of PNG maps of regions, likewise.

    Raises:
        FileNotFoundError: if there is no drive, or one has no such frame or no calibration; or a folder of maps or its
            manifest is not there.
        ValueError: if a camera is unknown, or a calibration broken.
    """

    def __init__(
        self,
        root: str | Path,
        drives: Sequence[str] | None = None,
        cameras: Sequence[str] = ("image_02",),
        skip: int = 1,
        *,
        weak_labels: str | Path | None = None,
        superpixels: str | Path | None = None,
    ) -> None:
        if not cameras or not set(cameras) <= set(CAMERAS):
            raise ValueError(f"found cameras {', '.join(cameras) or 'no name'}, expected some of: {', '.join(CAMERAS)}")
        self.name = "kitti_raw"
        self.cameras = tuple(cameras)
        self._frames: list[_Frame] = []
        self._rigs: dict[Path, _Rig] = {}
        for drive in _find_drives(Path(root), drives):
            self._rigs.setdefault(drive.parent, _read_rig(drive.parent, self.cameras))
            self._frames += [_Frame(drive, number) for number in subsample(_complete(drive, self.cameras), skip)]
        self.open_maps(root, weak_labels, superpixels)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> LidarSample:
        frame = self._frames[index]
        images = read_images(self.image_files(index))
        rig = self._rigs[frame.drive.parent]
        cameras = lidar_cameras(rig.intrinsics, rig.from_lidar, (images.shape[2], images.shape[3]))
        sweep, name = read_sweep(self._sweep(index)), f"{frame.drive.name}/{frame.number}"
        sample = LidarSample(name, sweep.points, {"intensity": sweep.intensity}, images, cameras=cameras)
        return self.with_maps(sample, index)

    def files(self, index: int) -> list[Path]:
        """The files that an access reads: the sweep, then the images and their maps."""
        return [self._sweep(index), *self.image_files(index), *self.map_files(index)]

    def image_files(self, index: int) -> list[Path]:
        """The image of each camera."""
        drive, number = self._frames[index]
        return [drive / camera / "data" / f"{number}.png" for camera in self.cameras]

    def _sweep(self, index: int) -> Path:
        drive, number = self._frames[index]
        return drive / "velodyne_points" / "data" / f"{number}.bin"


class _Frame(NamedTuple):
    drive: Path
    number: str


class _Rig(NamedTuple):
    intrinsics: np.ndarray  # (V, 3, 3)
    from_lidar: np.ndarray  # (V, 4, 4)


def _find_drives(root: Path, names: Sequence[str] | None) -> list[Path]:
    if not root.is_dir():
        raise FileNotFoundError(f"found no folder {root}, expected the one that holds KITTI's days, such as 2011_09_26")
    there = {path.name: path for path in sorted(root.glob("*/*_drive_*")) if path.is_dir()}
    if not there:
        raise FileNotFoundError(
            f"found no drive in {root}, expected <day>/<day>_drive_<number>_sync: give the folder of the days"
        )
    absent = [name for name in names or () if name not in there]
    if absent:
        raise FileNotFoundError(f"found no drive {', '.join(absent)} in {root}, expected some of: {', '.join(there)}")
    return [there[name] for name in (there if names is None else names)]


def _complete(drive: Path, cameras: Sequence[str]) -> list[str]:
    """Numbers of the frames that have a sweep and all images."""
    sweeps = {path.stem for path in (drive / "velodyne_points" / "data").glob("*.bin")}
    images = [{path.stem for path in (drive / camera / "data").glob("*.png")} for camera in cameras]
    complete = sorted(sweeps.intersection(*images))
    if not complete:
        counts = ", ".join(f"{len(found)} in {camera}" for camera, found in zip(cameras, images, strict=True))
        raise FileNotFoundError(
            f"found {len(sweeps)} sweeps and, of images, {counts} in {drive}, expected frames with all of them: "
            "unpack its synced+rectified data"
        )
    return complete


def _read_rig(day: Path, cameras: Sequence[str]) -> _Rig:
    """A day's calibration: LiDAR → first camera → its rectified axes → each camera."""
    between = KittiCalibration(day / "calib_cam_to_cam.txt")
    lidar = KittiCalibration(day / "calib_velo_to_cam.txt")
    to_rectified = between.rotation("R_rect_00") @ lidar.transform("R", "T")
    intrinsics, shifts = zip(*(between.camera(f"P_rect_{camera[-2:]}") for camera in cameras), strict=True)
    return _Rig(np.stack(intrinsics), np.stack([shift @ to_rectified for shift in shifts]))
