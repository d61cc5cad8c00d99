"""The calibration file of a user's own rig, `calibration.yaml`.

`crosspoint.scene.datasets.folder` says what lies beside it.

    cameras:                             # [] for a LiDAR alone
    - name: front                        # folder of its images
      size: [720, 1280]                  # height, width in pixels
      K: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
      lidar_to_camera: [[…], […], […], [0, 0, 0, 1]]  # x_camera = R x_lidar + t; x right, y down, z forward
    pixel_centres: integer               # K puts the top-left pixel's center at (0, 0), as OpenCV does; or half
    columns: 5                           # numbers in a row of points/*.bin, which begins x y z intensity; 4 where left
                                         # out, 3 without intensity
    intensity_scale: 255                 # the sensor's largest intensity, which becomes 1; 1 where left out
    classes: [road, car, …]              # of the labels; may be left out
    box_classes: [car, …]                # of the boxes; may be left out

A key that is not one of these is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.cameras import Cameras
from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.data.calibration import lidar_cameras
from crosspoint.scene.datasets.readers import read_lines

CALIBRATION = "calibration.yaml"
_KEYS = {"cameras", "pixel_centres", "columns", "intensity_scale", "classes", "box_classes"}
_LENS = {"d", "dist", "distortion", "distortion_coefficients", "distortion_model", "k1", "k2", "k3", "p1", "p2", "xi"}
_CAMERA_KEYS = {"name", "size", "K", "lidar_to_camera"}


@dataclass(frozen=True)
class Rig:
    """What `calibration.yaml` says."""

    cameras: Cameras | None  # from the LiDAR's frame, pixel centers at +0.5; None for a LiDAR alone
    camera_names: list[str]
    classes: list[str] = field(default_factory=list)
    box_classes: list[str] = field(default_factory=list)
    intensity_scale: float = 1.0
    columns: int = 4


def read_rig(root: Path) -> Rig:
    """Read `<root>/calibration.yaml`.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is no YAML, a key is missing or unknown, or a number makes no camera.
    """
    path = root / CALIBRATION
    read_lines(path, "the rig's calibration; see scene/datasets/rig.py for an example")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"found no YAML in {path} ({' '.join(str(error).split())}), expected a calibration") from None
    _check_keys(content, {"cameras"}, _KEYS, f"{path}")
    entries = content["cameras"]
    if not isinstance(entries, list):
        raise ValueError(f"found no list of cameras in {path}, expected one; [] for a LiDAR alone")
    for entry in entries:
        _check_keys(entry, _CAMERA_KEYS, _CAMERA_KEYS, f"a camera of {path}")
    names = [str(entry["name"]) for entry in entries]
    _check_names(names, "cameras", path)
    classes, box_classes = content.get("classes") or [], content.get("box_classes") or []
    _check_names(classes, "classes", path)
    _check_names(box_classes, "box_classes", path)
    cameras = _cameras(entries, content, path) if entries else None
    return Rig(cameras, names, classes, box_classes, _scale(content, path), _columns(content, path))


def write_rig(
    root: str | Path,
    cameras: Cameras,
    classes: Sequence[str] = (),
    box_classes: Sequence[str] = (),
    names: Sequence[str] | None = None,
) -> None:
    """Write `<root>/calibration.yaml`; a rig that is there already is left if it is the same.

    Args:
        root: folder of the frames; made where absent.
        cameras: V, from the LiDAR's frame to pixels.
        classes: names of the labels.
        box_classes: names of the boxes' labels.
        names: V names of the cameras, folders of their images; "camera_0", … by default.

    Raises:
        ValueError: if names repeat, are not as many as cameras or are no folder's, or if another rig is there.
    """
    names = [f"camera_{view}" for view in range(len(cameras))] if names is None else list(names)
    path = Path(root) / CALIBRATION
    for what, values in (("cameras", names), ("classes", classes), ("box_classes", box_classes)):
        _check_names(list(values), what, path)
    if len(names) != len(cameras) or not names:
        raise ValueError(f"found {len(names)} names for {len(cameras)} cameras, expected one for each, at least one")
    entries = []
    for view, name in enumerate(names):
        rows = [[*map(float, row), float(t)] for row, t in zip(cameras.R[view], cameras.t[view], strict=True)]
        intrinsics = [[float(number) for number in row] for row in cameras.K[view]]
        entry = {"name": name, "size": cameras.image_sizes[view].tolist(), "K": intrinsics}
        entries.append({**entry, "lidar_to_camera": [*rows, [0.0, 0.0, 0.0, 1.0]]})
    content = {"cameras": entries, "pixel_centres": "half", "intensity_scale": 1.0}
    content |= {"classes": list(classes), "box_classes": list(box_classes)}
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ValueError(f"found another rig in {path}, expected none or the same: give a new folder")
    with atomic_write(path) as file:
        file.write(text.encode())


def _cameras(entries: list[JsonObject], content: JsonObject, path: Path) -> Cameras:
    sizes = [entry["size"] for entry in entries]
    if any(not isinstance(size, list) or [type(side) for side in size] != [int, int] for size in sizes):
        raise ValueError(f"found camera sizes {sizes} in {path}, expected [height, width] in pixels")
    heights, widths = zip(*sizes, strict=True)
    try:
        return lidar_cameras(
            [entry["K"] for entry in entries],
            [entry["lidar_to_camera"] for entry in entries],
            (max(heights), max(widths)),
            content.get("pixel_centres", "integer"),
            None if len({*map(tuple, sizes)}) == 1 else sizes,
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _scale(content: JsonObject, path: Path) -> float:
    scale = content.get("intensity_scale", 1.0)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < float("inf"):
        raise ValueError(f"found the intensity_scale {scale!r} in {path}, expected the sensor's largest intensity")
    return float(scale)


def _columns(content: JsonObject, path: Path) -> int:
    columns = content.get("columns", 4)
    if isinstance(columns, bool) or not isinstance(columns, int) or columns < 3:
        raise ValueError(f"found columns {columns!r} in {path}, expected how many numbers a row has, 3 or more")
    return columns


def _check_keys(content: object, needed: set[str], known: set[str], where: str) -> None:
    if not isinstance(content, dict):
        raise ValueError(f"found {type(content).__name__} in {where}, expected the keys {', '.join(sorted(needed))}")
    missing, unknown = needed - set(content), {str(key) for key in content} - known
    if missing:
        raise ValueError(f"found no {', '.join(sorted(missing))} in {where}, expected it")
    if unknown:
        lens = {name for name in unknown if name.lower() in _LENS}
        remedy = ": undistort the images first, and give their new K" if lens else ""
        raise ValueError(
            f"found the keys {', '.join(sorted(unknown))} in {where}, expected {', '.join(sorted(known))}{remedy}"
        )


def _check_names(names: object, what: str, path: Path) -> None:
    if not isinstance(names, list) or not all(isinstance(name, str) and name == name.strip() != "" for name in names):
        raise ValueError(f"found {what} {names!r} for {path}, expected a list of names")
    if len(set(names)) != len(names):
        raise ValueError(f"found {what} {', '.join(names)} for {path}, expected each name once")
    if what == "cameras" and any("/" in name or "\\" in name or name.startswith(".") for name in names):
        raise ValueError(f"found cameras {', '.join(names)} for {path}, expected names of folders")
