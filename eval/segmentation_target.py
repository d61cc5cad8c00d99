"""Which encoder of scenes `crosspoint evaluate semseg` measures, and on which frames."""

from __future__ import annotations

import sys
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from pathlib import Path

from crosspoint.eval.results import Result
from crosspoint.eval.supervised.trainer import seeded
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.scene.checkpoints.scene_encoder import SceneEncoder, load_scene_encoder
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.datasets.build import open_scenes
from crosspoint.scene.datasets.validate import check_scenes
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.ops.sparse_conv import Backend, use_backend
from crosspoint.scene.ops.voxels import VoxelConfig


@dataclass(frozen=True)
class SegmentationTarget:
    """Which encoder is measured, on which frames.

    Args:
        checkpoint: of pretrain (.ckpt), or weights of MinkowskiEngine's networks
        dataset: kitti_object, semantickitti, nuscenes, rellis3d, folder, or synthetic
        root: where the frames lie; of synthetic nowhere
        train_split: frames to learn from
        test_split: frames to measure on
        validation_split: frames that choose the epoch; null takes the last epoch, as SLidR does
        skip: learn from every so many-th frame (of nuScenes: scene)
        random_init: measure the checkpoint's network with random weights instead
        sparse_backend: what computes sparse convolutions; spconv is for GPUs
        seed: of random weights and of every draw
        out: JSON file for the result
    """

    checkpoint: Path
    dataset: str
    _: KW_ONLY
    root: Path | None = None
    train_split: str = "train"
    test_split: str = "val"
    validation_split: str | None = None
    skip: int = 1
    random_init: bool = False
    sparse_backend: Backend = "torch"
    seed: int = 0
    out: Path | None = None

    def check(self) -> None:
        """Say what can be said before minutes of work, not after them.

        Raises:
            FileNotFoundError: if there is no checkpoint, or files of frames are missing.
            ImportError: if the sparse backend is not installed.
            ValueError: if one of them cannot be used, or the file of the result is there already.
        """
        if self.out is not None and self.out.exists():
            raise ValueError(f"found {self.out} already there, expected a new file: choose another --out")
        channels = getattr(self.encoder, "in_channels", self.voxels.channels)
        if channels != self.voxels.channels:
            raise ValueError(
                f"found {self.checkpoint} for {channels} features of a voxel, expected "
                f"{self.voxels.channels}: pre-train one on voxels of the intensity alone"
            )
        for frames in (self.train, self.test, self.validation):
            if frames is not None:
                check_scenes(frames, frames=1, pairs=False)

    @cached_property
    def loaded(self) -> SceneEncoder:
        """Network and voxels of the checkpoint."""
        return load_scene_encoder(self.checkpoint)

    @property
    def voxels(self) -> VoxelConfig:
        """Those that the network was trained on."""
        return self.loaded.voxels

    @cached_property
    def encoder(self) -> PointEncoder:
        """The network, in eval mode."""
        network = self.loaded.network
        if self.random_init:
            with seeded(self.seed):
                network = network.fresh().eval()
        if isinstance(network, MinkUNet):
            use_backend(network, self.sparse_backend)
        return network

    @cached_property
    def train(self) -> LidarDataset:
        """Frames to learn from."""
        return self._frames(self.train_split, self.skip)

    @cached_property
    def test(self) -> LidarDataset:
        """Frames to measure on."""
        return self._frames(self.test_split, 1)

    @cached_property
    def validation(self) -> LidarDataset | None:
        """Frames that choose the epoch, if any."""
        return None if self.validation_split is None else self._frames(self.validation_split, 1)

    def _frames(self, split: str, skip: int) -> LidarDataset:
        return open_scenes(self.dataset, self.root, split=split, **({} if skip == 1 else {"skip": skip}))

    def report(self, result: Result) -> int:
        """Print the result with the encoder that it is of, and save it."""
        given = {"checkpoint": str(self.checkpoint), "random_init": self.random_init, "skip": self.skip}
        result = replace(result, constants={**result.constants, **given})
        sys.stdout.write(f"{result}\n")
        if self.out is not None:
            result.save(self.out)
        return 0
