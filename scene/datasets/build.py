"""Opening a dataset by its short name or by the import path of a user's class."""

from __future__ import annotations

import difflib
import inspect
from pathlib import Path
from typing import Any

from crosspoint.plugins import import_plugin
from crosspoint.scene.data.lidar_dataset import LidarDataset


def open_scenes(name: str, root: str | Path | None = None, **options: Any) -> LidarDataset:
    """Open a dataset.

    Args:
        name: a short name of `crosspoint.plugins.SHORT_NAMES["dataset"]`, such as "nuscenes"; or the import path of a
            class of your own that extends `LidarDataset`.
        root: its folder; the dataset's file in `scene/datasets` shows what lies in it. The synthetic world has none:
            once written to disk, it is opened as "folder".
        options: arguments of its class, such as `split` and `skip`.

    Raises:
        FileNotFoundError: if something that is needed at once is not there.
        ValueError: if there is no such dataset or option, or an option is out of range.
    """
    opened = import_plugin("dataset", name, LidarDataset)
    parameters = inspect.signature(opened).parameters
    rooted = "root" in parameters
    if (root is None and rooted and parameters["root"].default is inspect.Parameter.empty) or (root and not rooted):
        raise ValueError(f"found the root {root} for {name}, expected {'a folder' if rooted else 'none'}")
    known = [option for option in parameters if option != "root"]
    unknown = [option for option in options if option not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        raise ValueError(
            f"found the option {unknown[0]!r} of {name}, expected some of: {', '.join(known)}"
            f"{f' (did you mean {near[0]}?)' if near else ''}"
        )
    dataset: LidarDataset = opened(**options) if root is None else opened(root=root, **options)
    return dataset
