"""A color for each class: those that drivers' data sets are usually drawn in, where a class is one of theirs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import matplotlib
import numpy as np

# In the manner of Cityscapes (Cordts et al. 2016, https://www.cityscapes-dataset.com): roads violet, plants green,
# vehicles blue, people red; lighter, as they stand on black. Classes with one color never meet in one data set here.
_USUAL = {
    (176, 96, 190): ("road", "driveable surface", "asphalt"),
    (250, 160, 200): ("parking",),
    (255, 70, 235): ("sidewalk", "pavement", "concrete"),
    (150, 80, 75): ("other ground", "other flat", "dirt"),
    (160, 235, 140): ("terrain", "grass"),
    (70, 165, 60): ("vegetation", "tree"),
    (195, 220, 60): ("bush",),
    (150, 100, 50): ("trunk", "log"),
    (200, 145, 60): ("mud",),
    (175, 175, 180): ("building", "manmade"),
    (230, 175, 135): ("fence",),
    (240, 210, 190): ("barrier",),
    (255, 240, 160): ("pole",),
    (255, 215, 0): ("traffic sign", "object"),
    (255, 140, 0): ("traffic cone", "rubble"),
    (70, 130, 255): ("car", "vehicle"),
    (0, 205, 255): ("truck",),
    (0, 165, 150): ("bus", "other vehicle"),
    (120, 210, 200): ("trailer",),
    (205, 200, 110): ("construction vehicle",),
    (150, 110, 255): ("motorcycle",),
    (255, 125, 100): ("bicycle",),
    (255, 45, 75): ("person", "pedestrian"),
    (255, 90, 160): ("bicyclist", "cyclist"),
    (190, 30, 110): ("motorcyclist",),
    (60, 110, 200): ("water",),
    (120, 190, 240): ("puddle",),
    (200, 225, 255): ("sky",),
}
_COLOR_OF_NAME = {name: color for color, names in _USUAL.items() for name in names}


def class_colors(classes: Sequence[str]) -> np.ndarray:
    """A color for each class: (C, 3) uint8.

    Classes of other names get ten strong colors in turn, then the same ten lighter; they repeat after twenty.
    """
    pairs = matplotlib.colormaps["tab20"](np.arange(20), bytes=True)[:, :3]  # each strong one before its lighter one
    others = np.concatenate([pairs[0::2], pairs[1::2]])
    plain = [" ".join(name.lower().replace("_", " ").replace("-", " ").split()) for name in classes]
    turn = itertools.cycle(others)
    table = [_COLOR_OF_NAME[name] if name in _COLOR_OF_NAME else next(turn) for name in plain]
    return np.array(table, dtype=np.uint8).reshape(-1, 3)
