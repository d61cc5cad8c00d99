"""The target of protocols that measure an image network on frames: a checkpoint's, or one by its name."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar

from crosspoint.checkpoints.record import InputKind
from crosspoint.eval.checkpoint import Checkpoint
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.models.resnet_trunk import RANDOM


@dataclass(frozen=True)
class ImageTarget:
    """An image network, and a dataset of frames with images.

    Args:
        dataset: frames with images and either cameras or maps of depth: kitti_depth, nuscenes, folder, … (crosspoint
            data lists all), or the import path of a dataset
        checkpoint: file of pretrain (.ckpt), whose image branch or teacher is measured
        image_network: name of a network in place of a checkpoint: resnet18, resnet50, or one of timm's such as
            tf_efficientnet_lite0
        weights: weights of this network: a file, pretrained for those that are downloaded, or none for random ones
        root: folder of the dataset; synthetic has none
        train_split: name of the split to learn from
        test_split: name of the split to measure on
        validation_split: name of the split that chooses the epoch; by default the last epoch is taken
        skip: a number n: train on every n-th frame only (nuScenes: on every n-th scene)
        options: further arguments of the dataset, such as version, depth, val_list; each is a flag, too
        allow_overlap: measure although frames of the test split are in the training split, or in what the checkpoint
            was pre-trained on
        random_init: measure the network with random weights instead
        seed: seed of random weights and of every draw
        out: JSON file for the result
        save_dir: new folder for the trained network and its errors
    """

    inputs: ClassVar[InputKind] = "voxels"  # as of all protocols on frames

    dataset: str
    _: KW_ONLY
    checkpoint: Path | None = None
    image_network: str | None = None
    weights: str = RANDOM
    root: Path | None = None
    train_split: str = "train"
    test_split: str = "val"
    validation_split: str | None = None
    skip: int = 1
    options: dict[str, Any] | None = None
    allow_overlap: bool = False
    random_init: bool = False
    seed: int = 0
    out: Path | None = None
    save_dir: Path | None = None

    def __post_init__(self) -> None:
        if (self.checkpoint is None) == (self.image_network is None):
            given = (
                "neither --checkpoint nor --image_network"
                if self.image_network is None
                else "both --checkpoint and --image_network"
            )
            raise ValueError(f"found {given}, expected one of them: a file of pretrain, or the name of a network")
        if self.image_network is None and self.weights != RANDOM:
            raise ValueError(
                f"found the weights {self.weights} without a network, expected its name: give --image_network"
            )

    def open(self) -> EvaluationRun:
        """Read the checkpoint, if there is one.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it cannot be used.
        """
        from crosspoint.eval.image_networks import NamedNetwork  # torchvision and Lightning take seconds

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
        random, checkpoint = self.random_init, self.checkpoint
        if checkpoint is not None:
            return EvaluationRun(Checkpoint.read(checkpoint), data, random, self.seed, save_dir=self.save_dir)
        assert self.image_network is not None  # as `__post_init__` found
        random = random or self.weights == RANDOM
        path = Path(self.image_network if random else self.weights)
        named = NamedNetwork(path, network_name=self.image_network, weights=self.weights)
        return EvaluationRun(named, data, random, self.seed, save_dir=self.save_dir)
