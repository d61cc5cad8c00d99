from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from crosspoint.scene.data.calibration import rigid
from crosspoint.scene.datasets.kitti_calibration import KittiCalibration
from crosspoint.scene.datasets.kitti_labels import CLASSES, KittiLabels, read_labels, write_results
from crosspoint.scene.datasets.kitti_object import BOX_CLASSES, read_boxes
from crosspoint.scene.datasets.kitti_results import to_lidar, to_results

DATA = Path(__file__).parents[4] / "shared" / "data" / "kitti_object" / "training"
P2 = np.array([[700.0, 0, 600, 45], [0, 700, 180, 0.2], [0, 0, 1, 0.003]])
SIZE = (375, 1242)
FIELDS = ("truncation", "occlusion", "alpha", "image_boxes", "sizes", "positions", "rotation_y", "scores")


def tilted(seed: int = 0) -> np.ndarray:
    """LiDAR → a camera that looks along x, a little askew."""
    askew = Rotation.from_rotvec(0.02 * np.random.default_rng(seed).normal(size=3)).as_matrix()
    return rigid(askew @ [[0.0, -1, 0], [0, 0, -1], [1, 0, 0]], [0.05, -0.08, -0.27])


def boxes(count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    low, high = [8, -4, -2, 0.5, 0.5, 0.5, -3.1], [60, 4, 0, 5, 2, 2, 3.1]
    return generator.uniform(low, high, (count, 7))


def names(count: int) -> list[str]:
    return [BOX_CLASSES[place % 3] for place in range(count)]


def test_boxes_come_back_from_a_result_file(tmp_path: Path) -> None:
    geometry, scores = boxes(30), np.linspace(0.01, 0.999, 30)
    found = to_results(geometry, names(30), scores, tilted(), P2, SIZE)
    assert len(found) == 30
    write_results(found, tmp_path / "a" / "000000.txt")
    (line, *_) = (tmp_path / "a" / "000000.txt").read_text().splitlines()
    assert len(line.split()) == 16 and line.startswith("Car -1 -1 ")
    again = read_labels(tmp_path / "a" / "000000.txt")
    assert again.names == found.names
    for name in FIELDS:
        assert np.allclose(getattr(again, name), getattr(found, name), rtol=0, atol=6e-5)
    turn = np.abs(to_lidar(again, tilted()) - geometry)
    assert turn[:, :6].max() < 2e-4 and turn[:, 6].max() < 2e-6
    read = read_boxes(tmp_path / "a" / "000000.txt", tilted())  # the dataset's reader, of labels and of results
    assert torch.allclose(read.geometry, torch.from_numpy(geometry), rtol=0, atol=2e-4)
    assert read.labels.tolist() == [place % 3 for place in range(30)]


def test_conversions_undo_each_other() -> None:
    geometry = boxes(40, seed=1)
    found = to_results(torch.from_numpy(geometry), names(40), torch.linspace(0, 1, 40), tilted(2), P2, SIZE)
    assert np.allclose(to_lidar(found, tilted(2)), geometry, rtol=0, atol=1e-12)


def test_a_box_ahead_of_a_level_camera() -> None:
    axes = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    projection = np.array([[100.0, 0, 50, 0], [0, 100, 30, 0], [0, 0, 1, 0]])
    found = to_results([[11.0, -1, 0.5, 2, 4, 1, 0.0]], ["Car"], [0.5], axes, projection, (60, 100))
    assert np.allclose(found.positions, [[1, 0, 11]]) and np.allclose(found.sizes, [[1, 4, 2]])
    assert np.allclose(found.rotation_y, -np.pi / 2) and np.allclose(found.alpha, -np.pi / 2 - np.arctan2(1, 11))
    # its rear face, 10 m away, spans x from −1 to 3 and y from −1 to 0
    assert np.allclose(found.image_boxes, [[40, 20, 80, 30]])


def test_image_boxes_hold_all_projected_points_of_the_box() -> None:
    geometry, transform = boxes(25, seed=3), tilted()
    found = to_results(geometry, names(25), np.ones(25), transform, P2, SIZE)
    share = np.stack(np.meshgrid(*[[-0.5, 0, 0.5]] * 3), axis=-1).reshape(-1, 3)
    for box, (left, top, right, bottom), middle, turn in zip(
        geometry, found.image_boxes, found.positions, found.rotation_y, strict=True
    ):
        cos, sin, (length, width, height) = np.cos(turn), np.sin(turn), box[3:6]
        along, across, up = share.T * [[length], [width], [height]]
        points = np.stack([cos * along + sin * across, up - height / 2, cos * across - sin * along], axis=1) + middle
        x, y, depth = P2 @ np.c_[points, np.ones(len(points))].T
        expected = [*np.clip((x / depth)[[*range(27)]], 0, 1241)], [*np.clip(y / depth, 0, 374)]
        assert np.allclose([left, right], [min(expected[0]), max(expected[0])])
        assert np.allclose([top, bottom], [min(expected[1]), max(expected[1])])


def test_what_the_image_does_not_show_is_left_out() -> None:
    axes = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    ahead, behind, beside = [20.0, 0, 0, 4, 2, 1.5, 0.3], [-20.0, 0, 0, 4, 2, 1.5, 0.3], [5.0, 40, 0, 4, 2, 1.5, 0]
    around = [1.0, 0, 0, 8, 2, 1.5, 0.0]  # the camera is inside
    found = to_results([ahead, behind, beside, around], ["Car", "Van", "Car", "Tram"], np.ones(4), axes, P2, SIZE)
    assert found.names == ("Car", "Tram")
    assert np.allclose(found.image_boxes[1], [0, 0, 1241, 374])
    assert len(to_results(np.zeros((0, 7)), [], [], axes, P2, SIZE)) == 0


def test_an_empty_frame_has_an_empty_file(tmp_path: Path) -> None:
    write_results(to_results(np.zeros((0, 7)), [], [], tilted(), P2, SIZE), tmp_path / "1.txt")
    assert (tmp_path / "1.txt").read_bytes() == b""
    assert len(read_labels(tmp_path / "1.txt")) == 0


def test_labels_of_the_benchmark_are_read_with_their_alpha() -> None:
    """Alpha of KITTI's own labels, and their image boxes of whole vehicles, are those that we give."""
    if not DATA.is_dir():
        pytest.skip("shared/data/kitti_object is not there")
    seen = 0
    for path in sorted((DATA / "label_2").glob("*.txt")):
        labels, calibration = read_labels(path), KittiCalibration(DATA / "calib" / path.name)
        forth = calibration.rotation("R0_rect") @ calibration.transform("Tr_velo_to_cam")
        kept = labels.of_class(*CLASSES[:-1])
        assert labels.scores is None and set(labels.names) <= {*CLASSES}
        expected = read_boxes(path, forth)
        assert np.allclose(to_lidar(labels, forth)[labels.of_class(*BOX_CLASSES)], expected.geometry, atol=1e-9)
        geometry = to_lidar(labels, forth)[kept]
        kinds = [name for name, is_kept in zip(labels.names, kept, strict=True) if is_kept]
        found = to_results(geometry, kinds, np.ones(len(kinds)), forth, calibration.matrix("P2", (3, 4)), SIZE)
        assert found.names == tuple(kinds)
        turn = (found.alpha - labels.alpha[kept] + np.pi) % (2 * np.pi) - np.pi
        assert np.abs(turn).max(initial=0) < 0.03  # theirs are rounded to 0.01
        rigid_ones = (labels.truncation == 0) & labels.of_class(
            "Car", "Truck", "Cyclist"
        )  # people are outlined closely
        assert np.abs(found.image_boxes - labels.image_boxes[kept])[rigid_ones[kept]].max(initial=0) < 2
        seen += len(kinds)
    assert seen > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ["Car", "Bike"]}, "found the class 'Bike', expected one of KITTI's: Car, Van"),
        ({"names": ["Car"]}, r"found truncation of shape \(2,\), expected \(1,\)"),
        ({"alpha": [0.0, np.nan]}, "found NaN or infinite numbers in alpha of object 1"),
        (
            {"sizes": [[1, 1, 1], [1, -1, 1]]},
            r"found a negative size in \[1.0, -1.0, 1.0\] of object 1, Car, expected h",
        ),
        ({"image_boxes": [[5, 0, 4, 1], [0, 0, 1, 1]]}, r"found the image box \[5.0, 0.0, 4.0, 1.0\] of object 0"),
        ({"scores": [1.0]}, r"found scores of shape \(1,\), expected \(2,\)"),
    ],
)
def test_wrong_objects_are_named(change: dict, message: str) -> None:
    good = to_results(boxes(2), ["Car", "Car"], np.ones(2), tilted(), P2, SIZE)
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(good, **change)


def test_dont_care_has_no_size() -> None:
    region = KittiLabels(["DontCare"], *(-np.ones((3, 1))), [[0, 0, 5, 5]], [[-1, -1, -1]], [[-1000] * 3], [-10])
    assert region.of_class("dontcare").tolist() == [True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Car 0 0 0 1 2 3 4 1 1 1 1 1 9\n", "found the line .*, expected a class and 14 numbers"),
        ("Car 0 0 0 1 2 3 4 1 1 1 1 1 9 nan\n", "found the line .*, expected a class and 14 numbers"),
        (
            "Car 0 0 0 1 2 3 4 1 1 1 1 1 9 0\nCar 0 0 0 1 2 3 4 1 1 1 1 1 9 0 1\n",
            "found lines with and without a score",
        ),
        ("Bus 0 0 0 1 2 3 4 1 1 1 1 1 9 0\n", r"found the class 'Bus', expected .*: in .*a\.txt"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_labels(tmp_path / "a.txt")


def test_wrong_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found 2 boxes, 1 classes and scores \(2,\), expected"):
        to_results(boxes(2), ["Car"], np.ones(2), tilted(), P2, SIZE)
    with pytest.raises(ValueError, match=r"found a projection of shape \(3, 3\)"):
        to_results(boxes(1), ["Car"], np.ones(1), tilted(), P2[:, :3], SIZE)
    wrong = boxes(1)
    wrong[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"found NaN or infinite numbers in box 0 \(nan"):
        to_results(wrong, ["Car"], np.ones(1), tilted(), P2, SIZE)
    labels = dataclasses.replace(to_results(boxes(1), ["Car"], [1], tilted(), P2, SIZE), scores=None)
    with pytest.raises(ValueError, match="found objects without scores for"):
        write_results(labels, tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError, match="found no file"):
        read_labels(tmp_path / "b.txt")
