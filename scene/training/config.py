"""The configuration of a pre-training run on scenes. Defaults are SLidR's recipe; YAML and flags override them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from crosspoint.scene.data.similarity_augmentation import SimilarityAugmentation
from crosspoint.scene.data.superpixels import SuperpixelConfig
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.models.minkunet import MinkUNetConfig
from crosspoint.scene.models.pixel_encoder import PixelEncoderConfig
from crosspoint.scene.ops.sparse_conv import Backend
from crosspoint.scene.ops.voxels import VoxelConfig
from crosspoint.training.config import TrainingConfig

SceneName = Literal["kitti_raw", "kitti_object", "semantickitti", "nuscenes", "rellis3d", "folder", "synthetic"]


@dataclass(frozen=True)
class SceneDataConfig:
    """Which frames are read, and which points count as seen.

    Args:
        dataset: LiDAR–camera frames; scene/datasets says which files go where. synthetic needs no files
        root: folder of the dataset; of synthetic none
        split: of the dataset; null takes its first, or everything where it has none
        skip: take every so many-th frame (of nuScenes: scene)
        min_depth: meters before a camera that a paired point exceeds
        occlusion: meters by which nearer points hide others; null pairs hidden points too, as the public codes
        workers: loader processes
    """

    dataset: SceneName = "nuscenes"
    root: Path | None = None
    split: str | None = None
    skip: int = 1
    min_depth: float = 1.0
    occlusion: float | None = None
    workers: int = 2


@dataclass(frozen=True)
class SceneMethodConfig:
    """How points learn from pixels.

    Args:
        name: of the method
        temperature: divides the cosines
        pairs: points with their pixels that are compared in a step (ppkt)
        regions: how images are divided into superpixels (slidr)
        regions_cache: folder that keeps them
        pointnet2: size of the point encoder, as published or for a CPU (simipu)
        points: drawn from each frame (simipu)
        reach: meters around the sensor within which they are drawn; null draws anywhere (simipu)
        seen_only: draw points that an image sees, where a frame has such; false draws all around (simipu)
        view: how the second view of a cloud differs (simipu)
    """

    name: Literal["ppkt", "slidr", "simipu"] = "slidr"
    temperature: float = 0.07
    pairs: int = 4096
    regions: SuperpixelConfig = field(default_factory=SuperpixelConfig)
    regions_cache: Path = Path("data/regions")
    pointnet2: Literal["published", "small"] = "published"
    points: int = 16384
    reach: float | None = 70.4
    seen_only: bool = False
    view: SimilarityAugmentation = field(default_factory=SimilarityAugmentation)


@dataclass(frozen=True)
class ScenePretrainConfig:
    """Everything that decides a run.

    Args:
        out: new folder for checkpoints, logs and this configuration
        seed: decides weights, order and augmentations
        data: the frames
        voxels: how clouds are cut
        encoder: the point encoder of ppkt and slidr; simipu has a PointNet++
        image: the image encoder
        augmentation: of clouds and images
        method: what is compared
        training: optimization
        sparse_backend: what computes sparse convolutions; spconv is for GPUs
    """

    out: Path = Path("runs/scenes")
    seed: int = 0
    data: SceneDataConfig = field(default_factory=SceneDataConfig)
    voxels: VoxelConfig = field(default_factory=VoxelConfig)
    encoder: MinkUNetConfig = field(default_factory=MinkUNetConfig)
    image: PixelEncoderConfig = field(default_factory=PixelEncoderConfig)
    augmentation: SceneAugmentation = field(default_factory=SceneAugmentation)
    method: SceneMethodConfig = field(default_factory=SceneMethodConfig)
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            epochs=50, batch_size=4, optimizer="sgd", learning_rate=0.5, weight_decay=1e-4
        )
    )
    sparse_backend: Backend = "torch"

    def __post_init__(self) -> None:
        if self.encoder.in_channels != self.voxels.channels:
            raise ValueError(
                f"found encoder.in_channels {self.encoder.in_channels} and voxels.features {self.voxels.features}, "
                f"expected {self.voxels.channels} channels: match them"
            )
        if self.method.name == "simipu" and self.image.dilated:
            raise ValueError("found image.dilated true for simipu, expected false: it learns from maps of stride 32")
        precision, accelerator = self.training.precision, self.training.accelerator
        if self.sparse_backend == "spconv" and (accelerator == "cpu" or precision == "bf16-mixed"):
            raise ValueError(
                f"found sparse_backend spconv with precision {precision} on the accelerator {accelerator}, expected "
                "32-true or 16-mixed on a GPU, for which it has kernels: change them, or take torch"
            )
