from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.synthetic.asset import BOX_CLASSES, CLASSES
from crosspoint.scene.synthetic.dataset import SyntheticScenes
from crosspoint.scene.synthetic.lidar import Lidar
from crosspoint.scene.synthetic.writing import write_scenes
from tests.scene.frames import instances_of, labels_of, returns

LIDAR = Lidar(beams=16, columns=360)
SMALL = {"frames": 3, "size": (48, 160), "lidar": LIDAR}


@pytest.fixture(scope="module")
def scenes() -> SyntheticScenes:
    return SyntheticScenes("train", 2, **SMALL)


def same(a: LidarSample, b: LidarSample) -> bool:
    return returns(a).tobytes() == returns(b).tobytes() and torch.equal(a.images, b.images)


def test_a_frame_keeps_the_contract(scenes: SyntheticScenes) -> None:
    dataset: LidarDataset = scenes
    frame = dataset[1]
    count = len(returns(frame))
    assert returns(frame).dtype == np.float32 and returns(frame).shape == (count, 4) and count > 1000
    assert labels_of(frame).shape == instances_of(frame).shape == (count,)
    assert labels_of(frame).dtype == instances_of(frame).dtype == np.int64 and frame.boxes.labels.dtype == torch.int64
    assert frame.images.shape == (1, 3, 48, 160) and frame.images.dtype == torch.uint8
    assert 0 <= returns(frame)[:, 3].min() and returns(frame)[:, 3].max() <= 1
    assert 0 <= labels_of(frame).min() and labels_of(frame).max() < len(dataset.classes) == len(CLASSES)
    assert len(dataset) == 6 and frame.name == "train_00000_0001"
    pair = pair_points(frame, occlusion=0.5)
    assert len(pair.pair_point) > 100


def test_boxes_hold_the_points_of_their_instances(scenes: SyntheticScenes) -> None:
    for index in (0, 2):
        frame = scenes[index]
        numbers = np.unique(instances_of(frame)[instances_of(frame) > 0])
        assert np.array_equal(numbers, 1 + np.arange(len(frame.boxes.labels)))
        things = [CLASSES.index(name) for name in BOX_CLASSES]
        np.testing.assert_array_equal(instances_of(frame) > 0, np.isin(labels_of(frame), things))
        total = inside = 0
        for i, (box, label) in enumerate(zip(frame.boxes.geometry.numpy(), frame.boxes.labels, strict=True), start=1):
            own = returns(frame)[instances_of(frame) == i, :3]
            assert CLASSES[labels_of(frame)[instances_of(frame) == i][0]] == BOX_CLASSES[label]
            c, s = np.cos(box[6]), np.sin(box[6])
            local = (own - box[:3]) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
            total, inside = total + len(own), inside + (np.abs(local) <= box[3:6] / 2 + 0.06).all(axis=1).sum()
            assert -np.pi <= box[6] < np.pi
        assert inside >= 0.99 * total > 50


def test_boxes_of_two_frames_coincide_in_the_world(scenes: SyntheticScenes) -> None:
    poses = scenes.poses(0)
    found = []
    for number in (0, 2):
        geometry, pose = scenes[number].boxes.geometry.numpy(), poses[number]
        np.testing.assert_array_equal(scenes[number].pose, pose)
        centers = geometry[:, :3] @ pose[:3, :3].T + pose[:3, 3]
        ahead = np.column_stack([np.cos(geometry[:, 6]), np.sin(geometry[:, 6]), 0 * geometry[:, 6]])
        found.append(np.column_stack([centers, geometry[:, 3:6], ahead @ pose[:3, :3].T]))
    difference = np.abs(found[0][:, None] - found[1][None]).max(axis=2)
    assert (difference.min(axis=1) < 1e-9).sum() > 5
    assert scenes[0].boxes.geometry[:, :3].abs().max() > 5  # the frames' own coordinates differ


def test_a_frame_is_its_seed_and_numbers_whatever_was_read_before(scenes: SyntheticScenes) -> None:
    scenes.world(0)
    sent = pickle.loads(pickle.dumps(scenes))  # as to a worker
    first = sent[1], scenes[0], scenes[1]
    assert same(first[0], first[2]) and same(scenes[-5], first[2])
    last = sent[4]
    others = [SyntheticScenes("val", 1, **SMALL)[1], SyntheticScenes("train", 1, seed=1, **SMALL)[1]]
    for other in [*others, first[1], last]:
        assert not same(other, first[2])


def test_more_cameras_are_more_images_of_the_same_sweep(scenes: SyntheticScenes) -> None:
    around = SyntheticScenes("train", 1, views=3, **SMALL)[0]
    assert around.images.shape == (3, 3, 48, 160) and len(around.cameras) == 3
    assert returns(around).tobytes() == returns(scenes[0]).tobytes()
    assert torch.equal(around.images[0], scenes[0].images[0])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("written")
    assert write_scenes(root, train=1, val=1, jobs=2, **SMALL) == 6
    return root


def test_written_scenes_are_those_made_on_the_fly_with_any_number_of_jobs(
    scenes: SyntheticScenes, written: Path, tmp_path: Path
) -> None:
    assert write_scenes(tmp_path, train=1, val=1, jobs=1, **SMALL) == 6
    files = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert len(files) == 6 * 4 + 5  # points, image, labels, boxes; rig, arguments, poses and two splits
    for file in files:
        assert (tmp_path / file).read_bytes() == (written / file).read_bytes()
    folder = FolderScenes(written, "train")
    assert folder.classes == scenes.classes and len(folder) == 3
    for index in (0, 2):
        read, made = folder[index], scenes[index]
        assert same(read, made) and read.name == made.name
        np.testing.assert_array_equal(labels_of(read), labels_of(made))
        np.testing.assert_array_equal(instances_of(read), instances_of(made))
        np.testing.assert_array_equal(read.boxes.geometry, made.boxes.geometry)
        np.testing.assert_array_equal(read.cameras.t, made.cameras.t)
        np.testing.assert_array_equal(read.pose, made.pose)
    np.testing.assert_array_equal(folder.poses()["train_00000_0002"], scenes.poses(0)[2])
    assert len(FolderScenes(written, "val")) == 3


def test_a_run_that_was_stopped_goes_on(written: Path) -> None:
    lost, kept = (written / "points" / f"train_00000_000{i}.bin" for i in (1, 0))
    before, written_at = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    assert write_scenes(written, train=1, val=1, jobs=1, **SMALL) == 1
    assert lost.read_bytes() == before and kept.stat().st_mtime_ns == written_at
    assert write_scenes(written, train=1, val=1, jobs=1, **SMALL) == 0
    with pytest.raises(ValueError, match="give a new folder"):
        write_scenes(written, train=1, val=1, jobs=1, **{**SMALL, "frames": 2})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "test"}, "found the split 'test', expected one of: train, val"),
        ({"sequences": 0}, "found 0 sequences"),
        ({"frames": 0}, "of 0 frames"),
        ({"seed": -1}, "the seed -1"),
        ({"spacing": 0.0}, "0.0 m apart"),
        ({"views": 9}, "found 9 cameras"),
        ({"size": (0, 640)}, "image size of 0×640"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SyntheticScenes(**arguments)


def test_writing_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected some of each"):
        write_scenes(tmp_path, train=0, val=0)
    with pytest.raises(IndexError, match="found the frame 20"):
        SyntheticScenes(sequences=2)[20]
