"""The base class of datasets of LiDAR frames, built-in ones and a user's own."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from crosspoint.plugins import SampleDataset
from crosspoint.renderers.system_faults import is_system_fault
from crosspoint.scene.data.pixel_maps import PixelMaps
from crosspoint.scene.data.sample import LidarSample

log = logging.getLogger("crosspoint")


class LidarDataset(SampleDataset, ABC):
    """Frames of a LiDAR, with images or without.

    A dataset of your own extends this class, sets `name` in its constructor, and defines `__len__` and `__getitem__`.
    Its import path then stands where the short names of built-in datasets stand, in YAML and in `open_scenes`; the
    arguments of its constructor are its options. Name the folder of its files `root`, and the part of the data `split`,
    so that commands can give them.

    Frames get weak labels and regions from folders of PNGs (`crosspoint.scene.data.pixel_maps`) by a line in each of
    three places: `self.open_maps(root, weak_labels, superpixels)` in the constructor, `image_files(index)`, and
    `return self.with_maps(sample, index)` at the end of `__getitem__`.

    Attributes:
        name: of the dataset, for messages and results.
        splits: names of the parts of the data that the argument `split` takes; empty where it takes none, or others in
            each folder.
        classes: names of the classes that the point field "label" counts from 0; empty where nothing is labeled.
        things: names of the classes that have objects, which the point field "instance" numbers; empty where none is
            numbered, or nobody has said which.
        least_points: of an object, below which the benchmark's panoptic quality takes no mistake from it.
        box_classes: names of the classes that `Boxes.labels` counts from 0; empty where there are no boxes.
        map_names: names of the pixel maps that each frame brings, such as "weak_labels" and "superpixels".
        weak_classes: names of the classes that the pixel map "weak_labels" counts from 1, 0 being no class.
        skip_incomplete: whether frames that lack a file, or cannot be read, are left out.
        left_out: how many have been.
    """

    name: str
    splits: Sequence[str] = ()
    classes: Sequence[str] = ()
    things: Sequence[str] = ()
    least_points: int = 30
    box_classes: Sequence[str] = ()
    map_names: frozenset[str] = frozenset()
    weak_classes: Sequence[str] = ()
    skip_incomplete: bool = False
    left_out: int = 0
    _maps: PixelMaps | None = None

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
        return [*self.image_files(index), *self.map_files(index)]

    def label_files(self, index: int) -> list[Path]:
        """The file of a frame's labels, which segmentation needs and pre-training does not."""
        return []

    def misfit(self, index: int) -> str | None:
        """What the sizes of a frame's files, all of them there, say is wrong, without reading any; None for nothing."""
        return None

    @classmethod
    def splits_in(cls, root: Path | None) -> Sequence[str]:
        """The splits that a folder may have: `splits`, or what a dataset finds written there."""
        return cls.splits

    def thinned(self, step: int) -> Sequence[int]:
        """The frames, by their indices, that a share of the labels takes: every step-th, from the first on.

        A dataset of which papers take shares in another way defines it: nuScenes takes whole scenes.

        Args:
            step: 100, 20, 10, 4, 2 and 1 for the customary 1, 5, 10, 25, 50 and 100 %.
        """
        return range(0, len(self), step)

    def label_numbers(self) -> list[int]:
        """The number of each class in files of labels, from 1 on; a dataset whose files have others defines it."""
        return list(range(1, len(self.classes) + 1))

    def submission(self, index: int, predicted: np.ndarray) -> tuple[str, np.ndarray]:
        """A frame's file as the benchmark's server takes it: its place, and a number for each return of the sweep.

        Args:
            index: of the frame.
            predicted: (N,) the class of each point, counted from 0.
        """
        raise ValueError(
            f"found {self.name}, expected a dataset with a format of submissions, such as semantickitti and nuscenes, "
            "or your own that defines submission"
        )

    def panoptic_submission(self, index: int, predicted: np.ndarray, objects: np.ndarray) -> tuple[str, bytes]:
        """A frame's file of classes and objects as the benchmark's server takes it: its place, and what is in it.

        Args:
            index: of the frame.
            predicted: (N,) the class of each point, counted from 0.
            objects: (N,) the object of each point, 0 for none.
        """
        raise ValueError(
            f"found {self.name}, expected a dataset with a format of panoptic submissions: semantickitti, "
            "nuscenes_panoptic, or your own that defines panoptic_submission"
        )

    def keep_frames(self, kept: Sequence[int]) -> None:
        """Leave out all frames but these, by their indices; a dataset that knows `skip_incomplete` defines it."""
        raise ValueError(
            f"found skip_incomplete for {type(self).__name__}, expected a dataset that defines keep_frames: leave "
            "skip_incomplete out"
        )

    def leave_out_incomplete(self) -> None:
        """Leave out frames that lack a file or have an empty one, and say how many; the constructor calls it last.

        Raises:
            ValueError: if none is left.
        """
        self.skip_incomplete = True
        count = len(self)
        lacking = {index: path for index in range(count) if (path := self._lacking(index)) is not None}
        self._leave_out(lacking, count, "no file, or an empty one,")

    def leave_out_unreadable(self, *, labels: bool = False) -> None:
        """Leave out frames that cannot be read, and say how many; all are read for it.

        Args:
            labels: leave out those without labels, too.

        Raises:
            ValueError: if none is left.
        """
        count, broken = len(self), {}
        for index in range(count):
            absent = [path for path in self.label_files(index) if labels and not path.is_file()]
            try:
                if absent:
                    raise FileNotFoundError(f"found no file {absent[0]}")
                self[index]
            except (ValueError, OSError) as error:
                if is_system_fault(error):
                    raise
                broken[index] = error
        self._leave_out(broken, count, "frames that cannot be read:")

    def _lacking(self, index: int) -> Path | None:
        """The first file of a frame that is not there or empty."""
        for path in self.files(index):
            try:
                if path.stat().st_size == 0:
                    return path
            except OSError:
                return path
        return None

    def _leave_out(self, which: Mapping[int, object], count: int, what: str) -> None:
        if not which:
            return
        first = next(iter(which.values()))
        if len(which) == count:
            raise ValueError(f"found {what} {first} in all {count} frames of {self.name}, expected some frame whole")
        log.warning("%s: left out %d of %d frames, the first for %s %s", self.name, len(which), count, what, first)
        self.left_out += len(which)
        self.keep_frames([index for index in range(count) if index not in which])

    def image_files(self, index: int) -> list[Path]:
        """The file of each image of a frame, in their order; maps are found by these paths."""
        return []

    def open_maps(
        self, root: str | Path, weak_labels: str | Path | None = None, superpixels: str | Path | None = None
    ) -> None:
        """Take maps of the images from folders that mirror `root`, from now on; those that are None are left out.

        Args:
            root: the dataset's folder.
            weak_labels: folder of maps of classes with a manifest.
            superpixels: folder of maps of regions.

        Raises:
            FileNotFoundError: if a folder or the manifest is not there.
            ValueError: if the manifest is broken.
        """
        self._maps = PixelMaps(root, weak_labels, superpixels)
        self.map_names |= self._maps.names
        self.weak_classes = self._maps.classes or self.weak_classes

    def map_files(self, index: int) -> list[Path]:
        """The files of the maps that `with_maps` adds to a frame."""
        return [] if self._maps is None else self._maps.files(self.image_files(index))

    def with_maps(self, sample: LidarSample, index: int) -> LidarSample:
        """The frame with the maps of its images; errors as of `PixelMaps.add_to`."""
        return sample if self._maps is None else self._maps.add_to(sample, self.image_files(index))
