"""The base class of datasets of LiDAR frames, built-in ones and a user's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from crosspoint.plugins import SampleDataset
from crosspoint.scene.data.sample import LidarSample


class LidarDataset(SampleDataset, ABC):
    """Frames of a LiDAR, with images or without.

    A dataset of your own extends this class, sets `name` in its constructor, and defines `__len__` and `__getitem__`.
    Its import path then stands where the short names of built-in datasets stand, in YAML and in `open_scenes`; the
    arguments of its constructor are its options. Name the folder of its files `root`, and the part of the data `split`,
    so that commands can give them.

    Attributes:
        name: of the dataset, for messages and results.
        classes: names of the classes that the point field "label" counts from 0; empty where nothing is labeled.
        box_classes: names of the classes that `Boxes.labels` counts from 0; empty where there are no boxes.
        map_names: names of the pixel maps that each frame brings, such as "weak_labels" and "superpixels".
    """

    name: str
    classes: Sequence[str] = ()
    box_classes: Sequence[str] = ()
    map_names: frozenset[str] = frozenset()

    @abstractmethod
    def __len__(self) -> int:
        """How many frames there are."""

    @abstractmethod
    def __getitem__(self, index: int) -> LidarSample:
        """The frame of an index, without pairs; it must be the same at every access.

        Methods that learn from images need `images` and `cameras`, segmentation the point field "label", and most
        encoders the point field "intensity", from 0 to 1.
        """

    def files(self, index: int) -> list[Path]:
        """The files that an access to a frame reads, so that missing ones are found before a training starts."""
        return []
