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
from typing import Annotated, Literal

import yaml
from msgspec import Meta, Struct

from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.cameras import Cameras
from crosspoint.renderers.files import short
from crosspoint.renderers.records import checked, read_yaml
from crosspoint.scene.data.calibration import lidar_cameras

CALIBRATION = "calibration.yaml"
_KEYS = {"cameras", "pixel_centres", "columns", "intensity_scale", "classes", "box_classes"}
_LENS = {"d", "dist", "distortion", "distortion_coefficients", "distortion_model", "k1", "k2", "k3", "p1", "p2", "xi"}
MOST_PIXELS = 2**28  # of all images of a frame, each in an array of the largest height and width
_CAMERA_KEYS = {"name", "size", "K", "lidar_to_camera"}


class _Camera(Struct, frozen=True):
    name: str | int
    size: tuple[Annotated[int, Meta(ge=1, le=2**15)], Annotated[int, Meta(ge=1, le=2**15)]]
    K: list[list[float | str]]  # YAML 1.1 takes 1e3 for text
    lidar_to_camera: list[list[float | str]]


class _Calibration(Struct, frozen=True):
    cameras: list[_Camera]
    pixel_centres: Literal["integer", "half"] = "integer"
    columns: Annotated[int, Meta(ge=3, le=1000)] = 4
    intensity_scale: Annotated[float, Meta(gt=0, lt=1e300)] = 1.0
    classes: list[str] | None = None
    box_classes: list[str] | None = None


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
    expected, remedy = "the rig's calibration", "mend it; see scene/datasets/rig.py for an example"
    content = read_yaml(path, object, expected, remedy)
    _check_keys(content, {"cameras"}, _KEYS, f"{path}")
    for entry in _entries(content):
        _check_keys(entry, _CAMERA_KEYS, _CAMERA_KEYS, f"a camera of {path}")
    rig = checked(content, _Calibration, path, expected, remedy)
    names = [str(camera.name) for camera in rig.cameras]
    classes, box_classes = rig.classes or [], rig.box_classes or []
    for what, listed in (("cameras", names), ("classes", classes), ("box_classes", box_classes)):
        _check_names(listed, what, path)
    cameras = _cameras(rig, path) if rig.cameras else None
    return Rig(cameras, names, classes, box_classes, rig.intensity_scale, rig.columns)


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


def _entries(content: object) -> list[object]:
    """Entries of cameras, where there is a list of them."""
    entries = content.get("cameras") if isinstance(content, dict) else None
    return entries if isinstance(entries, list) else []


def _cameras(rig: _Calibration, path: Path) -> Cameras:
    sizes = [camera.size for camera in rig.cameras]
    heights, widths = zip(*sizes, strict=True)
    if max(heights) * max(widths) * len(sizes) > MOST_PIXELS:
        raise ValueError(
            f"found cameras of sizes {short(sizes)} in {path}, expected at most {MOST_PIXELS:,} pixels in arrays as "
            "large as the largest: resize the images, and scale K with them"
        )
    try:
        return lidar_cameras(
            [camera.K for camera in rig.cameras],
            [camera.lidar_to_camera for camera in rig.cameras],
            (max(heights), max(widths)),
            rig.pixel_centres,
            None if len({*sizes}) == 1 else sizes,
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _check_keys(content: object, needed: set[str], known: set[str], where: str) -> None:
    if not isinstance(content, dict):
        raise ValueError(f"found {type(content).__name__} in {where}, expected the keys {', '.join(sorted(needed))}")
    missing, unknown = needed - set(content), {short(key).strip("'") for key in content if key not in known}
    if missing:
        raise ValueError(f"found no {', '.join(sorted(missing))} in {where}, expected it")
    if unknown:
        lens = {name for name in unknown if name.lower() in _LENS}
        remedy = ": undistort the images first, and give their new K" if lens else ""
        raise ValueError(
            f"found the keys {', '.join(sorted(unknown)[:5])} in {where}, expected {', '.join(sorted(known))}{remedy}"
        )


def _check_names(names: object, what: str, path: Path) -> None:
    if not isinstance(names, list) or not all(isinstance(name, str) and name == name.strip() != "" for name in names):
        raise ValueError(f"found {what} {short(names)} for {path}, expected a list of names")
    if len(set(names)) != len(names):
        raise ValueError(f"found {what} {short(names)} for {path}, expected each name once")
    if what == "cameras" and any("/" in name or "\\" in name or name.startswith(".") for name in names):
        raise ValueError(f"found cameras {short(names)} for {path}, expected names of folders")
