"""What trained networks say of LiDAR frames: as the protocol said it, in the formats of their datasets."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from crosspoint.cli.main import main
from crosspoint.eval import load_network, predict
from crosspoint.eval.embedding.sources import FrameSource
from crosspoint.eval.panoptic.panoptic_segmentation import panoptic_segmentation
from crosspoint.eval.prediction import Predictor
from crosspoint.eval.supervised.box_scores import nuscenes_answers
from crosspoint.eval.supervised.cloud_training import save_network
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.detection import detection
from crosspoint.eval.supervised.detector_training import DetectionConfig
from crosspoint.eval.supervised.network_record import frames_record
from crosspoint.eval.supervised.segmenter import SegmentationConfig, Segmenter
from crosspoint.eval.supervised.semantic_segmentation import semantic_segmentation
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.datasets.folder_writing import write_frame
from crosspoint.scene.datasets.kitti_labels import read_labels as read_kitti
from crosspoint.scene.datasets.kitti_object import KittiObject
from crosspoint.scene.datasets.nuscenes import BOX_CLASSES, NuScenes
from crosspoint.scene.datasets.nuscenes import CLASSES as NUSCENES
from crosspoint.scene.datasets.nuscenes_boxes import likely_attributes
from crosspoint.scene.datasets.nuscenes_results import read_results
from crosspoint.scene.datasets.semantickitti import CLASS_OF_LABEL, SemanticKitti
from crosspoint.scene.datasets.semanticposs import SemanticPoss
from crosspoint.scene.detection.detector import DetectorConfig, build_detector
from crosspoint.scene.models.voxelnet import VoxelNet
from tests.eval.panoptic import yards
from tests.eval.supervised.yard import CLASSES, VOXELS, Yard, tiny
from tests.eval.toy_traffic import VOXELS as TRAFFIC_VOXELS
from tests.eval.toy_traffic import write_traffic
from tests.refusals import command_refuses
from tests.scene.datasets.miniatures import KEPT, write_frames
from tests.scene.datasets.test_nuscenes import FRONT
from tests.scene.datasets.test_nuscenes import write as write_nuscenes
from tests.scene.datasets.test_semantickitti import write_sequence
from tests.scene.frames import labels_of

CPU = Resources(accelerator="cpu", evaluation_batch=2)
KITTI = Path(__file__).parents[4] / "shared" / "data" / "kitti_object"


def made_segmenter(folder: Path, frames: LidarDataset) -> Path:
    """A segmenter with random weights for the classes of a dataset."""
    torch.manual_seed(0)
    network = Segmenter(tiny(), nn.Linear(12, len(frames.classes)))
    record = frames_record("points", network.encoder, VOXELS, frames, {"standardize": False})
    save_network(folder, network, record, predicted=np.zeros(1))
    return folder


def predicted(network: Path, frames: LidarDataset) -> list[np.ndarray]:
    """The classes of the points of each frame, one frame after the other."""
    predictor = Predictor(load_network(network))
    predictions = [predictor(frames[index]).classes for index in range(len(frames))]
    assert all(classes is not None for classes in predictions)
    return [classes for classes in predictions if classes is not None]


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of labeled frames, and what a linear probe on it leaves."""
    root = tmp_path_factory.mktemp("yard")
    (root / "data").mkdir()
    (root / "data" / "calibration.yaml").write_text(f"cameras: []\nclasses: [{', '.join(CLASSES)}]\n")
    for index in range(5):
        frame = Yard(5)[index]
        write_frame(root / "data", LidarSample(f"{index}", frame.points, frame.point_fields))
    for mode, recipe in (
        ("linear", SegmentationConfig(epochs=20, batch_size=1, standardize=True, augment=False)),
        ("mlp", SegmentationConfig(epochs=20, batch_size=1, head_learning_rate=0.5, standardize=True, augment=False)),
        ("finetuned", SegmentationConfig(epochs=5, batch_size=1, head_learning_rate=0.2, norm_momentum=0.2)),
    ):
        frames = FolderScenes(root / "data")
        semantic_segmentation(
            tiny(), frames, frames, voxels=VOXELS, mode=mode, recipe=recipe, resources=CPU, out=root / mode
        )
    return root


@pytest.mark.parametrize("mode", ["linear", "mlp", "finetuned"])
def test_labels_of_points_are_those_of_the_protocol_and_the_reader_takes_them(
    mode: str, yard: Path, tmp_path: Path
) -> None:
    frames = FolderScenes(yard / "data")
    out = predict(FrameSource(frames), yard / mode, tmp_path / "out")
    (out / "calibration.yaml").write_bytes((yard / "data" / "calibration.yaml").read_bytes())
    (out / "points").symlink_to(yard / "data" / "points")
    again = FolderScenes(out)
    with np.load(yard / mode / "predictions.npz") as file:
        for index, (start, end) in enumerate(zip(file["offsets"][:-1], file["offsets"][1:], strict=True)):
            assert np.array_equal(labels_of(again[index]), file["predicted"][start:end])
        assert len({*file["predicted"].tolist()}) > 1
    facts = json.loads((out / "predictions.json").read_text())
    assert (facts["task"], facts["numbers"], facts["left_out"]) == ("points", [1, 2, 3, 4], [])


def test_an_interrupted_run_goes_on_with_the_same_bytes(
    yard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crosspoint.eval.prediction.run.FRAMES", 2)
    source = FrameSource(FolderScenes(yard / "data"))
    whole = predict(source, yard / "linear", tmp_path / "whole")
    plain, reads = FrameSource.read, []

    def stopped(self: FrameSource, index: int) -> LidarSample:
        if index == 3:
            raise KeyboardInterrupt
        reads.append(index)
        return plain(self, index)

    def counted(self: FrameSource, index: int) -> LidarSample:
        reads.append(index)
        return plain(self, index)

    monkeypatch.setattr(FrameSource, "read", stopped)
    with pytest.raises(KeyboardInterrupt):
        predict(source, yard / "linear", tmp_path / "cut")
    monkeypatch.setattr(FrameSource, "read", counted)
    predict(source, yard / "linear", tmp_path / "cut")
    assert reads == [0, 1, 2, 2, 3, 4]
    files = [sorted(path for path in folder.rglob("*") if path.is_file()) for folder in (whole, tmp_path / "cut")]
    assert [path.relative_to(whole) for path in files[0]] == [path.relative_to(tmp_path / "cut") for path in files[1]]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*files, strict=True)) and len(files[0]) == 6


def test_semantickitti_nuscenes_and_semanticposs_get_files_of_their_own(tmp_path: Path) -> None:
    write_sequence(tmp_path / "kitti", "11", 2)
    kitti = SemanticKitti(tmp_path / "kitti", "test")
    network = made_segmenter(tmp_path / "of_kitti", kitti)
    out = predict(FrameSource(kitti), network, tmp_path / "kitti_out")
    for number, classes in enumerate(predicted(network, kitti)):
        stored = np.fromfile(out / f"sequences/11/predictions/{number:06}.label", dtype="<u4")
        assert [CLASS_OF_LABEL[label] for label in stored.tolist()] == classes.tolist()

    nuscenes = NuScenes(write_nuscenes(tmp_path / "nuscenes", ["scene-0001"]), **FRONT)
    network = made_segmenter(tmp_path / "of_nuscenes", nuscenes)
    out = predict(FrameSource(nuscenes), network, tmp_path / "nuscenes_out")
    for path, classes in zip(sorted(out.glob("*_lidarseg.bin")), predicted(network, nuscenes), strict=True):
        assert np.fromfile(path, dtype=np.uint8).tolist() == (classes + 1).tolist()
    assert json.loads((out / "predictions.json").read_text())["numbers"] == [*range(1, len(NUSCENES) + 1)]

    write_frames(tmp_path / "poss" / "sequences" / "03", [4] * 5, 2)
    poss = SemanticPoss(tmp_path / "poss", "val")
    network = made_segmenter(tmp_path / "of_poss", poss)
    out = predict(FrameSource(poss), network, tmp_path / "poss_out")
    for number, classes in enumerate(predicted(network, poss), start=3):
        stored = np.fromfile(out / f"sequences/03/predictions/{number:06}.label", dtype="<u4")
        assert len(stored) == 5 and stored[1] == 0  # the second return met nothing
        assert [poss.class_of_label[label] for label in stored[KEPT].tolist()] == classes.tolist()


def test_frames_of_other_data_get_the_numbers_of_the_training_data(tmp_path: Path) -> None:
    write_sequence(tmp_path / "kitti", "11", 1)
    network = made_segmenter(tmp_path / "net", SemanticKitti(tmp_path / "kitti", "test"))
    out = predict(FrameSource(Yard(2, name="mine")), network, tmp_path / "out")
    (classes, _) = predicted(network, Yard(2, name="mine"))
    stored = np.fromfile(out / "labels" / "mine 0.label", dtype="<u4")
    assert [CLASS_OF_LABEL[label] for label in stored.tolist()] == classes.tolist()
    assert json.loads((out / "predictions.json").read_text())["format"] == "general"


def test_classes_and_objects_are_those_of_the_panoptic_protocol(tmp_path: Path) -> None:
    frames = yards.CrateYard(2)
    recipe = replace(yards.RECIPE, epochs=8, batch_size=1)
    panoptic_segmentation(
        yards.tiny(), frames, frames, voxels=yards.VOXELS, recipe=recipe, branch=yards.BRANCH,
        grouping=yards.GROUPING, resources=CPU, out=tmp_path / "net",
    )  # fmt: skip
    out = predict(FrameSource(frames), tmp_path / "net", tmp_path / "out")
    with np.load(tmp_path / "net" / "predictions.npz") as file:
        for index in range(2):
            stored = np.fromfile(out / "labels" / f"yard {index}.label", dtype="<u4")
            rows = slice(*file["offsets"][index : index + 2])
            assert np.array_equal((stored & 0xFFFF) - 1, file["predicted"][rows])
            assert np.array_equal(stored >> 16, file["instance"][rows])


def test_boxes_are_those_of_the_detection_protocol(tmp_path: Path) -> None:
    root = write_traffic(tmp_path / "traffic")
    torch.manual_seed(0)
    detection(
        VoxelNet(widths=(4, 8, 8, 8), out_channels=8, grid=(64, 64, 40)),
        FolderScenes(root, "train"), FolderScenes(root, "val"), voxels=TRAFFIC_VOXELS,
        detector=DetectorConfig(widths=[8, 16], layers=[0, 0], up=8, center_width=8, score=0.0),
        recipe=DetectionConfig(epochs=1, batch_size=2), resources=CPU, out=tmp_path / "net",
    )  # fmt: skip
    frames = FolderScenes(root, "val")
    out = predict(FrameSource(frames), tmp_path / "net", tmp_path / "out")
    with np.load(tmp_path / "net" / "predictions.npz") as file:
        for index in range(len(frames)):
            lines = [line.split() for line in (out / "boxes" / f"{4 + index}.txt").read_text().splitlines()]
            rows = slice(*file["offsets"][index : index + 2])
            assert [line[0] for line in lines] == [frames.box_classes[label] for label in file["labels"][rows]]
            values = np.array([line[1:] for line in lines], dtype=float)
            assert len(values) and np.allclose(values[:, :7], file["boxes"][rows], rtol=1e-5)
            assert np.allclose(values[:, 7], file["scores"][rows], rtol=1e-5)


@pytest.mark.skipif(not KITTI.is_dir(), reason="shared/data/kitti_object is not there")
def test_boxes_of_kitti_are_its_result_files(tmp_path: Path) -> None:
    frames = KittiObject(KITTI)
    torch.manual_seed(0)
    config = DetectorConfig(widths=[8, 16], layers=[0, 0], up=8, center_width=8, score=0.0)
    network = build_detector(
        VoxelNet(widths=(4, 8, 8, 8), out_channels=8, grid=(64, 64, 40)), frames.box_classes, TRAFFIC_VOXELS, config
    )
    head = {"detector": {"widths": [8, 16], "layers": [0, 0], "up": 8, "center_width": 8, "score": 0.0}}
    record = frames_record("boxes", network.encoder, TRAFFIC_VOXELS, frames, head)
    save_network(tmp_path / "net", network, record, predicted=np.zeros(1))
    frames.keep_frames([0])
    out = predict(FrameSource(frames), tmp_path / "net", tmp_path / "out")
    (path,) = out.glob("*.txt")
    found = read_kitti(path)
    assert found.scores is not None and {*found.names} <= {*frames.box_classes}


def test_boxes_of_nuscenes_are_one_file_of_all_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = NuScenes(write_nuscenes(tmp_path / "nuscenes", ["scene-0001", "scene-0002"]), boxes=True, **FRONT)
    torch.manual_seed(0)
    head = {"widths": [8, 16], "layers": [0, 0], "up": 8, "center_width": 8, "score": 0.0, "velocity": True}
    network = build_detector(
        VoxelNet(widths=(4, 8, 8, 8), out_channels=8, grid=(64, 64, 40)), BOX_CLASSES, TRAFFIC_VOXELS,
        DetectorConfig(**head),
    )  # fmt: skip
    record = frames_record("boxes", network.encoder, TRAFFIC_VOXELS, frames, {"detector": head})
    save_network(tmp_path / "net", network, record, predicted=np.zeros(1))
    plain = FrameSource.read

    def broken(self: FrameSource, index: int) -> LidarSample:
        if index == 1:
            raise ValueError("found no sweep")
        return plain(self, index)

    monkeypatch.setattr(FrameSource, "read", broken)
    unlabeled = NuScenes(frames.root, **FRONT)  # as a test split is
    out = predict(FrameSource(unlabeled), tmp_path / "net", tmp_path / "out", skip_incomplete=True)
    assert {path.name for path in out.iterdir()} == {"results_nusc.json", "predictions.json"}
    found = read_results(out / "results_nusc.json")
    assert [*found] == [f"scene-000{scene}-{number}" for scene in (1, 2) for number in (0, 1)]
    assert len(found["scene-0001-1"]) == 0  # the server wants every sample
    predictor = Predictor(load_network(tmp_path / "net"))
    for index in (0, 2, 3):
        sample, boxes = found[frames.sample_token(index)], predictor(frames[index]).boxes
        assert boxes is not None and len(sample) == min(len(boxes.scores), 500) > 0
        expected = nuscenes_answers(frames[index].pose, boxes)
        np.testing.assert_allclose(sample.geometry[:, :6], expected.geometry[:, :6])
        np.testing.assert_allclose(sample.velocity, expected.velocity)
        assert sample.attributes.tolist() == likely_attributes(sample.labels, sample.velocity).tolist()
    facts = json.loads((out / "predictions.json").read_text())
    assert facts["format"] == f"of {unlabeled.name}" and facts["left_out"] == ["000001"]

    elsewhere = predict(FrameSource(Yard(1, name="mine")), tmp_path / "net", tmp_path / "general")
    lines = (elsewhere / "boxes" / "mine 0.txt").read_text().splitlines()
    boxes = predictor(Yard(1, name="mine")[0]).boxes
    assert boxes is not None and boxes.velocities is not None
    values = np.array([line.split()[1:] for line in lines], dtype=float)
    np.testing.assert_allclose(values[:, 8:], boxes.velocities, rtol=1e-4, atol=1e-6)


def test_the_command_writes_what_python_does(yard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", yard / "data", tmp_path / "out", "--checkpoint", yard / "finetuned", "--jobs", 1]
    command_refuses(capsys, [*words, "--device", "cpu"], "expected its dataset's name: give --dataset")
    command_refuses(capsys, [*words, "--dataset", "holder"], "holder")
    assert main([*map(str, words), "--device", "cpu", "--dataset", "folder"]) == 0
    expected = predict(FrameSource(FolderScenes(yard / "data")), yard / "finetuned", tmp_path / "python")
    for path in sorted((expected / "labels").iterdir()):
        assert (tmp_path / "out" / "labels" / path.name).read_bytes() == path.read_bytes()
    assert (tmp_path / "out" / "predictions.json").read_bytes() == (expected / "predictions.json").read_bytes()


def test_a_network_of_objects_and_one_of_frames_are_not_mixed_up(yard: Path, tmp_path: Path) -> None:
    predictor = Predictor(load_network(yard / "linear"))
    with pytest.raises(ValueError, match=r"found a network of frames in .* for a cloud, expected one for such data"):
        predictor(np.zeros((10, 3)), "cloud")


def test_a_name_that_leaves_the_folder_is_refused(yard: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found the name .*\.\./up 0\.label of a frame, expected one below"):
        predict(FrameSource(Yard(1, name="../up")), yard / "linear", tmp_path / "out")
