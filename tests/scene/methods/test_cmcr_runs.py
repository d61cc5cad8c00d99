"""Runs of CMCR by the trainer of all methods: what they leave, exact resume, real frames."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from crosspoint import Compute, TrainingConfig, load_pretrained, pretrain
from crosspoint.checkpoints.files import read_checkpoint
from crosspoint.scene.data.batch import LidarBatch
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.datasets.build import open_scenes
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.methods import CMCR, CmcrWeights
from crosspoint.scene.models.masked_images import MaskConfig
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.occupancy import OccupancyConfig
from crosspoint.scene.models.pixel_encoder import PixelEncoder
from crosspoint.scene.ops.voxels import VoxelConfig
from tests.scene.test_pretrain import SHARED, TINY, VOXELS, rig

__all__ = ["rig"]  # a fixture


def made_method(**settings: Any) -> CMCR:
    """A small method with random weights, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shared: dict[str, Any] = {
            "voxels": VOXELS,
            "augmentation": SceneAugmentation(size=(32, 64), pairs=64),
            "pairs": 200,
            "code_pairs": 60,
            "codes": 30,
            "revive": 2,
            "masks": MaskConfig(patch=8),
            "reconstruction_stride": 4,
            "occupancy": OccupancyConfig(behind=20, before=20, between=10, neighbors=4, width=8),
        }
        teacher = PixelEncoder(network="resnet18", projection=8)
        return CMCR(MinkUNet(**TINY), teacher, **{**shared, **settings})


def run(folder: Path, dataset: Any, *, resume: bool = False, training: Any = None, **settings: Any) -> Path:
    return pretrain(
        made_method(**settings),
        dataset,
        out=folder,
        training=TrainingConfig(**{"epochs": 3, "batch_size": 2, **(training or {})}),
        compute=Compute(accelerator="cpu", workers=0),
        resume=resume,
    )


def test_a_run_leaves_what_it_promises(rig: Path, tmp_path: Path) -> None:
    assert rig.is_dir()
    weights = CmcrWeights(matching=0.5)
    last = run(tmp_path / "run", FolderScenes(rig), training={"epochs": 1}, weights=weights)
    begun, pretrained = made_method(), load_pretrained(last)
    assert isinstance(pretrained.encoder, MinkUNet) and VoxelConfig(**pretrained.inputs.voxels) == VOXELS
    content = read_checkpoint(last)["state_dict"]
    for name, weight in begun.named_parameters():
        assert torch.equal(weight, content[f"method.{name}"]) == (not weight.requires_grad), name
    assert not torch.equal(begun.codebook.codes, content["method.codebook.codes"])
    saved = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["method"]
    assert saved["class_path"].endswith("CMCR") and saved["init_args"]["weights"]["matching"] == 0.5
    metrics = next((tmp_path / "run").glob("csv/version_*/metrics.csv")).read_text().splitlines()[0]
    assert {"train/contrast", "train/reconstruction", "train/occupancy", "train/perplexity"} <= {*metrics.split(",")}
    method = pretrained.load_method()
    assert isinstance(method, CMCR) and method.weights == weights
    assert torch.equal(method.codebook.codes, content["method.codebook.codes"])


def test_a_resumed_run_is_as_an_uninterrupted_one(rig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read_checkpoint(run(tmp_path / "whole", FolderScenes(rig)))["state_dict"]
    whole_step, steps = CMCR.training_step, itertools.count(1)

    def interrupted(self: CMCR, batch: LidarBatch, generator: torch.Generator) -> dict[str, Tensor]:
        if next(steps) == 4:  # in the second epoch
            raise KeyboardInterrupt
        return whole_step(self, batch, generator)

    monkeypatch.setattr(CMCR, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "interrupted", FolderScenes(rig))
    monkeypatch.setattr(CMCR, "training_step", whole_step)
    found = read_checkpoint(run(tmp_path / "interrupted", FolderScenes(rig), resume=True))["state_dict"]
    assert {*expected} == {*found} and any(name.endswith("codebook.idle") for name in found)
    assert all(torch.equal(weight, found[name]) for name, weight in expected.items())


def test_cuboids_can_be_cut_out_of_clouds(rig: Path, tmp_path: Path) -> None:
    """The public code crashes with them: its cuboids know nothing of queries, which are drawn later here."""
    augmentation = SceneAugmentation(size=(32, 64), pairs=64, cuboid=0.9)
    dataset = FolderScenes(rig)
    samples = made_method(augmentation=augmentation).training_samples(dataset)
    assert min(len(samples[0, seed].points) for seed in range(6)) < len(dataset[0].points)
    last = run(tmp_path / "run", dataset, training={"epochs": 1}, augmentation=augmentation)
    assert all(torch.isfinite(weight).all() for weight in read_checkpoint(last)["state_dict"].values())


@pytest.mark.parametrize("kind", ["cartesian", "cylindrical"])
@pytest.mark.parametrize("dataset", ["kitti_raw", "nuscenes"])
def test_real_frames(dataset: str, kind: Any, tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip("no shared data beside the repository")
    frames = open_scenes(dataset, SHARED / dataset, **({"skip": 13} if dataset == "kitti_raw" else {}))
    voxels = VoxelConfig(kind=kind, size=0.5)
    last = run(tmp_path / "run", frames, training={"batch_size": 1, "epochs": 1}, voxels=voxels)
    assert all(torch.isfinite(weight).all() for weight in read_checkpoint(last)["state_dict"].values())
