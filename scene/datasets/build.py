"""Opening a dataset by its name, and looking at all of it that can go wrong before a training starts."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.data.sample import SceneDataset, SceneFrame
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.datasets.kitti_object import KittiObject
from crosspoint.scene.datasets.kitti_raw import KittiRaw
from crosspoint.scene.datasets.nuscenes import NuScenes
from crosspoint.scene.datasets.rellis3d import Rellis3d
from crosspoint.scene.datasets.semantickitti import SemanticKitti

SCENES: dict[str, Callable[..., SceneDataset]] = {
    "folder": FolderScenes,
    "kitti_object": KittiObject,
    "kitti_raw": KittiRaw,
    "nuscenes": NuScenes,
    "rellis3d": Rellis3d,
    "semantickitti": SemanticKitti,
}
SHOWN = 5  # problems that one message names; more are counted


def open_scenes(name: str, root: str | Path | None = None, **options: Any) -> SceneDataset:
    """Open a dataset.

    Args:
        name: one of `SCENES`, or "synthetic" for the embedded world, made as it is read.
        root: its folder; the dataset's file in `scene/datasets` shows what lies in it. The synthetic world has none:
            once written to disk, it is opened as "folder".
        options: of its class, such as `split` and `skip`.

    Raises:
        FileNotFoundError: if something that is needed at once is not there.
        ValueError: if there is no such dataset or option, or an option is out of range.
    """
    opened = _named(name)
    if (root is None) != (opened not in SCENES.values()):
        raise ValueError(f"found the root {root} for {name}, expected {'a folder' if root is None else 'none'}")
    known = [option for option in inspect.signature(opened).parameters if option != "root"]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ValueError(
            f"found the option {unknown[0]!r} of {name}, expected some of: {', '.join(known)}"
            f"{_nearest(unknown[0], known)}"
        )
    return opened(**options) if root is None else opened(root, **options)


def check_scenes(dataset: SceneDataset, *, frames: int | None = 8, pairs: bool = True) -> None:
    """Look at a dataset before a training starts, and name all that is wrong with it at once.

    That each file of each frame is there costs little and is looked at for all frames; whole frames are read, and their
    points projected, for a few spread evenly.

    Args:
        dataset: any; where it has a method `files(index)`, the paths it gives are looked for.
        frames: how many are read; None for all.
        pairs: whether each frame must have images, and each image a point, as pre-training needs it.

    Raises:
        FileNotFoundError: if files are missing.
        ValueError: if there is no frame, or a frame cannot be read, or, with `pairs`, has no image, an image without
            any point, or a calibration that projects nothing.
    """
    count = len(dataset)
    if count == 0:
        raise ValueError(f"found no frame in {dataset.name}, expected at least one: check the split and the folder")
    missing = [path for index in range(count) for path in _files(dataset, index) if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"found no file {_several(missing)}, expected all {count} frames of {dataset.name} whole"
        )
    chosen = range(count) if frames is None else np.unique(np.linspace(0, count - 1, min(frames, count)).astype(int))
    problems = [problem for index in chosen for problem in _problems(dataset, int(index), pairs)]
    if problems:
        raise ValueError(f"{dataset.name}: {_several(problems)}")


def _named(name: str) -> Callable[..., SceneDataset]:
    if name == "synthetic":
        from crosspoint.scene.synthetic.dataset import SyntheticScenes  # here, for it brings the renderer along

        return SyntheticScenes
    if name not in SCENES:
        names = [*SCENES, "synthetic"]
        raise ValueError(f"found the dataset {name!r}, expected one of: {', '.join(names)}{_nearest(name, names)}")
    return SCENES[name]


def _files(dataset: SceneDataset, index: int) -> list[Path]:
    files: Callable[[int], list[Path]] | None = getattr(dataset, "files", None)
    return [] if files is None else files(index)


def _problems(dataset: SceneDataset, index: int, pairs: bool) -> list[str]:
    """What is wrong with one frame."""
    try:
        frame = dataset[index]
        return _blind_images(frame) if pairs else []
    except (ValueError, FileNotFoundError) as error:
        return [str(error)]


def _blind_images(frame: SceneFrame) -> list[str]:
    if len(frame.images) == 0:
        return [f"found no image in {frame.name}, expected at least one: pre-training pairs points with pixels"]
    views = pair_points(frame).pair_view
    blind = sorted(set(range(len(frame.images))) - set(views.tolist()))
    if not blind:
        return []
    which = ", ".join(map(str, blind))
    return [
        f"found no point in image {which} of {len(frame.images)} of {frame.name}, expected some: check the calibration"
    ]


def _several(found: list[Any]) -> str:
    """The first few of a list, and how many more there are."""
    shown = "; ".join(map(str, found[:SHOWN]))
    return shown if len(found) <= SHOWN else f"{shown}; and {len(found) - SHOWN} more"


def _nearest(name: str, known: Any) -> str:
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {nearest[0]}?)" if nearest else ""
