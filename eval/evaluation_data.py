"""The data that protocols measure on: labeled clouds of a dataset, or labeled frames; each split is read once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from crosspoint.checkpoints.record import InputKind
from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.labeled import labeled_clouds, labeled_dataset
from crosspoint.eval.shared_samples import refuse_shared_clouds, refuse_shared_frames
from crosspoint.fields import Fields
from crosspoint.renderers import RenderedSet
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.meshes import UpAxis
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.datasets.build import open_scenes

POINTS = 1024  # of a cloud, in CrossPoint's own evaluation


@dataclass(frozen=True)
class EvaluationData:
    """Splits of a dataset, kept in memory; a protocol may ask for splits of other datasets, too.

    Args:
        dataset: short name or import path; None where a protocol brings its own data.
        root: folder of the dataset.
        inputs: whether it has clouds ("points") or LiDAR frames ("voxels").
        points: points per cloud.
        normalize: scale clouds into the unit sphere.
        up_axis: of the stored clouds, if not the dataset's own.
        seed: of points that are sampled from meshes, and of what a report picks.
        train_split: frames to learn from.
        test_split: frames to measure on.
        validation_split: frames that choose an epoch; None where there are none.
        skip: train on every n-th frame alone (nuScenes: every n-th scene).
        options: further arguments of the dataset of frames.
        allow_overlap: measure although test samples are training samples, too.
        fields: what clouds have behind x y z, as the encoder takes it.
    """

    dataset: str | None = None
    root: Path | None = None
    inputs: InputKind = "points"
    points: int = POINTS
    normalize: bool = True
    up_axis: UpAxis | None = None
    seed: int = 0
    train_split: str = "train"
    test_split: str = "val"
    validation_split: str | None = None
    skip: int = 1
    options: JsonObject = field(default_factory=dict)
    allow_overlap: bool = False
    fields: Fields = ()
    _clouds: dict[object, Clouds] = field(default_factory=dict, repr=False, compare=False)
    _frames: dict[object, LidarDataset] = field(default_factory=dict, repr=False, compare=False)

    def clouds(self, split: str) -> Clouds:
        """One split of the dataset's clouds.

        Raises:
            FileNotFoundError: if files are missing.
            ValueError: if there is no such dataset or split, or files hold something else.
        """
        if split not in self._clouds:
            assert self.dataset is not None
            if self.root is None:
                raise ValueError(f"found no --root, expected the folder of {self.dataset}: give it")
            self._clouds[split] = labeled_clouds(
                self.dataset,
                self.root,
                split,
                points=self.points,
                normalize=self.normalize,
                up_axis=self.up_axis,
                seed=self.seed,
                fields=self.fields,
            )
        return self._clouds[split]

    def other_clouds(self, dataset: str, root: Path, split: str, points: int) -> Clouds:
        """One split of another dataset, scaled alike."""
        key = (dataset, root, split, points)
        if key not in self._clouds:
            self._clouds[key] = labeled_clouds(
                dataset, root, split, points=points, normalize=self.normalize, fields=self.fields
            )
        return self._clouds[key]

    def refuse_overlap(self, train: Clouds, test: Clouds) -> None:
        """Refuse test clouds that are training clouds, too; raises ValueError."""
        identities: list[list[str] | None] = [None, None]
        own = [clouds is self._clouds.get(clouds.split) for clouds in (train, test)]
        if all(own) and self.dataset is not None and self.root is not None:
            dataset = labeled_dataset(self.dataset)(self.root)
            identities = [dataset.identities(clouds.split) for clouds in (train, test)]
        known, asked = identities
        both = None if known is None or asked is None else (known, asked)
        refuse_shared_clouds(train, test, both, allowed=self.allow_overlap)

    def refuse_frame_overlap(self) -> None:
        """Refuse frames to measure on, or to choose the epoch by, that are trained on; raises ValueError."""
        splits = {self.test_split: self.test_frames}
        if self.validation_split is not None and self.validation_frames is not None:
            splits[self.validation_split] = self.validation_frames
        for split, frames in splits.items():
            refuse_shared_frames(self.train_frames, frames, (self.train_split, split), allowed=self.allow_overlap)

    def views(self, split: str) -> RenderedSet | None:
        """Views of the objects of a split, in the order of its clouds; None where the dataset has none."""
        if self.dataset is None or self.root is None:
            return None
        return labeled_dataset(self.dataset)(self.root).views(split)

    @property
    def train_frames(self) -> LidarDataset:
        """Frames to learn from."""
        return self._frames_of(self.train_split, self.skip)

    @property
    def test_frames(self) -> LidarDataset:
        """Frames to measure on."""
        return self._frames_of(self.test_split, 1)

    @property
    def validation_frames(self) -> LidarDataset | None:
        """Frames that choose the epoch, if any."""
        return None if self.validation_split is None else self._frames_of(self.validation_split, 1)

    def _frames_of(self, split: str, skip: int) -> LidarDataset:
        if (split, skip) not in self._frames:
            assert self.dataset is not None
            options = {**self.options, **({} if skip == 1 else {"skip": skip})}
            frames = open_scenes(self.dataset, self.root, split=split, **options)
            if frames.skip_incomplete:
                frames.leave_out_unreadable(labels=True)
            self._frames[split, skip] = frames
        return self._frames[split, skip]

    @property
    def classes(self) -> list[str]:
        """Names of the classes of the test split."""
        return [*(self.clouds("test").classes if self.inputs == "points" else self.test_frames.classes)]

    @property
    def label(self) -> str:
        """What the dataset is called where it is no known benchmark: its folder, or else its own name."""
        named = "" if self.root is None else self.root.name
        return named or str(self.dataset)

    def facts(self) -> dict[str, str]:
        """What a report says of the data."""
        if self.inputs == "voxels":
            train, test = len(self.train_frames), len(self.test_frames)
            return {
                "data": f"{self.dataset}, {len(self.classes)} classes, {train} frames to train, {test} to test on",
            }
        train, test = len(self.clouds("train")), len(self.clouds("test"))
        return {
            "data": f"{self.dataset}, {len(self.classes)} classes, {train} clouds to train, {test} to test on",
            "clouds": f"{self.points:,} points, " + ("in the unit sphere" if self.normalize else "as stored"),
        }
