"""Writing frames into the plain folder that `crosspoint.scene.datasets.folder` reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from crosspoint.renderers.atomic import atomic_write
from crosspoint.scene.data.sample import IGNORED, LidarSample
from crosspoint.scene.datasets.rig import Rig, read_rig


def write_frame(root: str | Path, frame: LidarSample) -> None:
    """Write a frame's files into a folder whose rig is written; the points come last, so a frame is whole or not there.

    Args:
        root: the folder.
        frame: its name becomes that of its files; its cameras are the rig's.

    Raises:
        FileNotFoundError: if there is no rig.
        ValueError: if the frame does not fit the rig or its name is no file's.
    """
    root = Path(root)
    rig = read_rig(root)
    _check_frame(frame, rig)
    sizes = frame.image_sizes.tolist()
    for camera, array, (height, width) in zip(rig.camera_names, frame.images, sizes, strict=True):
        image = array[:, :height, :width]
        with atomic_write(root / "images" / camera / f"{frame.name}.png") as file:
            # Level 1 takes a third of the time of the default and a tenth more space.
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, format="PNG", compress_level=1)
    fields, count = frame.point_fields, len(frame.points)
    if "label" in fields or "instance" in fields:
        labels = fields.get("label", torch.full((count,), IGNORED))
        instances = fields.get("instance", torch.zeros(count, dtype=torch.int64))
        with atomic_write(root / "labels" / f"{frame.name}.label") as file:
            file.write((instances << 16 | (labels + 1)).numpy().astype("<u4").tobytes())
    if frame.boxes is not None:
        lines = (
            " ".join([rig.box_classes[label], *map(repr, box)])
            for box, label in zip(frame.boxes.geometry.tolist(), frame.boxes.labels.tolist(), strict=True)
        )
        with atomic_write(root / "boxes" / f"{frame.name}.txt") as file:
            file.write("".join(f"{line}\n" for line in lines).encode())
    points = frame.points_with("intensity").numpy().astype("<f4")
    points[:, 3] *= rig.intensity_scale
    with atomic_write(root / "points" / f"{frame.name}.bin") as file:
        file.write(points.tobytes())


def write_split(root: str | Path, split: str, names: Sequence[str]) -> None:
    """Write `splits/<split>.txt`."""
    with atomic_write(Path(root) / "splits" / f"{split}.txt") as file:
        file.write("".join(f"{name}\n" for name in names).encode())


def write_poses(root: str | Path, poses: Mapping[str, np.ndarray]) -> None:
    """Write `poses.txt`: from LiDAR to world, (4, 4) for each name."""
    lines = (" ".join([name, *map(repr, pose[:3].ravel().tolist())]) for name, pose in poses.items())
    with atomic_write(Path(root) / "poses.txt") as file:
        file.write("".join(f"{line}\n" for line in lines).encode())


def _check_frame(frame: LidarSample, rig: Rig) -> None:
    where = f"the frame {frame.name!r}"
    if not frame.name or frame.name != frame.name.strip() or frame.name.startswith(".") or set(frame.name) & set("/\\"):
        raise ValueError(f"found {where}, expected a name that files can have")
    cameras, given = rig.cameras, frame.cameras
    if rig.columns != 4:
        raise ValueError(f"found columns {rig.columns} in the rig of {where}, expected 4: frames are written as those")
    if cameras is None:
        if len(frame.images):
            raise ValueError(f"found {where} with images, expected none, as its rig has no camera")
        cameras = given  # what no image was taken with does not matter
    same = (cameras is given is None) or (
        cameras is not None and given is not None and torch.equal(cameras.image_sizes, given.image_sizes)
    )
    for part in ("K", "R", "t") if same and given is not None else ():
        ours, theirs = getattr(cameras, part), getattr(given, part)
        same = same and ours.shape == theirs.shape and torch.allclose(ours, theirs, rtol=0, atol=1e-9)
    if not same:
        raise ValueError(f"found {where} with other cameras than the rig's, expected those of its calibration.yaml")
    kinds = [] if frame.boxes is None else frame.boxes.labels.tolist()
    if not set(kinds) <= set(range(len(rig.box_classes))):
        raise ValueError(
            f"found {where} with boxes of the labels {', '.join(map(str, sorted(set(kinds))))}, "
            f"expected places in the rig's {len(rig.box_classes)} box_classes"
        )
    for name, least, most in (("label", IGNORED, len(rig.classes) - 1), ("instance", 0, 0xFFFF)):
        numbers = frame.point_fields.get(name)
        if numbers is not None and not (least <= int(numbers.min()) <= int(numbers.max()) <= most):
            raise ValueError(
                f"found {where} with the point field {name} from {numbers.min()} to {numbers.max()}, "
                f"expected {least} to {most}"
            )
