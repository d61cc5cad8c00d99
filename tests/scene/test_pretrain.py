"""Runs on scenes by the trainer that all methods share: what they leave, exact resume, plug-ins of a user."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
import yaml
from torch import Tensor, nn

from crosspoint.checkpoints.files import read_checkpoint
from crosspoint.checkpoints.pretrained import load_pretrained
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.checkpoints.image_weights import read_image_weights
from crosspoint.scene.checkpoints.scene_encoder import load_scene_encoder
from crosspoint.scene.data.batch import LidarBatch
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.data.superpixels import SuperpixelConfig
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.datasets.build import open_scenes
from crosspoint.scene.datasets.folder import FolderScenes, write_frame, write_rig
from crosspoint.scene.methods import PPKT, SceneMethod, SimIPU, SLidR
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.pixel_encoder import PixelEncoder, ResNetMaps
from crosspoint.scene.models.pointnet2 import PointNet2
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelConfig
from crosspoint.training.config import Compute, TrainingConfig
from crosspoint.training.pretrain import pretrain
from tests.scene.frames import made_frame

SHARED = Path(__file__).parents[3] / "shared" / "data"
TINY: dict[str, Any] = {"stem": 4, "encoder": [4, 8], "encoder_blocks": [1, 1]}
TINY |= {"decoder": [8, 8], "decoder_blocks": [1, 1]}
VOXELS = VoxelConfig(kind="cartesian", size=0.5)
SMALL = SceneAugmentation(size=(32, 64), pairs=64)
SHORT = TrainingConfig(epochs=3, batch_size=2, optimizer="sgd", learning_rate=0.1)
CPU = Compute(accelerator="cpu", workers=0)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four frames of walls before one camera, in the plain-folder format."""
    root = tmp_path_factory.mktemp("rig")
    K = torch.tensor([[[60.0, 0, 48], [0, 60, 32], [0, 0, 1]]])
    R = torch.tensor([[[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]])  # x forward, y left, z up → x right, y down, z forward
    cameras = Cameras(K, R, torch.zeros(1, 3), (64, 96))
    write_rig(root, cameras, ["wall"])
    for number in range(4):
        generator = np.random.default_rng(number)
        points = generator.uniform([4, -3, -2, 0], [12, 3, 2, 1], (1500, 4)).astype(np.float32)
        images = torch.from_numpy(generator.integers(0, 256, (1, 3, 8, 12), dtype=np.uint8))
        images = torch.nn.functional.interpolate(images, size=(64, 96), mode="nearest")
        write_frame(root, made_frame(f"{number}", points, images, cameras, np.zeros(1500, dtype=np.int64)))
    return root


def made_method(name: str, cache: Path, encoder: type[PointEncoder] = MinkUNet, **options: Any) -> SceneMethod:
    """A small method with the weights of seed 0."""
    torch.manual_seed(0)
    if name == "simipu":
        points = PointNet2.small()
        options = {"points": 1100, "projection": 8, "augmentation": replace(SMALL, crop=None)} | options
        return SimIPU(points, ResNetMaps(network="resnet18"), **options)
    network = MinkUNet(**TINY) if encoder is MinkUNet else encoder()
    teacher = PixelEncoder(network="resnet18", projection=8)
    options = {"voxels": VOXELS, "augmentation": SMALL} | options
    if name == "ppkt":
        return PPKT(network, teacher, **{"pairs": 200, **options})
    superpixels = {"superpixels": SuperpixelConfig(segments=12), "superpixels_cache": cache}
    return SLidR(network, teacher, **{**superpixels, **options})


def run(method: SceneMethod, dataset: Any, out: Path, **changes: Any) -> Path:
    return pretrain(method, dataset, **{"out": out, "training": SHORT, "compute": CPU, **changes})


@pytest.mark.parametrize("name", ["ppkt", "slidr"])
def test_a_run_leaves_what_it_promises(name: str, rig: Path, tmp_path: Path) -> None:
    out, cache = tmp_path / "run", tmp_path / "superpixels"
    begun, method = (made_method(name, cache) for _ in range(2))
    last = run(method, FolderScenes(rig), out)
    network, voxels = load_scene_encoder(last)
    assert voxels == VOXELS and isinstance(network, MinkUNet) and not network.training
    moved = {key: not torch.equal(w, network.state_dict()[key]) for key, w in begun.encoder.named_parameters()}
    assert all(moved.values())
    content = read_checkpoint(last)["state_dict"]
    trunk = {key: w for key, w in begun.state_dict().items() if key.startswith("image_encoder.trunk.")}
    assert trunk and all(torch.equal(w, content[f"method.{key}"]) for key, w in trunk.items())  # the teacher is frozen
    decoder = content["method.image_encoder.decoder.weight"]
    assert not torch.equal(decoder, begun.state_dict()["image_encoder.decoder.weight"])
    written = yaml.safe_load((out / "config.yaml").read_text())
    assert written["method"]["class_path"].endswith(type(method).__name__)
    assert sorted(out.glob("csv/version_*/metrics.csv"))
    assert cache.exists() == (name == "slidr")
    with pytest.raises(ValueError, match="found a run in"):
        run(method, FolderScenes(rig), out)


@pytest.mark.parametrize("name", ["ppkt", "slidr", "simipu"])
def test_a_checkpoint_builds_the_whole_method_again(name: str, rig: Path, tmp_path: Path) -> None:
    method = made_method(name, tmp_path / "superpixels", occlusion=0.5, views_per_step=1)
    last = run(method, FolderScenes(rig), tmp_path / "run", training=replace(SHORT, epochs=1))
    again = load_pretrained(last).load_method()
    assert type(again) is type(method) and isinstance(again, SceneMethod)
    assert again.augmentation == method.augmentation and (again.occlusion, again.views_per_step) == (0.5, 1)
    state = method.state_dict()
    assert all(torch.equal(weight, state[key]) for key, weight in again.state_dict().items())


def test_simipu_trains_its_images(rig: Path, tmp_path: Path) -> None:
    begun, method = (made_method("simipu", tmp_path) for _ in range(2))
    last = run(method, FolderScenes(rig), tmp_path / "run", training=replace(SHORT, epochs=1, optimizer="adamw"))
    found = read_image_weights(last)
    resnet = torchvision.models.resnet18()
    assert not resnet.load_state_dict(found, strict=False).unexpected_keys
    assert begun.image_encoder is not None
    assert all(not torch.equal(weight, found[name]) for name, weight in begun.image_encoder.named_parameters())
    with pytest.raises(ValueError, match="found PointNet2, an encoder of points"):
        load_scene_encoder(last)


def test_a_resumed_run_is_as_an_uninterrupted_one(rig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = FolderScenes(rig)
    expected = read_checkpoint(run(made_method("ppkt", tmp_path), dataset, tmp_path / "whole"))["state_dict"]
    whole_step, steps = PPKT.training_step, itertools.count(1)

    def interrupted(self: PPKT, batch: LidarBatch, generator: torch.Generator) -> dict[str, Tensor]:
        if next(steps) == 4:  # in the second epoch
            raise KeyboardInterrupt
        return whole_step(self, batch, generator)

    monkeypatch.setattr(PPKT, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(made_method("ppkt", tmp_path), dataset, tmp_path / "cut")
    monkeypatch.setattr(PPKT, "training_step", whole_step)
    last = run(made_method("ppkt", tmp_path), dataset, tmp_path / "cut", resume=True)
    found = read_checkpoint(last)["state_dict"]
    assert all(torch.equal(weight, found[name]) for name, weight in expected.items())


def test_workers_do_not_change_the_result(rig: Path, tmp_path: Path) -> None:
    states = []
    for workers in (0, 2):
        changes = {"training": replace(SHORT, epochs=1), "compute": replace(CPU, workers=workers)}
        last = run(made_method("ppkt", tmp_path), FolderScenes(rig), tmp_path / f"{workers}", **changes)
        states.append(read_checkpoint(last)["state_dict"])
    assert all(torch.equal(weight, states[1][name]) for name, weight in states[0].items())


class MyEncoder(PointEncoder):
    """A user's own encoder of voxels."""

    inputs = "voxels"

    def __init__(self, *, width: int = 6) -> None:
        super().__init__()
        self.feature_dim = width
        self.layers = nn.Linear(1, width)

    def forward(self, voxels: SparseTensor) -> Tensor:
        return self.layers(voxels.features)


class MyScenes(LidarDataset):
    """A user's own dataset: frames of another one, with a field and a map that nobody else knows."""

    def __init__(self, root: Path, *, count: int = 4) -> None:
        self.name = "my scenes"
        self.frames, self.count = FolderScenes(root), count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> LidarSample:
        frame = self.frames[index]
        fields = {**frame.point_fields, "echo": torch.arange(len(frame.points))}
        return replace(frame, point_fields=fields, pixel_maps={"heat": torch.zeros(1, 64, 96)})


def test_a_user_brings_an_encoder_and_a_dataset(rig: Path, tmp_path: Path) -> None:
    dataset = open_scenes(f"{MyScenes.__module__}.MyScenes", rig, count=3)
    assert type(dataset).__name__ == "MyScenes" and len(dataset) == 3
    method = made_method("ppkt", tmp_path, MyEncoder)
    samples = method.training_samples(MyScenes(rig))
    batch = method.collate([samples[0, 1], samples[1, 2]])
    assert {"echo", "intensity"} <= set(batch.point_fields) and set(batch.pixel_maps) == {"heat"}
    last = run(method, MyScenes(rig), tmp_path / "run", training=replace(SHORT, epochs=1))
    record = read_checkpoint(last)["crosspoint"]
    assert record["encoder"]["class_path"].endswith("MyEncoder") and record["encoder"]["init_args"] == {"width": 6}


def test_what_does_not_fit_is_said_before_training(rig: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found encoder.in_channels 1 and voxels.features xyz_intensity"):
        made_method("ppkt", tmp_path, voxels=VoxelConfig(features="xyz_intensity"))
    with pytest.raises(ValueError, match="found views_per_step 0, expected 1 or more"):
        made_method("ppkt", tmp_path, views_per_step=0)
    with pytest.raises(ValueError, match="expected none below 0"):
        made_method("simipu", tmp_path, occlusion=-1.0)
    with pytest.raises(ValueError, match="found a dataset list, expected LiDAR frames for PPKT"):
        run(made_method("ppkt", tmp_path), [], tmp_path / "run")
    with pytest.raises(ValueError, match="found 4 samples for training and a batch size of 9"):
        run(made_method("ppkt", tmp_path), FolderScenes(rig), tmp_path / "run", training=replace(SHORT, batch_size=9))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["ppkt", "slidr", "simipu"])
@pytest.mark.parametrize("dataset", ["kitti_raw", "nuscenes"])
def test_real_frames(dataset: str, name: str, tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip("no shared data beside the repository")
    skip = {"kitti_raw": 13, "nuscenes": 1}[dataset]
    training = replace(SHORT, batch_size=1, epochs=1)
    frames = open_scenes(dataset, SHARED / dataset, skip=skip)
    method = made_method(name, tmp_path / "superpixels", views_per_step=2)
    content = read_checkpoint(run(method, frames, tmp_path / "run", training=training))
    assert all(torch.isfinite(weight).all() for weight in content["state_dict"].values())
