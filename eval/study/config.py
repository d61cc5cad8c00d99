"""Settings of a study: which checkpoints are measured, on which data, by which protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from crosspoint.checkpoints.record import InputKind
from crosspoint.eval.protocols.named import named_protocols
from crosspoint.eval.protocols.protocol import Protocol
from crosspoint.plugins import plain
from crosspoint.renderers import ranges
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.meshes import UpAxis
from crosspoint.scene.ops.sparse_conv import Backend

STANDARD = "linear,knn,retrieval,fewshot"
FRAMES_ONLY = {"train_split", "test_split", "validation_split", "skip", "options", "sparse_backend"}
CLOUDS_ONLY = {"points", "normalize", "up_axis", "k", "cache"}
IGNORED_ON_RESUME = {"out", "cache", "jobs", "allow_overlap"}  # none of them changes a figure


@dataclass(frozen=True)
class StudyConfig:
    """Which checkpoints are measured, on which data, by which protocols.

    Args:
        checkpoint: [NAME=]FILE of a checkpoint; give the flag again for each; those of one NAME are seeds of one row
        dataset: labeled clouds, or frames for semseg, as the single commands have them
        out: folder of the study; goes on where it stopped
        root: folder of the dataset
        protocols: protocols that are run, in the order of the table
        random_init: add a row of random networks for each architecture
        points: points per cloud; by default those that all checkpoints were trained on, else 1,024
        normalize: scale clouds into the unit sphere, as in pre-training; false takes them as stored
        up_axis: up axis of the stored clouds, where it is not the dataset's own
        k: neighbors per point, or points of a patch; by default the checkpoints' numbers (in partseg 40)
        train_split: name of the split of frames to learn from
        test_split: name of the split of frames to measure on
        validation_split: name of the split of frames that chooses the epoch; by default the last epoch is taken
        skip: a number n: train on every n-th frame only (nuScenes: on every n-th scene)
        options: further arguments of a dataset of frames
        allow_overlap: measure although test samples are in the training split, too
        sparse_backend: library that computes sparse convolutions; spconv is for GPUs
        seed: seed of the first checkpoint of a row; the second has the next number, and so on
        device: device that extracts features: auto, cpu, cuda, cuda:1, …
        cache: folder that keeps extracted features
        jobs: threads, -1 for one per core
    """

    checkpoint: list[str]
    dataset: str
    out: Path
    root: Path | None = None
    protocols: Sequence[Protocol] = field(default_factory=lambda: named_protocols(STANDARD))
    random_init: bool = False
    points: int | None = None
    normalize: bool = True
    up_axis: UpAxis | None = None
    k: int | None = None
    train_split: str = "train"
    test_split: str = "val"
    validation_split: str | None = None
    skip: int = 1
    options: JsonObject | None = None
    allow_overlap: bool = False
    sparse_backend: Backend = "torch"
    seed: int = 0
    device: str = "auto"
    cache: Path | None = None
    jobs: int = -1

    def __post_init__(self) -> None:
        """Check what needs no file.

        Raises:
            ValueError: if a number is out of range, there is no protocol, one is given twice, or some need clouds and
                others frames.
        """
        ranges.in_range("points", self.points, *ranges.POINTS)
        names = [protocol.name for protocol in self.protocols]
        if not names or len({*names}) < len(names):
            raise ValueError(f"found the protocols {','.join(names)!r}, expected at least one, and each once")
        kinds = {protocol.target.inputs for protocol in self.protocols}
        if len(kinds) > 1:
            raise ValueError(
                f"found protocols for points and for voxels in {', '.join(names)}, expected one kind of data: make a "
                "study of each"
            )
        other = CLOUDS_ONLY if self.inputs == "voxels" else FRAMES_ONLY
        given = [
            entry.name for entry in fields(self) if entry.name in other and getattr(self, entry.name) != entry.default
        ]
        if given:
            raise ValueError(
                f"found {given[0]} {getattr(self, given[0])} for {', '.join(names)}, which do not read it, expected "
                f"none: leave --{given[0]} out"
            )

    @property
    def inputs(self) -> InputKind:
        """Whether the data are clouds ("points") or frames ("voxels")."""
        return self.protocols[0].target.inputs

    def settings(self) -> JsonObject:
        """All that decides figures, as JSON holds it; paths as they were given."""
        given = {entry.name: plain(getattr(self, entry.name)) for entry in fields(self) if entry.name != "protocols"}
        kept = {name: value for name, value in given.items() if name not in IGNORED_ON_RESUME}
        return {
            **kept,
            "protocols": ",".join(protocol.name for protocol in self.protocols),
            **{protocol.name: plain(vars(protocol)) for protocol in self.protocols},
        }
