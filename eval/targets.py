"""Targets of the single commands of `crosspoint evaluate`: the flags that protocols share, and the run they open."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from crosspoint.checkpoints.record import InputKind
from crosspoint.eval.checkpoint import Checkpoint
from crosspoint.eval.evaluation_data import POINTS, EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.image_target import ImageTarget
from crosspoint.renderers import ranges
from crosspoint.renderers.meshes import UpAxis
from crosspoint.scene.ops.sparse_conv import Backend


@dataclass(frozen=True)
class EncoderTarget:
    """An encoder of clouds; the protocol brings the clouds.

    Args:
        checkpoint: file of pretrain (.ckpt), an export (.safetensors), or the original CrossPoint's weights (.pth)
        points: points per cloud; by default as many as in training, or 1,024 where the file does not tell
        normalize: scale clouds into the unit sphere, as in pre-training; false takes them as stored
        random_init: measure the checkpoint's network with random weights instead
        k: neighbors per point, or points of a patch; by default the checkpoint's number
        seed: seed of every draw: folds, tasks, sampled points, random weights
        device: device that extracts features: auto, cpu, cuda, cuda:1, …
        cache: folder that keeps extracted features
        jobs: threads, -1 for one per core
        out: new JSON file for the result
        save_dir: new folder for the trained network and its predictions
    """

    inputs: ClassVar[InputKind] = "points"

    checkpoint: Path
    _: KW_ONLY
    points: int | None = None
    normalize: bool = True
    random_init: bool = False
    k: int | None = None
    seed: int = 0
    device: str = "auto"
    cache: Path | None = None
    jobs: int = -1
    out: Path | None = None
    save_dir: Path | None = None

    def __post_init__(self) -> None:
        ranges.in_range("points", self.points, *ranges.POINTS)

    def data(self, points: int | None) -> EvaluationData:
        """The clouds.

        Args:
            points: points per cloud in the encoder's training; None where they are not known.
        """
        return EvaluationData(points=self.points or points or POINTS, normalize=self.normalize, seed=self.seed)

    def open(self) -> EvaluationRun:
        """Read the checkpoint, and say what differs between training and evaluation.

        Raises:
            FileNotFoundError: if there is no checkpoint.
            ValueError: if it cannot be used.
        """
        checkpoint = Checkpoint.read(self.checkpoint, self.k)
        data = replace(self.data(checkpoint.points), fields=checkpoint.fields)
        if not self.random_init and checkpoint.inputs == "points":
            checkpoint.warn_of_mismatch(data.points, data.normalize)
        return EvaluationRun(
            checkpoint, data, self.random_init, self.seed, self.device, self.cache, self.jobs, save_dir=self.save_dir
        )


@dataclass(frozen=True)
class CloudTarget(EncoderTarget):
    """An encoder of clouds, and a dataset of labeled clouds.

    Args:
        dataset: labeled clouds: rendered, clouds, modelnet, modelnet40_hdf5, modelnet40_resampled, modelnet_r,
            scanobjectnn_obj_bg, scanobjectnn_obj_only, scanobjectnn_pb_t25, scanobjectnn_pb_t25_r,
            scanobjectnn_pb_t50_r, scanobjectnn_pb_t50_rs, shapenetpart, or the import path of a LabeledDataset
        root: folder of the dataset
        up_axis: up axis of the stored clouds, where it is not the dataset's own
        allow_overlap: measure although clouds of the test split are in the training split, too
    """

    dataset: str
    root: Path
    _: KW_ONLY
    up_axis: UpAxis | None = None
    allow_overlap: bool = False

    def data(self, points: int | None) -> EvaluationData:
        """The clouds of the dataset."""
        return EvaluationData(
            self.dataset,
            self.root,
            points=self.points or points or POINTS,
            normalize=self.normalize,
            up_axis=self.up_axis,
            seed=self.seed,
            allow_overlap=self.allow_overlap,
        )


@dataclass(frozen=True)
class FrameTarget:
    """An encoder of scenes, and a dataset of labeled frames.

    Args:
        checkpoint: file of pretrain (.ckpt), or weights of MinkowskiEngine's networks
        dataset: frames with a class at every point: semantickitti, nuscenes, waymo, folder, … (crosspoint data lists
            all), or the import path of a dataset
        root: folder of the dataset; synthetic has none
        train_split: name of the split to learn from
        test_split: name of the split to measure on
        validation_split: name of the split that chooses the epoch; by default the last epoch is taken, as SLidR does
        skip: a number n: train on every n-th frame only (nuScenes: on every n-th scene)
        options: further arguments of the dataset, such as version, columns, skip_incomplete; each is a flag, too
        allow_overlap: measure although frames of the test split are in the training split, too
        voxels: size, intensity_scale and others of the voxels, where they should differ from those of training
        random_init: measure the checkpoint's network with random weights instead
        sparse_backend: library that computes sparse convolutions; spconv is for GPUs
        seed: seed of random weights and of every draw
        out: JSON file for the result
        save_dir: new folder for the trained network and its answers
    """

    inputs: ClassVar[InputKind] = "voxels"

    checkpoint: Path
    dataset: str
    _: KW_ONLY
    root: Path | None = None
    train_split: str = "train"
    test_split: str = "val"
    validation_split: str | None = None
    skip: int = 1
    options: dict[str, Any] | None = None
    allow_overlap: bool = False
    voxels: dict[str, Any] | None = None
    random_init: bool = False
    sparse_backend: Backend = "torch"
    seed: int = 0
    out: Path | None = None
    save_dir: Path | None = None

    def open(self) -> EvaluationRun:
        """Read the checkpoint.

        Raises:
            FileNotFoundError: if there is no checkpoint.
            ValueError: if it cannot be used.
        """
        data = EvaluationData(
            self.dataset,
            self.root,
            inputs="voxels",
            seed=self.seed,
            train_split=self.train_split,
            test_split=self.test_split,
            validation_split=self.validation_split,
            skip=self.skip,
            options=self.options or {},
            allow_overlap=self.allow_overlap,
        )
        return EvaluationRun(
            Checkpoint.read(self.checkpoint, other_voxels=self.voxels),
            data,
            self.random_init,
            self.seed,
            sparse_backend=self.sparse_backend,
            save_dir=self.save_dir,
        )


Target = EncoderTarget | FrameTarget | ImageTarget
