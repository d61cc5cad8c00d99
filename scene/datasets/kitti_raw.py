"""KITTI raw data (Geiger et al. 2013, https://www.cvlibs.net/datasets/kitti/raw_data.php): drives without labels.

    <root>/2011_09_26/calib_cam_to_cam.txt
    <root>/2011_09_26/calib_velo_to_cam.txt
    <root>/2011_09_26/2011_09_26_drive_0001_sync/image_02/data/0000000000.png       or .jpg
    <root>/2011_09_26/2011_09_26_drive_0001_sync/velodyne_points/data/0000000000.bin

as the "synced+rectified data" and "calibration" archives unpack. The sweeps are float32 rows x y z reflectance, the
reflectance in [0, 1]; images and sweeps of one number belong together.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crosspoint.scene.data.calibration import lidar_cameras
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.datasets.kitti_calibration import KittiCalibration
from crosspoint.scene.datasets.readers import find_image, image_names, layout, read_images, read_sweep, subsample

log = logging.getLogger("crosspoint")

CAMERAS = ("image_02", "image_03")  # left and right color camera


class KittiRaw(LidarDataset):
    """The frames of KITTI's drives that have a sweep and all images; a few of a drive lack the sweep.

    Args:
        root: the folder of the days.
        drives: names of the drives' folders, such as "2011_09_26_drive_0001_sync"; None for all that have such a frame,
            so that an _extract drive or one with depth maps alone may lie beside them.
        cameras: "image_02", "image_03" or both.
        skip: keep every skip-th frame of a drive, from its first on.
        weak_labels: folder of PNG maps that mirrors the images: `<folder>/<path of the image relative to root>`, with
            the suffix .png: 0 for nothing, 1 to K for the classes of its manifest.
        superpixels: folder of PNG maps of regions, likewise.
        columns: numbers in a row of a sweep, which begins x y z intensity; 3 where there is no intensity; None for 4.
        intensity_scale: the sensor's largest intensity, which becomes 1; None for that of the dataset.
        skip_incomplete: leave out frames that lack a file or cannot be read, and say how many.

    Raises:
        FileNotFoundError: if there is no drive, none or a named one has such a frame, or there is no
            calibration; or a folder of maps or its manifest is not there.
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
        columns: int | None = None,
        intensity_scale: float | None = None,
        skip_incomplete: bool = False,
    ) -> None:
        self._layout = layout(columns, intensity_scale)
        if not cameras or not set(cameras) <= set(CAMERAS):
            raise ValueError(f"found cameras {', '.join(cameras) or 'no name'}, expected some of: {', '.join(CAMERAS)}")
        self.name = "kitti_raw"
        self.cameras = tuple(cameras)
        self._frames: list[_Frame] = []
        self._rigs: dict[Path, DayRig] = {}
        found = {drive: _complete(drive, self.cameras) for drive in _find_drives(Path(root), drives)}
        used = {drive: numbers for drive, numbers in found.items() if numbers}
        empty = [drive for drive in found if drive not in used]
        if empty and (drives is not None or not used):
            raise FileNotFoundError(_incomplete(empty[0], self.cameras))
        if empty:
            log.warning("kitti_raw: left out %s: %s", ", ".join(path.name for path in empty), "no frame is whole there")
        for drive, numbers in used.items():
            self._rigs.setdefault(drive.parent, read_day(drive.parent, self.cameras))
            self._frames += [_Frame(drive, number) for number in subsample(numbers, skip)]
        self.open_maps(root, weak_labels, superpixels)
        if skip_incomplete:
            self.leave_out_incomplete()

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> LidarSample:
        frame = self._frames[index]
        images = read_images(self.image_files(index))
        rig = self._rigs[frame.drive.parent]
        cameras = lidar_cameras(rig.intrinsics, rig.from_lidar, (images.shape[2], images.shape[3]))
        sweep, name = read_sweep(self._sweep(index), *self._layout), f"{frame.drive.name}/{frame.number}"
        sample = LidarSample(name, sweep.points, {"intensity": sweep.intensity}, images, cameras=cameras)
        return self.with_maps(sample, index)

    def files(self, index: int) -> list[Path]:
        """The files that an access reads: the sweep, then the images and their maps."""
        return [self._sweep(index), *self.image_files(index), *self.map_files(index)]

    def image_files(self, index: int) -> list[Path]:
        """The image of each camera."""
        drive, number = self._frames[index]
        return [find_image(drive / camera / "data", number) for camera in self.cameras]

    def keep_frames(self, kept: Sequence[int]) -> None:
        """Leave out all frames but these."""
        self._frames = [self._frames[index] for index in kept]

    def _sweep(self, index: int) -> Path:
        drive, number = self._frames[index]
        return drive / "velodyne_points" / "data" / f"{number}.bin"


class _Frame(NamedTuple):
    drive: Path
    number: str


class DayRig(NamedTuple):
    """Cameras of a day's drives."""

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
    return sorted(sweeps.intersection(*(image_names(drive / camera / "data") for camera in cameras)))


def _incomplete(drive: Path, cameras: Sequence[str]) -> str:
    """What a drive without a whole frame has."""
    sweeps = len(list((drive / "velodyne_points" / "data").glob("*.bin")))
    counts = ", ".join(f"{len(image_names(drive / camera / 'data'))} in {camera}" for camera in cameras)
    return (
        f"found {sweeps} sweeps (.bin) and, of images (.png, .jpg), {counts} in {drive}, expected frames with all of "
        "them: unpack its synced+rectified data, or name other `drives` or `cameras`"
    )


def read_day(day: Path, cameras: Sequence[str]) -> DayRig:
    """A day's calibration: LiDAR → first camera → its rectified axes → each camera."""
    between = KittiCalibration(day / "calib_cam_to_cam.txt")
    lidar = KittiCalibration(day / "calib_velo_to_cam.txt")
    to_rectified = between.rotation("R_rect_00") @ lidar.transform("R", "T")
    intrinsics, shifts = zip(*(between.camera(f"P_rect_{camera[-2:]}") for camera in cameras), strict=True)
    return DayRig(np.stack(intrinsics), np.stack([shift @ to_rectified for shift in shifts]))
