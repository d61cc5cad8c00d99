"""The labeled clouds that protocols measure on, by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from crosspoint.datasets.clouds import Clouds
from crosspoint.renderers.meshes import TO_Y_UP, UpAxis
from crosspoint.transforms import unit_sphere

DatasetName = Literal[
    "rendered",
    "modelnet",
    "modelnet40_hdf5",
    "scanobjectnn_obj_bg",
    "scanobjectnn_obj_only",
    "scanobjectnn_pb_t50_rs",
    "shapenetpart",
]


def labeled_clouds(
    name: DatasetName,
    root: str | Path,
    split: str,
    *,
    points: int,
    normalize: bool = True,
    up_axis: UpAxis | None = None,
    seed: int = 0,
) -> Clouds:
    """Read one split; each reader says in its own docstring which files it wants under `root`.

    Args:
        name: the dataset.
        root: its folder.
        split: "train", "test", or another that the dataset has.
        points: per cloud.
        normalize: center each cloud on its mean and scale it into the unit sphere, as in pre-training; otherwise as
            stored, which is what the original CrossPoint measures.
        up_axis: of what is stored; by default z for "modelnet" and y for the others, which are stored y up. The
            clouds are turned to y up.
        seed: of points that are sampled from meshes ("modelnet").

    Raises:
        FileNotFoundError: if files are missing.
        ValueError: if files hold something else, if there is no such dataset, or if no point is asked for.
    """
    if points < 1:
        raise ValueError(f"found {points} points asked for, expected at least 1: change points")
    if name == "modelnet":
        from crosspoint.datasets.modelnet import modelnet_clouds

        clouds = modelnet_clouds(root, split, points, seed=seed, up_axis=up_axis or "z")
    else:
        clouds = _read(name, root, split, points)
        if up_axis is not None:
            turned = clouds.points @ TO_Y_UP[up_axis].T.astype(np.float32)
            clouds = replace(clouds, points=turned)
    if not normalize:
        return clouds
    return replace(clouds, points=unit_sphere(torch.from_numpy(clouds.points)).numpy())


def _read(name: DatasetName, root: str | Path, split: str, points: int) -> Clouds:
    match name:
        case "rendered":
            from crosspoint.datasets.rendered import rendered_clouds

            return rendered_clouds(root, split, points)
        case "modelnet40_hdf5":
            from crosspoint.datasets.modelnet40_hdf5 import modelnet40_hdf5_clouds

            return modelnet40_hdf5_clouds(root, split, points)
        case "scanobjectnn_obj_bg" | "scanobjectnn_obj_only" | "scanobjectnn_pb_t50_rs":
            from crosspoint.datasets.scanobjectnn import scanobjectnn_clouds

            return scanobjectnn_clouds(root, split, points, variant=name.removeprefix("scanobjectnn_"))  # type: ignore[arg-type]
        case "shapenetpart":
            from crosspoint.datasets.shapenetpart import shapenetpart_clouds

            return shapenetpart_clouds(root, split, points)
    raise ValueError(f"found the dataset {name!r}, expected one of {', '.join(get_args(DatasetName))}")
