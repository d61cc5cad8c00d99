"""Runs on scenes by the trainer of objects: what they leave, exact resume, several methods without a change of code."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
import yaml

from crosspoint.checkpoints.load import read_checkpoint
from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.checkpoints.image_weights import read_image_weights
from crosspoint.scene.checkpoints.scene_encoder import load_scene_encoder
from crosspoint.scene.data.batch import SceneBatch
from crosspoint.scene.data.superpixels import SuperpixelConfig
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.datasets.folder import write_frame, write_rig
from crosspoint.scene.methods import PPKT
from crosspoint.scene.models.minkunet import MinkUNet, MinkUNetConfig
from crosspoint.scene.models.pixel_encoder import PixelEncoderConfig
from crosspoint.scene.ops.voxels import VoxelConfig
from crosspoint.scene.training.config import SceneDataConfig, SceneMethodConfig, ScenePretrainConfig
from crosspoint.scene.training.pretrain import build_scene_method, pretrain_scenes
from crosspoint.training.config import TrainingConfig
from tests.scene.frames import made_frame

SHARED = Path(__file__).parents[4] / "shared" / "data"
TINY = MinkUNetConfig(stem=4, encoder=[4, 8], encoder_blocks=[1, 1], decoder=[8, 8], decoder_blocks=[1, 1])


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


@pytest.fixture
def config(rig: Path, tmp_path: Path) -> ScenePretrainConfig:
    return ScenePretrainConfig(
        out=tmp_path / "run",
        data=SceneDataConfig(dataset="folder", root=rig, workers=0),
        voxels=VoxelConfig(kind="cartesian", size=0.5),
        encoder=TINY,
        image=PixelEncoderConfig(network="resnet18", projection=8),
        augmentation=SceneAugmentation(size=(32, 64), pairs=64),
        method=SceneMethodConfig(
            name="ppkt", pairs=200, regions=SuperpixelConfig(segments=12), regions_cache=tmp_path / "regions"
        ),
        training=TrainingConfig(epochs=3, batch_size=2, optimizer="sgd", learning_rate=0.1, accelerator="cpu"),
    )


@pytest.mark.parametrize("name", ["ppkt", "slidr"])
def test_a_run_leaves_what_it_promises(name: str, config: ScenePretrainConfig) -> None:
    config = replace(config, method=replace(config.method, name=name))
    last = pretrain_scenes(config)
    begun = build_scene_method(config)
    network, voxels = load_scene_encoder(last)
    assert voxels == config.voxels and isinstance(network, MinkUNet) and not network.training
    moved = {key: not torch.equal(w, network.state_dict()[key]) for key, w in begun.encoder.named_parameters()}
    assert all(moved.values())
    content = read_checkpoint(last)["state_dict"]
    trunk = {key: w for key, w in begun.state_dict().items() if key.startswith("image_encoder.trunk.")}
    assert trunk and all(torch.equal(w, content[f"method.{key}"]) for key, w in trunk.items())  # the teacher is frozen
    decoder = content["method.image_encoder.decoder.weight"]
    assert not torch.equal(decoder, begun.state_dict()["image_encoder.decoder.weight"])
    assert yaml.safe_load((config.out / "config.yaml").read_text())["method"]["name"] == name
    assert sorted(config.out.glob("csv/version_*/metrics.csv"))
    assert config.method.regions_cache.exists() == (name == "slidr")
    with pytest.raises(ValueError, match="found a run in"):
        pretrain_scenes(config)


def test_simipu_trains_its_images(config: ScenePretrainConfig) -> None:
    method = replace(config.method, name="simipu", pointnet2="small", points=1100)
    config = replace(config, method=method, training=replace(config.training, epochs=1, optimizer="adamw"))
    last = pretrain_scenes(config)
    begun = build_scene_method(config)
    found = read_image_weights(last)
    resnet = torchvision.models.resnet18()
    assert not resnet.load_state_dict(found, strict=False).unexpected_keys
    assert all(not torch.equal(weight, found[name]) for name, weight in begun.image_encoder.named_parameters())
    with pytest.raises(ValueError, match="found SimIPU's point network"):
        load_scene_encoder(last)


def test_a_resumed_run_is_as_an_uninterrupted_one(config: ScenePretrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read_checkpoint(pretrain_scenes(config))["state_dict"]
    other = replace(config, out=config.out.with_name("interrupted"))

    whole_step, steps = PPKT.training_step, itertools.count(1)

    def interrupted(self: PPKT, batch: SceneBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        if next(steps) == 4:  # in the second epoch
            raise KeyboardInterrupt
        return whole_step(self, batch, generator)

    monkeypatch.setattr(PPKT, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pretrain_scenes(other)
    monkeypatch.setattr(PPKT, "training_step", whole_step)
    found = read_checkpoint(pretrain_scenes(other, resume=True))["state_dict"]
    assert all(torch.equal(weight, found[name]) for name, weight in expected.items())


def test_workers_do_not_change_the_result(config: ScenePretrainConfig) -> None:
    short = replace(config, training=replace(config.training, epochs=1))
    expected = read_checkpoint(pretrain_scenes(short))["state_dict"]
    other = replace(short, out=config.out.with_name("workers"), data=replace(config.data, workers=2))
    found = read_checkpoint(pretrain_scenes(other))["state_dict"]
    assert all(torch.equal(weight, found[name]) for name, weight in expected.items())


def test_what_does_not_fit_is_said_before_training(config: ScenePretrainConfig, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found encoder.in_channels 1 and voxels.features xyz_intensity"):
        replace(config, voxels=VoxelConfig(features="xyz_intensity"))
    with pytest.raises(ValueError, match=r"found image\.dilated true for simipu"):
        replace(config, method=replace(config.method, name="simipu"), image=PixelEncoderConfig(dilated=True))
    with pytest.raises(FileNotFoundError, match="found no"):
        pretrain_scenes(replace(config, data=replace(config.data, root=tmp_path / "nowhere")))
    with pytest.raises(ValueError, match=r"found 4 pairs for training and a batch size of 9"):
        pretrain_scenes(replace(config, training=replace(config.training, batch_size=9)))
    assert not config.out.exists()


@pytest.mark.parametrize("name", ["ppkt", "slidr", "simipu"])
@pytest.mark.parametrize("dataset", ["kitti_raw", "nuscenes"])
def test_real_frames(dataset: str, name: str, config: ScenePretrainConfig) -> None:
    if not SHARED.is_dir():
        pytest.skip("no shared data beside the repository")
    method = replace(config.method, name=name, regions=SuperpixelConfig(segments=30), pointnet2="small", points=2048)
    skip = {"kitti_raw": 13, "nuscenes": 1}[dataset]
    real = replace(
        config,
        data=replace(config.data, dataset=dataset, root=SHARED / dataset, skip=skip),
        method=method,
        training=replace(config.training, batch_size=1, epochs=1),
    )
    content = read_checkpoint(pretrain_scenes(real))
    assert all(torch.isfinite(weight).all() for weight in content["state_dict"].values())
