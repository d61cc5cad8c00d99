"""Training and measuring detectors on toy traffic."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from crosspoint.eval.results import Result
from crosspoint.eval.supervised.box_scores import benchmark_scores, box_scores
from crosspoint.eval.supervised.boxed_frames import BoxedFrames, checked_boxes
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.detection import detection
from crosspoint.eval.supervised.detector_training import DetectionConfig, DetectorTraining
from crosspoint.scene.data.sample import Boxes, LidarSample
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.datasets.kitti_object import BOX_CLASSES, KittiObject
from crosspoint.scene.datasets.nuscenes import NuScenes
from crosspoint.scene.detection.box_augmentation import BoxAugmentation
from crosspoint.scene.detection.detector import DetectorConfig
from crosspoint.scene.detection.found_boxes import FoundBoxes
from crosspoint.scene.detection.object_sampling import ObjectSampling
from crosspoint.scene.detection.points_in_boxes import points_in_boxes
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.voxelnet import VoxelNet
from tests.eval.toy_traffic import NAMES, VOXELS, toy_frame, write_traffic
from tests.scene.datasets.test_nuscenes import FRONT
from tests.scene.datasets.test_nuscenes import write as write_nuscenes
from tests.scene.frames import boxes_of

KITTI = Path(__file__).parents[4] / "shared" / "data" / "kitti_object"
CPU = Resources(accelerator="cpu", evaluation_batch=2)
SMALL = DetectorConfig(widths=[8, 16], layers=[0, 0], up=8, center_width=8)
SHORT = DetectionConfig(epochs=2, batch_size=2)


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_traffic(tmp_path_factory.mktemp("data") / "traffic")


def encoder(seed: int = 0) -> VoxelNet:
    torch.manual_seed(seed)
    return VoxelNet(widths=(4, 8, 8, 8), out_channels=8, grid=(64, 64, 40)).eval()


def run(root: Path, **changes: object) -> Result:
    splits = {name: changes.pop(name, name) for name in ("train", "val")}
    given = {"voxels": VOXELS, "detector": SMALL, "recipe": SHORT, "resources": CPU, **changes}
    network = given.pop("encoder", None) or encoder()
    return detection(network, FolderScenes(root, splits["train"]), FolderScenes(root, splits["val"]), **given)


@pytest.mark.parametrize("head", ["center", "anchor"])
def test_the_same_arguments_give_the_same_result(head: str, traffic: Path, tmp_path: Path) -> None:
    config = replace(SMALL, head=head)
    first = run(traffic, detector=config, out=tmp_path / "out")
    again = run(traffic, detector=config)
    assert (first.metrics, first.records) == (again.metrics, again.records)
    assert [row["class"] for row in first.records[2:]] == NAMES
    assert [row["objects"] for row in first.records[2:]] == [4, 2]
    assert all(math.isfinite(row["train_loss"]) for row in first.records[:2])
    assert first.constants["boxes"] == 6 and first.constants["train"] == 4
    saved = np.load(tmp_path / "out" / "predictions.npz")
    assert sorted(saved) == ["boxes", "labels", "offsets", "scores"]
    assert len(saved["offsets"]) == 3 and saved["offsets"][-1] == len(saved["boxes"]) == len(saved["scores"])
    weights = load_file(tmp_path / "out" / "network.safetensors")
    assert any(name.startswith("encoder.stages") for name in weights)
    with pytest.raises(ValueError, match="found a trained network in"):
        run(traffic, detector=config, out=tmp_path / "out")


def test_an_interrupted_training_goes_on_exactly(
    traffic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(SHORT, sampling=ObjectSampling({"car": 3, "person": 3}))
    whole = run(traffic, recipe=recipe)
    step = DetectorTraining.training_step

    def interrupted(self: DetectorTraining, batch: object, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 1:
            raise RuntimeError("power is gone")
        return step(self, batch, batch_idx)

    monkeypatch.setattr(DetectorTraining, "training_step", interrupted)
    with pytest.raises(RuntimeError, match="power is gone"):
        run(traffic, recipe=recipe, out=tmp_path / "out")
    monkeypatch.setattr(DetectorTraining, "training_step", step)
    with pytest.raises(ValueError, match="of another network, data, recipe or seed"):
        run(traffic, recipe=SHORT, out=tmp_path / "out")
    resumed = run(traffic, recipe=recipe, out=tmp_path / "out")
    assert (resumed.metrics, resumed.records) == (whole.metrics, whole.records)
    assert not (tmp_path / "out" / "training.ckpt").exists()


def test_the_rate_goes_up_and_down_once(traffic: Path) -> None:
    result = run(traffic, recipe=replace(SHORT, epochs=5, learning_rate=0.01))
    rates = [row["learning_rate"] for row in result.records[:5]]
    assert rates[0] == pytest.approx(0.001)  # a tenth, before the first step
    assert max(rates) <= 0.01 and rates[2] > rates[0] and rates[4] < rates[2]


def test_a_share_of_the_frames_and_a_validation_split(traffic: Path) -> None:
    result = run(traffic, fraction=0.5, validation=FolderScenes(traffic, "train"))
    assert result.constants["train"] == 2 and result.constants["chosen_by"] == "validation_ap_3d"
    assert "validation_ap_3d" in result.metrics


def test_what_does_not_fit_is_said(traffic: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found a MinkUNet, which gives no map from above, expected .* VoxelNet"):
        run(traffic, encoder=MinkUNet.small())
    with pytest.raises(ValueError, match="found voxels without an extent"):
        run(traffic, voxels=replace(VOXELS, extent=None))
    with pytest.raises(ValueError, match=r"found no boxes in traffic, expected a dataset that has them"):
        detection(
            encoder(),
            FolderScenes(traffic, "train", boxes=False),
            FolderScenes(traffic, "val", boxes=False),
            voxels=VOXELS,
        )
    other = write_traffic(tmp_path / "other", {"val": range(1)})
    text = (other / "calibration.yaml").read_text().replace("person", "people")
    (other / "calibration.yaml").write_text(text)
    with pytest.raises(ValueError, match="expected the same names in the same order"):
        detection(encoder(), FolderScenes(traffic, "train"), FolderScenes(other, None), voxels=VOXELS)


def broken(**change: object) -> LidarSample:
    frame = toy_frame(0)
    geometry, labels = boxes_of(frame).geometry.clone(), boxes_of(frame).labels.clone()
    if "column" in change:
        geometry[1, change["column"]] = change["value"]
    if "label" in change:
        labels[2] = change["label"]
    return replace(frame, boxes=Boxes(geometry, labels))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"column": 3, "value": math.nan},
            "found 1 of 3 boxes of 0 with NaN or infinite numbers, expected finite ones",
        ),
        ({"column": 4, "value": -1.0}, "found a box of a negative size in 0, expected meters from 0"),
        ({"label": 2}, "found a box of the class number 2 in 0, expected 0 to 1, one of car, person"),
    ],
)
def test_broken_boxes_are_said(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_boxes(broken(**change), NAMES)


def test_a_frame_without_boxes_is_said() -> None:
    with pytest.raises(ValueError, match="found no boxes in 0, expected them: take a split that has them"):
        checked_boxes(replace(toy_frame(0), boxes=None), NAMES)


def test_boxes_outside_of_the_extent_are_left_out(traffic: Path) -> None:
    short = replace(VOXELS, extent=(0, -6.4, -4, 12.8, 0, 4))
    frames = BoxedFrames(FolderScenes(traffic, "train"), short)
    for index in range(4):
        geometry = boxes_of(toy_frame(index)).geometry
        assert torch.equal(boxes_of(frames[index, 0]).geometry, geometry[geometry[:, 1] < 0])
        assert bool(short.inside(frames[index, 0].points).all())


def test_what_is_drawn_depends_on_the_seed_alone(traffic: Path) -> None:
    settings = {"augmentation": BoxAugmentation(), "sampling": ObjectSampling({"car": 4})}
    frames = BoxedFrames(FolderScenes(traffic, "train"), VOXELS, **settings)
    first, again, other = (frames[1, seed] for seed in (5, 5, 6))
    assert torch.equal(first.points, again.points) and torch.equal(boxes_of(first).geometry, boxes_of(again).geometry)
    assert not torch.equal(boxes_of(first).geometry[0], boxes_of(other).geometry[0])


def said(boxes: Boxes, scores: list[float]) -> FoundBoxes:
    return FoundBoxes(boxes.geometry.float(), boxes.labels, torch.tensor(scores))


@pytest.mark.parametrize("count", [1, 3, 10, 40, 41, 50])
def test_perfect_answers_score_what_the_number_of_objects_allows(count: int) -> None:
    """AP R40 of n objects, all found and nothing else, is 100 (min(n, 41) − 1) / 40."""
    geometry = torch.zeros(count, 7, dtype=torch.float64)
    geometry[:, 0], geometry[:, 3:6], geometry[:, 6] = 6.0 * torch.arange(count), torch.tensor(SIZE), 0.4
    truth = Boxes(geometry, torch.zeros(count, dtype=torch.int64))
    scores = torch.linspace(0.9, 0.1, count).tolist()
    figures, rows = box_scores([said(truth, scores)], [truth], ["car", "person"])
    assert figures["ap_3d"] == figures["ap_bev"] == pytest.approx(100 * (min(count, 41) - 1) / 40)
    assert rows[1] == {"class": "person", "objects": 0, "least_overlap": None, "ap_3d": None, "ap_bev": None}


SIZE = [4.0, 1.6, 1.5]


def test_a_box_too_far_up_counts_from_above_alone() -> None:
    truth = boxes_of(toy_frame(0))
    lifted = truth.geometry.clone()
    lifted[:, 2] += 0.8
    figures, rows = box_scores([said(Boxes(lifted, truth.labels), [0.9, 0.8, 0.7])], [truth], NAMES)
    assert figures["ap_3d"] == 0
    assert [row["ap_bev"] for row in rows] == [pytest.approx(100 / 40), 0]  # two cars, and one person
    assert [row["least_overlap"] for row in rows] == [0.7, 0.5]


def test_scores_without_anything_to_find_are_refused() -> None:
    nothing = Boxes(torch.zeros(0, 7, dtype=torch.float64), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="found no box in 1 frames to measure on"):
        box_scores([said(nothing, [])], [nothing], NAMES)
    with pytest.raises(ValueError, match="found detections of 0 frames, expected 1"):
        box_scores([], [nothing], NAMES)


@pytest.mark.parametrize("head", ["center", "anchor"])
def test_a_detector_learns_a_few_frames_by_heart(head: str, tmp_path: Path) -> None:
    """Trained on two frames until it finds their four cars and two people, and nothing before them.

    Of people no anchor of so coarse a map may answer for: it overlaps none that stands between two.
    """
    root = write_traffic(tmp_path / "traffic", {"train": range(2)})
    torch.manual_seed(0)
    network = VoxelNet(widths=(8, 8, 16, 16), out_channels=32, grid=(64, 64, 40))
    config = DetectorConfig(head, widths=[32], layers=[1], up=32, center_width=16)
    recipe = DetectionConfig(epochs=200, batch_size=2, learning_rate=0.01, augmentation=None, norm_momentum=0.2)
    result = run(root, val="train", encoder=network, detector=config, recipe=recipe)
    car, person = (row["ap_3d"] for row in result.records[-2:])
    assert car == pytest.approx(100 * 3 / 40)
    assert head == "anchor" or person == pytest.approx(100 / 40)


@pytest.mark.skipif(not KITTI.is_dir(), reason="shared/data/kitti_object is not there")
def test_labels_as_answers_score_what_kittis_rules_allow() -> None:
    """Of n objects that count at a difficulty all are found: 100 (min(n, 41) − 1) / 40."""
    dataset = KittiObject(KITTI)
    indices = range(len(dataset))
    found = []
    for index in indices:
        boxes = boxes_of(dataset[index])
        scores = torch.linspace(0.9, 0.5, len(boxes.labels)) - 0.01 * index
        found.append(FoundBoxes(boxes.geometry.float(), boxes.labels, scores))
    figures = benchmark_scores(found, dataset, indices)
    for name, (height, occlusion, truncation) in {"easy": (40, 0, 0.15), "hard": (25, 2, 0.5)}.items():
        for kind in BOX_CLASSES:
            count = 0
            for index in indices:
                labels = dataset.labels(index)
                tall = labels.image_boxes[:, 3] - labels.image_boxes[:, 1] > height
                seen = (labels.occlusion <= occlusion) & (labels.truncation <= truncation)
                count += int((labels.of_class(kind) & tall & seen).sum())
            expected = 100 * max(0, min(count, 41) - 1) / 40
            assert figures[f"{kind.lower()}_3d_{name}"] == pytest.approx(expected)
            assert figures[f"{kind.lower()}_bev_{name}"] == pytest.approx(expected)
    assert benchmark_scores(found, FolderScenes.__new__(FolderScenes), indices) == {}


def test_labels_as_answers_score_all_that_nuscenes_can_see(tmp_path: Path) -> None:
    """AP 100 for the two classes that occur of ten; errors of 1 for what frames do not know."""
    root = write_nuscenes(tmp_path, ["scene-0001"])
    for path in (root / "samples").glob("*.bin"):  # of which two returns lie in the boxes, 4 m to the left
        np.array([[-4, 20, -1, 51, 1], [-4.2, 20, -1, 51, 1], [0, 10, 0, 51, 1]], dtype=np.float32).tofile(path)
    dataset = NuScenes(root, boxes=True, **FRONT)
    indices, found, counted = range(len(dataset)), [], set()
    for index in indices:
        frame, boxes = dataset[index], boxes_of(dataset[index])
        inside = points_in_boxes(frame.points, boxes.geometry).any(dim=0)
        counted |= set(boxes.labels[inside].tolist())
        found.append(FoundBoxes(boxes.geometry[inside].float(), boxes.labels[inside], torch.ones(int(inside.sum()))))
    figures = benchmark_scores(found, dataset, indices)
    assert counted and figures["map"] == pytest.approx(10.0 * len(counted))
    assert figures["mean_velocity_error"] == figures["mean_attribute_error"] == 1
    assert sum(value == pytest.approx(100) for name, value in figures.items() if name.endswith("_ap")) == len(counted)
