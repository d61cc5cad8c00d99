from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.datasets.semantickitti import CLASSES, SPLITS, SemanticKitti, read_poses
from tests.scene.frames import instances_of, labels_of, returns

DATA = Path(__file__).parents[4] / "shared" / "data" / "semantickitti_scan"
POINTS = np.array([[10, 0, 0, 0.5], [10, 2, 1, 0.25], [20, -4, -1, 0], [5, 5, 5, 1], [9, 9, 9, 0]], dtype=np.float32)
LABELS = np.array([252 | 3 << 16, 10 | 3 << 16, 40, 30 | 3 << 16, 10 | 3 << 16], dtype=np.uint32)
CALIBRATION = "P0: 1 0 0 0 0 1 0 0 0 0 1 0\nP2: 100 0 50 5 0 100 30 0 0 0 1 0\nTr: 0 -1 0 0 0 0 -1 0 1 0 0 -0.5\n"


def write_sequence(root: Path, name: str, count: int = 3, images: bool = False) -> Path:
    folder = root / "sequences" / name
    for kind in ("velodyne", "labels", *["image_2"] * images):
        (folder / kind).mkdir(parents=True)
    for number in range(count):
        POINTS.tofile(folder / "velodyne" / f"{number:06}.bin")
        LABELS.tofile(folder / "labels" / f"{number:06}.label")
        if images:
            Image.new("RGB", (100, 60), (number, 0, 0)).save(folder / "image_2" / f"{number:06}.png")
    (folder / "calib.txt").write_text(CALIBRATION)
    return folder


def test_frames_with_images(tmp_path: Path) -> None:
    write_sequence(tmp_path, "08", images=True)
    frame = SemanticKitti(tmp_path, "val")[2]
    assert frame.name == "08/000002"
    assert (frame.images[:, 0] == 2).all()
    pixels, _ = frame.cameras.project(torch.from_numpy(POINTS[:, :3]))
    x, y, z = POINTS[:, :3].T.astype(np.float64)
    expected = [100 * (-y + 0.05) / (x - 0.5) + 50.5, 100 * -z / (x - 0.5) + 30.5]
    assert np.allclose(pixels[0], np.stack(expected, axis=1))
    assert labels_of(frame) is not None and instances_of(frame) is not None
    assert [CLASSES[label] for label in labels_of(frame)] == ["car", "car", "road", "person", "car"]
    # the same number in three classes is three objects
    assert instances_of(frame)[2] == 0
    assert len({*instances_of(frame)}) == 4 and instances_of(frame)[1] == instances_of(frame)[4]
    assert instances_of(frame).max() == 3


def test_all_points_may_belong_to_objects(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path, "08")
    np.full(5, 10 | 7 << 16, dtype=np.uint32).tofile(folder / "labels" / "000000.label")
    assert instances_of(SemanticKitti(tmp_path, "val")[0]).tolist() == [1] * 5


def test_frames_without_images_have_no_view(tmp_path: Path) -> None:
    write_sequence(tmp_path, "08", images=True)
    dataset = SemanticKitti(tmp_path, "val", images=False)
    frame = dataset[0]
    assert len(frame.images) == 0 and frame.cameras is None
    assert len(dataset.files(0)) == 2
    write_sequence(tmp_path, "09")
    assert len(SemanticKitti(tmp_path, sequences=["08", "09"])[0].images) == 0
    with pytest.raises(FileNotFoundError, match=r"found no folder .*09/image_2, expected KITTI odometry's"):
        SemanticKitti(tmp_path, sequences=["08", "09"], images=True)


def test_splits_and_thinning(tmp_path: Path) -> None:
    assert sorted(sum(SPLITS.values(), ())) == [f"{number:02}" for number in range(22)]
    for name in (*SPLITS["train"], "11"):
        write_sequence(tmp_path, name)
    dataset = SemanticKitti(tmp_path, skip=10)
    assert [frame.name for frame in dataset] == ["00/000000", "03/000001", "06/000002"]
    tests = SemanticKitti(tmp_path, "test", sequences=["11"])
    assert (labels_of(tests[0]), instances_of(tests[0])) == (None, None)
    with pytest.raises(FileNotFoundError, match=r"found the sequences 00, .* expected some of 08, the split 'val'"):
        SemanticKitti(tmp_path, "val")
    with pytest.raises(ValueError, match=r"found the split 'valid', expected one of: train, val, test"):
        SemanticKitti(tmp_path, "valid")


def test_the_map_is_that_of_semantic_kitti_api() -> None:
    """learning_map of https://github.com/PRBonn/semantic-kitti-api, config/semantic-kitti.yaml, where 0 is ignored."""
    from crosspoint.scene.datasets.semantickitti import CLASS_OF_LABEL

    theirs = {0: 0, 1: 0, 10: 1, 11: 2, 13: 5, 15: 3, 16: 5, 18: 4, 20: 5, 30: 6, 31: 7, 32: 8, 40: 9, 44: 10, 48: 11}
    theirs |= {49: 12, 50: 13, 51: 14, 52: 0, 60: 9, 70: 15, 71: 16, 72: 17, 80: 18, 81: 19, 99: 0, 252: 1, 253: 7}
    theirs |= {254: 6, 255: 8, 256: 5, 257: 5, 258: 4, 259: 5}
    assert {label: place + 1 for label, place in CLASS_OF_LABEL.items()} == theirs
    assert IGNORED + 1 == 0


def test_poses_are_the_lidars(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path, "00")
    # the camera turns right by 90° (about y, down) and goes 2 m ahead (z)
    (folder / "poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n0 0 1 0 0 1 0 0 -1 0 0 2\n")
    first, second = read_poses(folder)
    assert np.allclose(first, np.eye(4))
    # the LiDAR is 0.5 m behind the camera, so it swings to the left: y
    assert np.allclose(second[:3, 3], [2.5, 0.5, 0])
    assert np.allclose(second[:3, :3] @ [1, 0, 0], [0, -1, 0])
    (folder / "poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1\n")
    with pytest.raises(ValueError, match=r"poses.txt, line 1: "):
        read_poses(folder)
    (folder / "calib.txt").write_text(CALIBRATION.replace("Tr", "TR"))
    with pytest.raises(ValueError, match=r"found no Tr in .*calib.txt"):
        read_poses(folder)


def test_broken_frames_are_refused(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path, "08")
    dataset = SemanticKitti(tmp_path, "val")
    LABELS[:4].tofile(folder / "labels" / "000000.label")
    with pytest.raises(ValueError, match=r"found 4 labels in .*000000.label, expected 5"):
        dataset[0]
    np.full(5, 17, dtype=np.uint32).tofile(folder / "labels" / "000001.label")
    with pytest.raises(ValueError, match=r"found the label 17 in .*000001.label"):
        dataset[1]
    (folder / "velodyne" / "000002.bin").write_bytes(b"123")
    with pytest.raises(ValueError, match=r"found 3 bytes in .*000002.bin"):
        dataset[2]


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the SemanticKITTI scan in {DATA}")
def test_a_real_scan() -> None:
    dataset = SemanticKitti(DATA, "val")
    frame = dataset[0]
    assert returns(frame).shape == (123_389, 4)
    assert 0 <= returns(frame)[:, 3].min() < returns(frame)[:, 3].max() <= 1
    raw = np.fromfile(dataset.files(0)[1], dtype=np.uint32)
    kinds, counts = np.unique(raw & 0xFFFF, return_counts=True)
    there = dict(zip(kinds.tolist(), counts.tolist(), strict=True))
    assert labels_of(frame) is not None and instances_of(frame) is not None
    for name, labels in {"road": (40, 60), "car": (10, 252), "person": (30, 254), "vegetation": (70,)}.items():
        assert (labels_of(frame) == CLASSES.index(name)).sum() == sum(there.get(label, 0) for label in labels)
    assert (labels_of(frame) == IGNORED).sum() == sum(there.get(label, 0) for label in (0, 1, 52, 99))
    # the road lies below the sensor, which is 1.73 m above it, and each car is one place
    assert abs(np.median(returns(frame)[labels_of(frame) == CLASSES.index("road"), 2]) + 1.73) < 0.2
    for number in range(1, instances_of(frame).max() + 1):
        of_one = instances_of(frame) == number
        assert len(set(raw[of_one])) == 1
        assert np.ptp(returns(frame)[of_one, :2], axis=0).max() < 8
