"""A color for each object of a frame: neighbors in number differ, whatever their classes."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np

from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.viz import colors
from crosspoint.scene.viz.colorings import Rgb


def true_objects(frame: LidarSample, classes: Sequence[str], things: Sequence[str]) -> np.ndarray:
    """The object of each point whose class has objects, 0 for none: (N,) int64.

    Args:
        frame: with the point fields "label" and "instance".
        classes: names of the labels.
        things: names of the classes that have objects.
    """
    labels, objects = (frame.point_fields[name].numpy() for name in ("label", "instance"))
    counted = np.isin(labels, [place for place, name in enumerate(classes) if name in things])
    return np.where(counted, objects, 0).astype(np.int64)


def by_object(title: str, objects: np.ndarray) -> Rgb:
    """Points by their object: twenty colors in turn, gray for none.

    Args:
        title: of the whole.
        objects: (N,) integers, numbers from 1 on, 0 for none.
    """
    table = matplotlib.colormaps["tab20"](np.arange(20), bytes=True)[:, :3]
    table = np.concatenate([[colors.UNKNOWN], table[0::2], table[1::2]]).astype(np.uint8)
    places = np.where(objects > 0, (objects - 1) % 20 + 1, 0)
    return Rgb(title, table[places], "Gray: no object. Colors repeat after twenty objects.")
