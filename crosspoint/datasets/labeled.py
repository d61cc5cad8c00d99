"""Labeled clouds that protocols measure on: what a dataset gives, and how it is read by its name or import path."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.field_columns import missing_fields
from crosspoint.fields import Field, Fields, checked_fields, turn_cloud
from crosspoint.plugins import import_plugin
from crosspoint.renderers import RenderedSet
from crosspoint.renderers.meshes import TO_Y_UP, UpAxis
from crosspoint.transforms import unit_sphere


class LabeledDataset(ABC):
    """Labeled clouds in a folder, split by split; a subclass says in its docstring which files lie there.

    A dataset of your own is a subclass, and is given by its import path wherever a built-in is given by its short name.

    Args:
        root: the folder.
    """

    splits: ClassVar[tuple[str, ...]] = ("train", "test")  # that `clouds` reads
    up_axis: ClassVar[UpAxis] = "y"  # of the clouds that `clouds` returns
    has_parts: ClassVar[bool] = False  # whether they have a part label at every point
    has_views: ClassVar[bool] = False  # whether `views` gives some

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    @abstractmethod
    def clouds(self, split: str, points: int, seed: int) -> Clouds:
        """Read one split, as it is stored.

        Args:
            split: "train", "test", or another that the dataset has.
            points: per cloud.
            seed: of points that are drawn, where the dataset draws some.

        Raises:
            FileNotFoundError: if files are missing.
            ValueError: if files hold something else, or there is no such split.
        """

    def clouds_with(self, split: str, points: int, seed: int, fields: Fields) -> Clouds:
        """Read one split with normals or colors behind x y z; a dataset that has some defines it.

        Args:
            split: as in `clouds`, and so are points and seed.
            points: per cloud.
            seed: of points that are drawn.
            fields: wanted; none gives what `clouds` gives.

        Raises:
            FileNotFoundError: if files are missing.
            ValueError: if there are no such fields, or else as in `clouds`.
        """
        if fields:
            raise missing_fields(fields, f"{type(self).__name__} ({self.root})")
        return self.clouds(split, points, seed)

    def identities(self, split: str) -> list[str] | None:
        """What tells the objects of a split from all others, in the order of its clouds; None where points do.

        By these, or else by the points of clouds, protocols see that an object is in two splits. Points do not tell
        where they are drawn anew from a surface.
        """
        return None

    def meshes(self, split: str) -> list[Path] | None:
        """The mesh of each cloud, in the order of the clouds and in their frame; None where there are clouds alone."""
        return None

    def views(self, split: str) -> RenderedSet | None:
        """Views of the same objects in the same order; None where the dataset has none."""
        return None

    def count(self, split: str) -> int:
        """How many clouds a split has; a dataset that knows it without reading them defines it. Errors of `clouds`."""
        return len(self.clouds(split, 1, 0))


def labeled_dataset(name: str) -> type[LabeledDataset]:
    """The class of a short name or an import path; raises ValueError if there is none."""
    return import_plugin("labeled_dataset", name, LabeledDataset)


def labeled_clouds(
    name: str,
    root: str | Path,
    split: str,
    *,
    points: int,
    normalize: bool = True,
    up_axis: UpAxis | None = None,
    seed: int = 0,
    fields: Sequence[Field] = (),
) -> Clouds:
    """Read one split; each dataset says in its own docstring which files it wants under `root`.

    Args:
        name: short name or import path of the dataset.
        root: its folder.
        split: "train", "test", or another that the dataset has.
        points: per cloud.
        normalize: center each cloud on its mean and scale it into the unit sphere, as in pre-training; otherwise as
            stored, which is what the original CrossPoint measures.
        up_axis: of what is stored, if not the dataset's own. The clouds are turned to y up.
        seed: of points that are sampled from meshes ("modelnet").
        fields: normals, colors, behind x y z, where the dataset has them.

    Raises:
        FileNotFoundError: if files are missing.
        ValueError: if files hold something else, if there is no such dataset, or if no point is asked for.
    """
    if points < 1:
        raise ValueError(f"found {points} points asked for, expected at least 1: change points")
    dataset = labeled_dataset(name)(root)
    wanted = checked_fields(fields)
    clouds = dataset.clouds_with(split, points, seed, wanted) if wanted else dataset.clouds(split, points, seed)
    stored = up_axis or dataset.up_axis
    if stored != "y":
        turn = TO_Y_UP[stored].astype(np.float32)
        if wanted:
            turned = turn_cloud(torch.from_numpy(clouds.points), torch.from_numpy(turn), wanted).numpy()
        else:
            turned = clouds.points @ turn.T
        clouds = replace(clouds, points=turned)
    if not normalize:
        return clouds
    return replace(clouds, points=unit_sphere(torch.from_numpy(clouds.points)).numpy())
