"""Velocities from nuScenes' annotations to the trained detector, its figures and result files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crosspoint.eval.metrics.detection.nuscenes import nuscenes_scores
from crosspoint.eval.supervised.box_scores import benchmark_scores, nuscenes_answers
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.detection import detection
from crosspoint.eval.supervised.detector_training import DetectionConfig
from crosspoint.eval.supervised.trained_network import load_network
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.datasets.nuscenes import NuScenes
from crosspoint.scene.datasets.nuscenes_boxes import NO_ATTRIBUTE, NuScenesBoxes
from crosspoint.scene.datasets.nuscenes_results import read_results, write_results
from crosspoint.scene.datasets.nuscenes_tables import Tables
from crosspoint.scene.datasets.nuscenes_velocities import box_velocities
from crosspoint.scene.detection.box_augmentation import BoxAugmentation
from crosspoint.scene.detection.detector import DetectorConfig
from crosspoint.scene.detection.found_boxes import FoundBoxes
from crosspoint.scene.models.voxelnet import VoxelNet
from crosspoint.scene.ops.voxels import VoxelConfig
from tests.eval.toy_traffic import VOXELS, write_traffic
from tests.scene.datasets.test_nuscenes_velocities import SWEEPS, annotated, write_moving
from tests.scene.frames import boxes_of

TINY = DetectorConfig(widths=[8], layers=[0], up=8, center_width=8, score=0.0, velocity=True)
CPU = Resources(accelerator="cpu", evaluation_batch=3)
SHORT = DetectionConfig(epochs=2, batch_size=3, augmentation=BoxAugmentation(0.5), norm_momentum=0.1)
EXTENT = VoxelConfig(
    "cartesian", 0.8, height=0.2, extent=(-25.6, -25.6, -4, 25.6, 25.6, 4), features="xyz_intensity", average=True
)


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moving(tmp_path_factory.mktemp("data"))


def encoder() -> VoxelNet:
    torch.manual_seed(0)
    return VoxelNet(widths=(4, 8, 8, 8), out_channels=8, grid=(64, 64, 40)).eval()


def answers(frame: LidarSample, faster: float) -> FoundBoxes:
    """The labeled boxes, each faster along x and slower along y of the LiDAR; 1 m/s where the velocity is not known."""
    boxes = boxes_of(frame)
    assert boxes.velocities is not None
    speed = boxes.velocities.nan_to_num(nan=1.0) + faster * torch.tensor([1.0, -1.0])
    scores = torch.linspace(0.9, 0.5, len(boxes.labels))
    return FoundBoxes(boxes.geometry.float(), boxes.labels, scores, speed.float())


def test_the_error_of_velocities_is_how_far_off_they_are(moving: Path) -> None:
    """For cars and buses √2 of the offset on each axis; 1 for six classes of no object, and two have no such error."""
    dataset = NuScenes(moving, boxes=True, **SWEEPS)
    for faster in (0.0, 0.3):
        found = [answers(frame, faster) for frame in dataset]
        figures = benchmark_scores(found, dataset, range(6))
        expected = (2 * np.sqrt(2) * faster + 6 * 1) / 8
        assert figures["mean_velocity_error"] == pytest.approx(expected, abs=1e-5)
        still = benchmark_scores([one._replace(velocities=None) for one in found], dataset, range(6))
        assert still["mean_velocity_error"] == 1 and figures["nds"] > still["nds"]
        apart = ("mean_velocity_error", "nds")
        assert {n: v for n, v in figures.items() if n not in apart} == {
            n: v for n, v in still.items() if n not in apart
        }


def test_figures_are_those_of_boxes_that_never_left_the_world(moving: Path) -> None:
    dataset = NuScenes(moving, boxes=True, **SWEEPS)
    records = annotated(moving)
    speeds = dict(zip((one["token"] for one in records), box_velocities(Tables(moving), records), strict=True))
    truth, said = [], []
    frames = [*dataset]
    found = [answers(frame, 0.4) for frame in frames]
    for frame, boxes in zip(frames, found, strict=True):
        in_world = nuscenes_answers(frame.pose, boxes)
        sample = frame.name.partition("/")[2]
        tokens = [f"{sample}{0 if dataset.box_classes[label] == 'car' else 2}" for label in boxes.labels.tolist()]
        count = len(tokens)
        velocity = np.array([speeds[token] for token in tokens]).reshape(-1, 2)
        points = np.ones(count, dtype=np.int64)
        nothing = np.full(count, NO_ATTRIBUTE)
        truth.append(NuScenesBoxes(in_world.geometry, in_world.labels, velocity, nothing, points=points))
        said.append(in_world)
    places = np.array([frame.pose[:3, 3].tolist() for frame in frames])
    expected, figures = nuscenes_scores(truth, said, places).figures(), benchmark_scores(found, dataset, range(6))
    assert figures == pytest.approx(expected, abs=1e-5) and figures["mean_velocity_error"] < 1


def test_result_files_have_the_velocities(moving: Path, tmp_path: Path) -> None:
    frame = NuScenes(moving, boxes=True, **SWEEPS)[1]
    boxes = nuscenes_answers(frame.pose, answers(frame, 0.4))
    write_results({"one": boxes}, tmp_path / "results.json")
    again = read_results(tmp_path / "results.json")["one"]
    np.testing.assert_allclose(again.velocity, boxes.velocity)
    assert (np.hypot(*again.velocity.T) > 0).all()


def test_a_detector_learns_velocities_and_comes_back_from_its_file(moving: Path, tmp_path: Path) -> None:
    dataset = NuScenes(moving, boxes=True, **SWEEPS)
    given = {"voxels": EXTENT, "recipe": SHORT, "resources": CPU}
    result = detection(encoder(), dataset, dataset, detector=TINY, out=tmp_path / "moving", **given)
    saved = np.load(tmp_path / "moving" / "predictions.npz")
    assert saved["velocities"].shape == (len(saved["scores"]), 2) and len(saved["scores"]) > 0
    assert result.constants["detector"]["velocity"] is True and np.isfinite(result.metrics["mean_velocity_error"])
    network = load_network(tmp_path / "moving").network
    assert network.head.velocity and any(".velocity." in name for name in network.state_dict())
    detection(encoder(), dataset, dataset, detector=replace(TINY, velocity=False), out=tmp_path / "still", **given)
    assert "velocities" not in np.load(tmp_path / "still" / "predictions.npz")


def test_data_without_velocities_are_refused(tmp_path: Path) -> None:
    traffic = FolderScenes(write_traffic(tmp_path / "traffic"), "train")
    message = "found boxes without velocities in .*, expected them for detector.velocity: set it to false"
    with pytest.raises(ValueError, match=message):
        detection(encoder(), traffic, traffic, voxels=VOXELS, detector=TINY, recipe=SHORT, resources=CPU)
