from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosspoint.scene.data.sample import Boxes
from crosspoint.scene.datasets.kitti_object import KittiObject, read_boxes
from tests.scene.frames import labels_of, returns

DATA = Path(__file__).parents[4] / "shared" / "data" / "kitti_object"
POINTS = np.array([[10, 0, 0, 0.5], [10, 2, 1, 0.25], [20, -4, -1, 0]], dtype=np.float32)
CALIBRATION = (
    "P2: 100 0 50 5 0 100 30 0 0 0 1 0\nR0_rect: 1 0 0 0 1 0 0 0 1\nTr_velo_to_cam: 0 -1 0 0 0 0 -1 -0.1 1 0 0 -0.3\n"
)
LABELS = "Car 0 0 0 1 2 3 4 1.5 1.8 4.0 -2.0 1.6 9.7 -1.5707963267948966\nVan 0 0 0 1 2 3 4 1 1 1 1 1 9 0\n"


def write_frames(root: Path, count: int = 4) -> Path:
    for folder in ("calib", "image_2", "label_2", "velodyne"):
        (root / "training" / folder).mkdir(parents=True)
    for number in range(count):
        name = f"{number:06}"
        POINTS.tofile(root / "training" / "velodyne" / f"{name}.bin")
        (root / "training" / "calib" / f"{name}.txt").write_text(CALIBRATION)
        (root / "training" / "label_2" / f"{name}.txt").write_text(LABELS)
        Image.new("RGB", (100, 60 + number)).save(root / "training" / "image_2" / f"{name}.png")
    return root


def test_points_and_boxes_come_to_the_lidar_frame(tmp_path: Path) -> None:
    frame = KittiObject(write_frames(tmp_path))[1]
    pixels, depth = frame.cameras.project(torch.from_numpy(POINTS[:, :3]))
    x, y, z = POINTS[:, :3].T.astype(np.float64)
    assert np.allclose(depth[0], x - 0.3)
    expected = [100 * (-y + 0.05) / (x - 0.3) + 50.5, 100 * (-z - 0.1) / (x - 0.3) + 30.5]
    assert np.allclose(pixels[0], np.stack(expected, axis=1))
    assert frame.cameras.size == (61, 100)
    assert frame.boxes is not None and labels_of(frame) is None
    assert frame.boxes.labels.tolist() == [0]
    # bottom face 1.6 m below the camera, which is 0.1 m below the LiDAR; turned by −90° it looks ahead
    assert np.allclose(frame.boxes.geometry, [[10.0, 2.0, -1.7 + 0.75, 4.0, 1.8, 1.5, 0.0]])


def test_headings_are_those_of_openpcdet(tmp_path: Path) -> None:
    """https://github.com/open-mmlab/OpenPCDet takes −(turn + 90°), which is exact where the camera looks along x."""
    axes = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    for turn in np.linspace(-3, 3, 13):
        (tmp_path / "a.txt").write_text(f"Cyclist 0 0 0 1 2 3 4 1 1 2 0 0 9 {turn}\n")
        heading = read_boxes(tmp_path / "a.txt", axes).geometry[0, 6]
        assert math.isclose(math.cos(heading + turn + math.pi / 2), 1, abs_tol=1e-12)


def test_detections_are_stated_as_the_labels_are(tmp_path: Path) -> None:
    dataset = KittiObject(write_frames(tmp_path))
    frame, labels = dataset[1], dataset.labels(1)
    assert frame.boxes is not None and labels.names == ("Car", "Van")
    again = dataset.results(1, frame.boxes, torch.tensor([0.9]))
    assert again.names == ("Car",) and again.scores is not None and again.scores.tolist() == [pytest.approx(0.9)]
    assert again.positions[0] == pytest.approx(labels.positions[0])
    assert again.sizes[0] == pytest.approx(labels.sizes[0])
    assert again.rotation_y[0] == pytest.approx(labels.rotation_y[0])
    assert (again.image_boxes[0] <= [99, 60, 99, 60]).all()  # of this frame's image
    nothing = Boxes(torch.zeros(0, 7), torch.zeros(0, dtype=torch.int64))
    assert len(dataset.results(0, nothing, torch.zeros(0))) == 0


def test_splits(tmp_path: Path) -> None:
    root = write_frames(tmp_path)
    assert len(KittiObject(root)) == 4
    assert len(KittiObject(root, skip=3)) == 2
    with pytest.raises(FileNotFoundError, match=r"found no file .*ImageSets/train.txt"):
        KittiObject(root, "train")
    (root / "ImageSets").mkdir()
    (root / "ImageSets" / "train.txt").write_text("000003\n000000\n")
    assert [frame.name for frame in KittiObject(root, "train")] == ["training/000000", "training/000003"]
    (root / "ImageSets" / "train.txt").write_text("000003\n000007\n")
    with pytest.raises(ValueError, match=r"found 2 numbers in .*, 1 without a sweep, the first 000007"):
        KittiObject(root, "train")
    (root / "ImageSets" / "train.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"found 0 numbers"):
        KittiObject(root, "train")
    with pytest.raises(FileNotFoundError, match=r"found no folder .*testing/velodyne"):
        KittiObject(root, part="testing")
    (root / "training").rename(root / "testing")
    assert KittiObject(root, part="testing")[0].boxes is None


@pytest.mark.parametrize(
    "line",
    ["Car 0 0 0 1 2 3 4 1.5 1.8 4.0 -2.0 1.6 9.7", "Car 0 0 0 1 2 3 4 1.5 1.8 x -2.0 1.6 9.7 0", "Car"],
)
def test_broken_labels_are_refused(tmp_path: Path, line: str) -> None:
    root = write_frames(tmp_path, 1)
    (root / "training" / "label_2" / "000000.txt").write_text(line)
    with pytest.raises(ValueError, match=r"found the line 'Car.* expected a class and 14 numbers"):
        KittiObject(root)[0]


def corners(box: np.ndarray) -> np.ndarray:
    """(8, 3) of one box."""
    x, y, z, length, width, height, heading = box
    signs = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]) / 2
    c, s = math.cos(heading), math.sin(heading)
    return signs * [length, width, height] @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + [x, y, z]


def inside(points: np.ndarray, box: np.ndarray) -> int:
    c, s = math.cos(box[6]), math.sin(box[6])
    local = (points[:, :3] - box[:3]) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return int((np.abs(local) < box[3:6] / 2).all(axis=1).sum())


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the KITTI object frames in {DATA}")
def test_real_boxes_hold_points_and_match_the_boxes_drawn_in_the_image() -> None:
    dataset, boxes, counts = KittiObject(DATA), 0, []
    assert len(dataset) == 5
    for index, frame in enumerate(dataset):
        assert isinstance(frame.boxes, Boxes)
        lines = [line.split() for line in dataset.files(index)[3].read_text().splitlines()]
        lines = [line for line in lines if line[0] in dataset.box_classes]
        assert [dataset.box_classes[label] for label in frame.boxes.labels] == [line[0] for line in lines]
        for line, box in zip(lines, frame.boxes.geometry.numpy(), strict=True):
            counts.append(inside(returns(frame), box))
            if line[0] == "Pedestrian" or float(line[1]) > 0:
                continue  # drawn by hand around their limbs, or cut off by the image's border
            pixels = frame.cameras.project(torch.from_numpy(corners(box)))[0][0].numpy() - 0.5
            drawn = np.array(line[4:8], dtype=float)
            found = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
            overlap = np.prod(np.minimum(found[2:], drawn[2:]) - np.maximum(found[:2], drawn[:2]))
            areas = np.prod(found[2:] - found[:2]) + np.prod(drawn[2:] - drawn[:2])
            assert overlap / (areas - overlap) > 0.95
            boxes += 1
    assert boxes == 13
    assert min(counts) > 0 and np.median(counts) > 40


def test_calibrations_of_the_tracking_benchmark_have_shorter_keys_and_fewer_colons(tmp_path: Path) -> None:
    """As https://github.com/utiasSTARS/pykitti/issues/73 has them."""
    root = write_frames(tmp_path)
    plain = KittiObject(root)[0].cameras
    for path in (root / "training" / "calib").iterdir():
        shorter = CALIBRATION.replace("R0_rect:", "R_rect").replace("Tr_velo_to_cam:", "Tr_velo_cam")
        path.write_text(shorter)
    tracked = KittiObject(root)[0].cameras
    assert all(torch.equal(getattr(tracked, part), getattr(plain, part)) for part in ("K", "R", "t"))
