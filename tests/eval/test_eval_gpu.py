"""Evaluation on a GPU: the CPU's features and figures, and what trains on labels; skipped where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crosspoint import DGCNN
from crosspoint.datasets.procedural.shapes import FAMILIES, shapes_clouds
from crosspoint.eval import FinetuneConfig, extract_features, fine_tune, quickstart, report_study, semantic_segmentation
from crosspoint.eval.report.report_model import Report
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.segmenter import SegmentationConfig
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.ops.voxels import VoxelConfig
from crosspoint.scene.synthetic.dataset import SyntheticScenes
from crosspoint.scene.synthetic.lidar import Lidar

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, torch sees none"),
]
LIDAR = Lidar(beams=16, columns=360)
GPU = Resources(accelerator="gpu", workers=0)


def test_features_and_figures_of_a_study_equal_those_of_the_cpu(
    study: StudyConfig, drawn: list[Report], results: Callable[[StudyConfig], dict[str, Any]], tmp_path: Path
) -> None:
    assert report_study(study) == 0
    on_device = replace(study, device="cuda", out=tmp_path / "device")
    assert report_study(on_device) == 0
    found, expected = results(on_device), results(study)
    assert found["table"] == expected["table"]


def test_features_equal_those_of_the_cpu() -> None:
    torch.manual_seed(0)
    encoder = DGCNN(k=4, channels=[8, 8], embedding=16)
    points = shapes_clouds("test", 4, points=64, families=FAMILIES[:3]).points
    expected, found = (extract_features(encoder, points, device=device) for device in ("cpu", "cuda"))
    assert float(np.abs(found - expected).max() / np.abs(expected).max()) < 1e-3
    assert not next(encoder.parameters()).is_cuda


@pytest.mark.parametrize("mode", ["finetuned", "frozen"])
def test_a_network_is_trained_on_labeled_clouds(mode: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    train, test = (shapes_clouds(split, 8, points=64, families=FAMILIES[:3]) for split in ("train", "test"))
    recipe = FinetuneConfig(epochs=3, batch_size=8)
    encoder = DGCNN(k=4, channels=[8, 8], embedding=16)
    result = fine_tune(encoder, train, test, mode=mode, recipe=recipe, validation=0.25, resources=GPU, out=tmp_path)
    assert all(np.isfinite(row["train_loss"]) for row in result.records)
    assert not next(encoder.parameters()).is_cuda


@pytest.mark.parametrize("mode", ["finetuned", "linear"])
def test_a_network_is_trained_on_labeled_frames(mode: str) -> None:
    torch.manual_seed(0)
    network = MinkUNet(stem=8, encoder=[8, 16], encoder_blocks=[1, 1], decoder=[16, 12], decoder_blocks=[1, 1])
    train, test = (
        SyntheticScenes(split, sequences=1, frames=2, size=(48, 160), lidar=LIDAR) for split in ("train", "val")
    )
    recipe = SegmentationConfig(epochs=2, batch_size=2)
    voxels = VoxelConfig(kind="cartesian", size=0.5)
    result = semantic_segmentation(network, train, test, mode=mode, voxels=voxels, recipe=recipe, resources=GPU)
    assert 0 <= result.metrics["miou"] <= 100


def test_the_whole_toolkit_at_a_tiny_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"SHAPES": 2, "PROBED": (4, 30), "POINTS": 32, "VIEWS": 2, "SIZE": 24, "TASKS": 3, "FAMILIES": FAMILIES[:5]}
    for name, value in sizes.items():
        monkeypatch.setattr(quickstart, name, value)
    assert quickstart.quickstart(tmp_path, seeds=1, epochs=1, jobs=1)
