"""Runs on scenes by the trainer of objects: what they leave, exact resume, several methods without a change of code."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
import yaml
from PIL import Image

from crosspoint import Compute, ProbeConfig, TrainingConfig, load_pretrained, pretrain
from crosspoint.checkpoints.files import read_checkpoint
from crosspoint.checkpoints.image_weights import read_image_weights
from crosspoint.models.image_teacher import ImageTeacher
from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.batch import LidarBatch
from crosspoint.scene.data.superpixels import SuperpixelConfig
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.datasets.build import open_scenes
from crosspoint.scene.datasets.folder import FolderScenes, write_frame, write_rig
from crosspoint.scene.methods import CMCR, OLIVINE, PPKT, Regression, SimIPU, SLidR
from crosspoint.scene.methods.olivine import DistributionSchedule
from crosspoint.scene.methods.scene_method import SceneMethod
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.occupancy import OccupancyConfig
from crosspoint.scene.models.pixel_encoder import PixelEncoder, ResNetMaps
from crosspoint.scene.models.pointnet2 import PointNet2
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelConfig, collate, voxelize
from tests.scene.frames import made_frame

SHARED = Path(__file__).parents[3] / "shared" / "data"
TINY: dict[str, Any] = {
    "stem": 4, "encoder": [4, 8], "encoder_blocks": [1, 1], "decoder": [8, 8], "decoder_blocks": [1, 1],
}  # fmt: skip
VOXELS = VoxelConfig(kind="cartesian", size=0.5)
FEW_QUERIES = OccupancyConfig(behind=30, before=30, between=30, neighbors=4, width=8)


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
        classes = generator.integers(0, 3, (8, 12), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
        path = root / "weak" / "images" / "camera_0" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(classes).save(path)
    manifest = {"format": 1, "kind": "semantic", "classes": ["one", "two"]}
    (root / "weak" / "manifest.json").write_text(json.dumps(manifest))
    return root


def frames_of(rig: Path, name: str) -> FolderScenes:
    """The frames of the rig, with weak labels for the method that needs them."""
    return FolderScenes(rig, weak_labels=rig / "weak" if name == "olivine" else None)


def method(name: str, folder: Path, *, seed: int = 0, **settings: Any) -> SceneMethod:
    """A small method with the random weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        augmentation = SceneAugmentation(size=(32, 64), pairs=64)
        if name == "simipu":
            encoder, maps = PointNet2(stages="small"), ResNetMaps(network="resnet18")
            return SimIPU(encoder, maps, **{"points": 1100, "augmentation": augmentation, **settings})
        network = MinkUNet(**TINY)
        shared: dict[str, Any] = {"voxels": VOXELS, "augmentation": augmentation, **settings}
        if name == "regression":
            teacher = ImageTeacher(network="test_efficientnet", layers=[1, 2])
            return Regression(network, teacher, standardize=True, **shared)
        pixels = PixelEncoder(network="resnet18", projection=8)
        if name == "cmcr":
            return CMCR(network, pixels, pairs=200, code_pairs=200, codes=20, occupancy=FEW_QUERIES, **shared)
        if name == "olivine":
            schedule = DistributionSchedule(decay=0.1, update_steps=None, apply_after=2)
            return OLIVINE(network, pixels, pairs=200, distributions=schedule, **shared)
        if name == "ppkt":
            return PPKT(network, pixels, pairs=200, **shared)
        superpixels = SuperpixelConfig(segments=12)
        return SLidR(network, pixels, superpixels=superpixels, superpixels_cache=folder / "superpixels", **shared)


def run(
    folder: Path, name: str, dataset: Any, *, out: str = "run", training: Any = None, workers: int = 0, **options: Any
) -> Path:
    return pretrain(
        method(name, folder),
        dataset,
        out=folder / out,
        training=TrainingConfig(
            **{"epochs": 3, "batch_size": 2, "optimizer": "sgd", "learning_rate": 0.1, **(training or {})}
        ),
        compute=Compute(accelerator="cpu", workers=workers),
        **options,
    )


@pytest.mark.parametrize("name", ["ppkt", "slidr", "olivine", "cmcr", "regression"])
def test_a_run_leaves_what_it_promises(name: str, rig: Path, tmp_path: Path) -> None:
    last = run(tmp_path, name, frames_of(rig, name))
    begun, pretrained = method(name, tmp_path), load_pretrained(last)
    network = pretrained.encoder
    assert isinstance(network, MinkUNet) and not network.training
    assert VoxelConfig(**pretrained.inputs.voxels) == VOXELS
    moved = {key: not torch.equal(w, network.state_dict()[key]) for key, w in begun.encoder.named_parameters()}
    assert all(moved.values())
    content = read_checkpoint(last)["state_dict"]
    trunk = {key: w for key, w in begun.state_dict().items() if key.startswith("image_encoder.trunk.")}
    assert trunk and all(torch.equal(w, content[f"method.{key}"]) for key, w in trunk.items())  # the teacher is frozen
    if name != "regression":  # which has no decoder of pixels
        decoder = content["method.image_encoder.decoder.weight"]
        assert not torch.equal(decoder, begun.state_dict()["image_encoder.decoder.weight"])
    saved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert saved["method"]["class_path"].endswith(type(begun).__name__)
    assert saved["data"]["dataset"]["init_args"]["root"] == str(rig)
    (metrics,) = (tmp_path / "run").glob("csv/version_*/metrics.csv")
    assert "health/rankme" in metrics.read_text().splitlines()[0]
    assert (tmp_path / "superpixels").exists() == (name == "slidr")
    with pytest.raises(ValueError, match="found a run in"):
        run(tmp_path, name, frames_of(rig, name))
    assert isinstance(pretrained.load_method(), type(begun))
    assert isinstance(pretrained.image_encoder, ImageTeacher)


def test_a_raw_sweep_becomes_the_voxels_of_training(rig: Path, tmp_path: Path) -> None:
    pretrained = load_pretrained(run(tmp_path, "ppkt", FolderScenes(rig), training={"epochs": 1}))
    sweep = FolderScenes(rig)[0].points_with("intensity")
    with torch.inference_mode():
        expected = pretrained.encoder(SparseTensor.of(collate([voxelize(sweep, VOXELS)])))
        for given in (sweep, sweep.numpy()):
            assert torch.equal(pretrained.encoder(pretrained.transform(given)), expected)


def test_simipu_trains_its_images(rig: Path, tmp_path: Path) -> None:
    last = run(tmp_path, "simipu", FolderScenes(rig), training={"epochs": 1, "optimizer": "adamw"})
    begun, found = method("simipu", tmp_path), read_image_weights(last)
    resnet = torchvision.models.resnet18()
    assert not resnet.load_state_dict(found, strict=False).unexpected_keys
    assert all(not torch.equal(weight, found[name]) for name, weight in begun.image_encoder.named_parameters())
    pretrained = load_pretrained(last)
    assert (pretrained.inputs.kind, pretrained.inputs.points) == ("sweeps", 1100)
    sweep = FolderScenes(rig)[0].points_with("intensity")
    assert pretrained.encoder(pretrained.transform(sweep)).features.shape[0] == 1


@pytest.mark.parametrize("kind", [PPKT, OLIVINE, CMCR, Regression])
def test_a_resumed_run_is_as_an_uninterrupted_one(
    kind: type[SceneMethod], rig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = kind.__name__.lower()
    frames = frames_of(rig, name)
    expected = read_checkpoint(run(tmp_path, name, frames))["state_dict"]
    whole_step, steps = kind.training_step, itertools.count(1)

    def interrupted(self: SceneMethod, batch: LidarBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        if next(steps) == 4:  # in the second epoch
            raise KeyboardInterrupt
        parts: dict[str, torch.Tensor] = whole_step(self, batch, generator)
        return parts

    monkeypatch.setattr(kind, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, name, frames, out="interrupted")
    monkeypatch.setattr(kind, "training_step", whole_step)
    found = read_checkpoint(run(tmp_path, name, frames, out="interrupted", resume=True))["state_dict"]
    assert all(torch.equal(weight, found[name]) for name, weight in expected.items())


def test_workers_do_not_change_the_result(rig: Path, tmp_path: Path) -> None:
    first, second = (
        read_checkpoint(run(tmp_path, "ppkt", FolderScenes(rig), out=out, training={"epochs": 1}, workers=workers))
        for out, workers in (("alone", 0), ("workers", 2))
    )
    assert all(torch.equal(weight, second["state_dict"][name]) for name, weight in first["state_dict"].items())


@pytest.mark.parametrize("name", ["olivine", "cmcr", "regression"])
def test_half_precision_trains(name: str, rig: Path, tmp_path: Path) -> None:
    last = pretrain(
        method(name, tmp_path),
        frames_of(rig, name),
        out=tmp_path / "run",
        training=TrainingConfig(epochs=2, batch_size=2, optimizer="adamw", learning_rate=0.001),
        compute=Compute(accelerator="cpu", workers=0, precision="bf16-mixed"),
    )
    assert all(weight.isfinite().all() for weight in read_checkpoint(last)["state_dict"].values())


def test_what_does_not_fit_is_said_before_training(rig: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found encoder.in_channels 1 and method.voxels.features xyz_intensity"):
        method("ppkt", tmp_path, voxels=VoxelConfig(features="xyz_intensity"))
    with pytest.raises(ValueError, match=r"found no weak labels in the dataset rig\d*, expected them for OLIVINE"):
        run(tmp_path, "olivine", FolderScenes(rig))
    with pytest.raises(ValueError, match="found a PixelEncoder for SimIPU"):
        SimIPU(PointNet2(stages="small"), PixelEncoder(network="resnet18"))
    with pytest.raises(ValueError, match=r"found 4 samples for training and a batch size of 9"):
        run(tmp_path, "ppkt", FolderScenes(rig), training={"batch_size": 9})
    with pytest.raises(ValueError, match="found probe settings for PPKT, expected none"):
        run(tmp_path, "ppkt", FolderScenes(rig), probe=ProbeConfig())
    with pytest.raises(ValueError, match=r"found compute.compile true for PPKT, expected false"):
        pretrain(
            method("ppkt", tmp_path),
            FolderScenes(rig),
            out=tmp_path / "run",
            training=TrainingConfig(epochs=1, batch_size=2),
            compute=Compute(accelerator="cpu", workers=0, compile=True),
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["ppkt", "slidr", "simipu", "cmcr", "regression"])
@pytest.mark.parametrize("dataset", ["kitti_raw", "nuscenes"])
def test_real_frames(dataset: str, name: str, tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip("no shared data beside the repository")
    frames = open_scenes(dataset, SHARED / dataset, **({"skip": 13} if dataset == "kitti_raw" else {}))
    content = read_checkpoint(run(tmp_path, name, frames, training={"batch_size": 1, "epochs": 1}))
    assert all(torch.isfinite(weight).all() for weight in content["state_dict"].values())


@pytest.mark.parametrize("dataset", ["kitti_raw", "nuscenes"])
def test_real_frames_with_weak_labels(dataset: str, tmp_path: Path) -> None:
    """Labels that a threshold on the brightness gives: what they mean does not matter here."""
    if not SHARED.is_dir():
        pytest.skip("no shared data beside the repository")
    options = {"skip": 13} if dataset == "kitti_raw" else {}
    frames = open_scenes(dataset, SHARED / dataset, **options)
    for image in (path for index in range(len(frames)) for path in frames.image_files(index)):
        path = (tmp_path / "weak" / image.relative_to(SHARED / dataset)).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(image) as pixels:
            Image.fromarray((np.asarray(pixels.convert("L")) // 90).astype(np.uint8)).save(path)
    manifest = {"format": 1, "kind": "semantic", "classes": ["gray", "bright"]}
    (tmp_path / "weak" / "manifest.json").write_text(json.dumps(manifest))
    labeled = open_scenes(dataset, SHARED / dataset, weak_labels=tmp_path / "weak", **options)
    content = read_checkpoint(run(tmp_path, "olivine", labeled, training={"batch_size": 1, "epochs": 1}))
    weights = content["state_dict"]
    assert all(torch.isfinite(weight).all() for weight in weights.values())
    assert weights["method.distributions.share"].gt(0).all()
