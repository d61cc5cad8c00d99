from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.datasets.folder import FolderScenes, write_frame, write_poses, write_rig, write_split
from crosspoint.scene.datasets.rig import read_rig
from tests.scene.frames import instances_of, labels_of, made_boxes, made_frame, returns, with_field

CLASSES, BOX_CLASSES = ["road", "car", "traffic sign"], ["car", "small bus"]


def cameras() -> Cameras:
    """Two that look ahead and to the left, in a LiDAR's frame."""
    K = torch.tensor([[[40.5, 0, 32.25], [0, 41, 24.125], [0, 0, 1]]]).repeat(2, 1, 1)
    angle = 0.3
    ahead = torch.tensor([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]], dtype=torch.float64)
    c, s = np.cos(angle), np.sin(angle)
    turn = torch.tensor([[c, s, 0], [-s, c, 0], [0, 0, 1]], dtype=torch.float64)
    return Cameras(K, torch.stack([ahead, ahead @ turn]), torch.tensor([[0.1, 0.2, -0.3], [0, 0, 0]]), (48, 64))


def frame(name: str = "000000", seed: int = 0) -> LidarSample:
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.uniform(-20, 20, (50, 3)), rng.uniform(0, 1, (50, 1))], axis=1).astype(np.float32)
    geometry = rng.normal(size=(3, 7))
    geometry[:, 3:6] = np.abs(geometry[:, 3:6])
    boxes = made_boxes(geometry, np.array([0, 1, 1]))
    images = torch.from_numpy(rng.integers(0, 256, (2, 3, 48, 64), dtype=np.uint8))
    labels, instances = rng.integers(-1, 3, 50), rng.integers(0, 0x10000, 50)
    return made_frame(name, points, images, cameras(), labels, instances, boxes)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_rig(tmp_path, cameras(), CLASSES, BOX_CLASSES, ["front", "left"])
    return tmp_path


def test_frames_come_back_as_they_were_written(root: Path) -> None:
    frames = [frame("b_1", 1), frame("a_1", 0)]
    for written in frames:
        write_frame(root, written)
    dataset = FolderScenes(root)
    assert (dataset.classes, dataset.box_classes, len(dataset)) == (CLASSES, BOX_CLASSES, 2)
    for read, written in zip(dataset, reversed(frames), strict=True):
        assert read.name == written.name
        assert np.array_equal(returns(read), returns(written))
        assert torch.equal(read.images, written.images)
        for ours, theirs in zip(
            (read.cameras.K, read.cameras.R, read.cameras.t), (cameras().K, cameras().R, cameras().t), strict=True
        ):
            assert torch.equal(ours, theirs)
        assert labels_of(read) is not None and np.array_equal(labels_of(read), labels_of(written))
        assert instances_of(read) is not None and np.array_equal(instances_of(read), instances_of(written))
        assert read.boxes is not None and np.array_equal(read.boxes.geometry, written.boxes.geometry)
        assert np.array_equal(read.boxes.labels, written.boxes.labels)
        assert {part.dtype for part in (*read.point_fields.values(), read.boxes.labels)} == {torch.float32, torch.int64}
    assert all(path.is_file() for path in dataset.files(0))
    assert len(dataset.files(0)) == 5


def test_labels_and_boxes_may_be_left_out(root: Path) -> None:
    write_frame(root, replace(with_field(with_field(frame(), "label", None), "instance", None), boxes=None))
    read = FolderScenes(root)[0]
    assert (labels_of(read), instances_of(read), read.boxes) == (None, None, None)


def test_no_box_is_not_no_boxes(root: Path) -> None:
    write_frame(root, replace(frame(), boxes=made_boxes(np.zeros((0, 7)), np.zeros(0, dtype=np.int64))))
    boxes = FolderScenes(root)[0].boxes
    assert boxes is not None and boxes.geometry.shape == (0, 7)


def test_splits_and_poses(root: Path) -> None:
    for number in range(5):
        write_frame(root, frame(f"{number}"))
    write_split(root, "train", ["3", "0", "1"])
    assert FolderScenes(root, "train").names == ["0", "1", "3"]
    assert FolderScenes(root, "train", skip=2).names == ["0", "3"]
    with pytest.raises(FileNotFoundError, match=r"found no file .*val.txt, expected the names of the split 'val'"):
        FolderScenes(root, "val")
    write_split(root, "val", ["4", "5"])
    with pytest.raises(ValueError, match=r"found 1 names in .*val.txt without points, the first 5"):
        FolderScenes(root, "val")
    write_split(root, "val", [])
    with pytest.raises(ValueError, match=r"found no name in .*val.txt"):
        FolderScenes(root, "val")
    pose = np.eye(4)
    pose[:3] = cameras().R[1].numpy() @ np.eye(3, 4) + np.pi * np.eye(3, 4, 3)[:, :4]
    write_poses(root, {"0": pose, "1 a": np.eye(4)})
    poses = FolderScenes(root).poses()
    assert list(poses) == ["0", "1 a"]
    assert np.array_equal(poses["0"], pose)


def test_a_frame_is_whole_or_not_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("PIL.Image.Image.save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_frame(root, frame())
    assert [path for path in root.rglob("*") if path.is_file()] == [root / "calibration.yaml"]


def test_frames_that_do_not_fit_the_rig_are_refused(root: Path) -> None:
    good = frame()
    with pytest.raises(ValueError, match=r"with other cameras than the rig's"):
        write_frame(root, replace(good, cameras=good.cameras[[1, 0]]))
    with pytest.raises(ValueError, match=r"expected a name that files can have"):
        write_frame(root, replace(good, name="a/b"))
    with pytest.raises(ValueError, match=r"with the point field label from 3 to 3, expected -1 to 2"):
        write_frame(root, with_field(good, "label", np.full(50, 3)))
    with pytest.raises(ValueError, match=r"with the point field instance from 65536 to 65536, expected 0 to 65535"):
        write_frame(root, with_field(good, "instance", np.full(50, 0x10000)))
    with pytest.raises(ValueError, match=r"with other cameras than the rig's"):
        write_frame(root, good.keep_views(torch.tensor([0])))
    with pytest.raises(ValueError, match=r"with boxes of the labels 2, expected"):
        write_frame(root, replace(good, boxes=made_boxes(np.zeros((1, 7)), np.array([2]))))
    with pytest.raises(ValueError, match=r"found another rig .* give a new folder"):
        write_rig(root, cameras(), CLASSES[:1], BOX_CLASSES, ["front", "left"])
    write_rig(root, cameras(), CLASSES, BOX_CLASSES, ["front", "left"])
    assert not (root / "points").exists()


def test_broken_frames_are_refused(root: Path) -> None:
    write_frame(root, frame())
    dataset = FolderScenes(root)
    (root / "boxes" / "000000.txt").write_text("van 0 0 0 1 1 1 0\n")
    with pytest.raises(ValueError, match=r"found the class 'van' in .* box_classes: car, small bus"):
        dataset[0]
    (root / "boxes" / "000000.txt").write_text("car 0 0 0 1 1 nan 0\n")
    with pytest.raises(ValueError, match=r"found the line 'car 0 0 0 1 1 nan 0' in .* 7 finite numbers"):
        dataset[0]
    np.full(50, 4, dtype=np.uint32).tofile(root / "labels" / "000000.label")
    with pytest.raises(ValueError, match=r"found the label 4 in .* expected one of: 0, 1, 2, 3"):
        dataset[0]
    (root / "labels" / "000000.label").unlink()
    with pytest.raises(FileNotFoundError, match=r"found no file .*000000.label"):
        FolderScenes(root, labels=True)[0]


def test_a_rig_with_pixel_centres_at_integers(root: Path) -> None:
    content = yaml.safe_load((root / "calibration.yaml").read_text())
    del content["pixel_centres"]
    content["intensity_scale"] = 255
    (root / "calibration.yaml").write_text(yaml.safe_dump(content))
    rig = read_rig(root)
    assert torch.equal(rig.cameras.K[:, :2, 2], cameras().K[:, :2, 2] + 0.5)
    write_frame(root, replace(frame(), cameras=rig.cameras))
    raw = np.fromfile(root / "points" / "000000.bin", dtype=np.float32).reshape(-1, 4)
    assert raw[:, 3].max() > 200
    assert np.allclose(returns(FolderScenes(root)[0]), returns(frame()), atol=1e-6)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"cameras": None}, "found None at cameras in .*, expected a list"),
        ({"lenses": 3}, "found the keys lenses"),
        ({"pixel_centres": "corner"}, "found 'corner' at pixel_centres in"),
        ({"intensity_scale": 0}, "found 0 at intensity_scale in"),
        ({"classes": ["car", "car"]}, "expected each name once"),
        ({"classes": "car"}, "found 'car' at classes in .*, expected a list"),
    ],
)
def test_broken_rigs_are_refused(root: Path, broken: dict[str, object], message: str) -> None:
    content = yaml.safe_load((root / "calibration.yaml").read_text())
    (root / "calibration.yaml").write_text(yaml.safe_dump(content | broken))
    with pytest.raises(ValueError, match=message):
        read_rig(root)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("K", None, "found no K in a camera of"),
        ("K", [[1, 0], [0, 1]], "calibration.yaml: found intrinsics"),
        ("lidar_to_camera", [[0.0] * 4] * 4, "calibration.yaml: found a transform"),
        ("size", [64], r"found \[64\] at cameras\[0\].size"),
        ("size", [0, 64], r"found 0 at cameras\[0\].size\[0\]"),
        ("name", "../front", "expected names of folders"),
    ],
)
def test_broken_cameras_are_refused(root: Path, key: str, value: object, message: str) -> None:
    content = yaml.safe_load((root / "calibration.yaml").read_text())
    content["cameras"][0][key] = value
    if value is None:
        del content["cameras"][0][key]
    (root / "calibration.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=message):
        read_rig(root)


def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"found no file .*calibration.yaml, expected the rig's calibration"):
        FolderScenes(tmp_path)
    (tmp_path / "calibration.yaml").write_text("cameras: [}")
    with pytest.raises(ValueError, match=r"found no YAML in .*calibration.yaml"):
        FolderScenes(tmp_path)
    (tmp_path / "calibration.yaml").write_text("- a")
    with pytest.raises(ValueError, match=r"found list in .*, expected the keys cameras"):
        FolderScenes(tmp_path)


@pytest.mark.parametrize("key", ["D", "distortion", "k1"])
def test_a_lens_is_to_be_undone_first(root: Path, key: str) -> None:
    content = yaml.safe_load((root / "calibration.yaml").read_text())
    content["cameras"][0][key] = [0.1, 0.2, 0, 0, 0]
    (root / "calibration.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=rf"found the keys {key} in .*: undistort the images first"):
        read_rig(root)
