from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from crosspoint.scene.data.calibration import invert, quaternion_rotation, rigid
from crosspoint.scene.datasets.nuscenes import BOX_CLASSES
from crosspoint.scene.datasets.nuscenes_boxes import ATTRIBUTES, NuScenesBoxes, likely_attributes, to_world
from crosspoint.scene.datasets.nuscenes_results import read_results, write_results


def boxes(count: int, seed: int = 0) -> NuScenesBoxes:
    generator = np.random.default_rng(seed)
    geometry = generator.uniform([500, 900, 0, 0.5, 0.5, 0.5, -3.1], [600, 1000, 3, 5, 2, 2, 3.1], (count, 7))
    return NuScenesBoxes(
        geometry,
        generator.integers(len(BOX_CLASSES), size=count),
        generator.normal(size=(count, 2)),
        generator.integers(-1, len(ATTRIBUTES), size=count),
        generator.random(count),
    )


def test_boxes_come_back_from_a_result_file(tmp_path: Path) -> None:
    found = {"a": boxes(20), "b": boxes(0), "c": boxes(500, seed=1)}
    write_results(found, tmp_path / "deep" / "results.json", uses=("use_lidar", "use_camera"))
    again = read_results(tmp_path / "deep" / "results.json")
    assert [*again] == [*found]
    for token, expected in found.items():
        assert np.allclose(again[token].geometry, expected.geometry, rtol=0, atol=1e-12)
        for name in ("labels", "velocity", "attributes", "scores"):
            assert np.array_equal(getattr(again[token], name), getattr(expected, name))


def test_a_file_has_the_fields_of_the_challenge(tmp_path: Path) -> None:
    geometry = [[1.0, 2, 3, 4.5, 1.9, 1.6, np.pi / 2]]
    found = NuScenesBoxes(
        geometry, [BOX_CLASSES.index("car")], [[0.5, 0]], [ATTRIBUTES.index("vehicle.moving")], [0.25]
    )
    write_results({"token": found}, tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["meta"] == {
        "use_camera": False, "use_lidar": True, "use_radar": False, "use_map": False, "use_external": False,
    }  # fmt: skip
    (box,) = content["results"]["token"]
    assert np.allclose(box.pop("rotation"), [0.5**0.5, 0, 0, 0.5**0.5])
    assert box == {
        "sample_token": "token", "translation": [1.0, 2.0, 3.0], "size": [1.9, 4.5, 1.6], "velocity": [0.5, 0.0],
        "detection_name": "car", "detection_score": 0.25, "attribute_name": "vehicle.moving",
    }  # fmt: skip


def test_the_world_sees_boxes_as_the_table_gave_them() -> None:
    """From boxes upright in the world to a tilted LiDAR, as the dataset reads them, and back."""
    quaternion = np.array([0.9, 0.02, -0.03, 0.4])
    pose = rigid(quaternion_rotation(quaternion / np.linalg.norm(quaternion)), [600.0, 1600, 1.8])
    world, back = boxes(15), invert(pose)
    geometry, velocity = world.geometry.copy(), np.c_[world.velocity, np.zeros(15)] @ back[:3, :3].T
    for place, (x, y, z, *_, heading) in enumerate(world.geometry):
        placed = rigid(
            [[np.cos(heading), -np.sin(heading), 0], [np.sin(heading), np.cos(heading), 0], [0, 0, 1]], [x, y, z]
        )
        seen = back @ placed
        geometry[place, :3], geometry[place, 6] = seen[:3, 3], np.arctan2(seen[1, 0], seen[0, 0])
    again, speed = to_world(torch.from_numpy(geometry), velocity[:, :2], torch.from_numpy(pose))
    assert np.allclose(again, world.geometry, rtol=0, atol=1e-9)
    assert np.allclose(speed, world.velocity, rtol=0, atol=1e-12)
    empty, none = to_world(np.zeros((0, 7)), np.zeros((0, 2)), pose)
    assert empty.shape == (0, 7) and none.shape == (0, 2)


@pytest.mark.parametrize(
    ("name", "resting", "moving"),
    [
        ("car", "vehicle.parked", "vehicle.moving"),
        ("construction_vehicle", "vehicle.parked", "vehicle.moving"),
        ("truck", "vehicle.parked", "vehicle.moving"),
        ("trailer", "vehicle.parked", "vehicle.moving"),
        ("bus", "vehicle.stopped", "vehicle.moving"),
        ("bicycle", "cycle.without_rider", "cycle.with_rider"),
        ("motorcycle", "cycle.without_rider", "cycle.with_rider"),
        ("pedestrian", "pedestrian.standing", "pedestrian.moving"),
        ("barrier", None, None),
        ("traffic_cone", None, None),
    ],
)
def test_attributes_follow_class_and_speed(name: str, resting: str | None, moving: str | None) -> None:
    label = BOX_CLASSES.index(name)
    found = likely_attributes([label, label, label], [[0.1, 0.1], [0.2, 0.0], [0.15, -0.15]])
    expected = [-1 if each is None else ATTRIBUTES.index(each) for each in (resting, resting, moving)]
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("geometry", np.full((2, 7), np.nan), r"found NaN or infinite numbers in box 0 of 2"),
        ("geometry", np.zeros((2, 7)), "found a size of 0 or less in box 0 of 2 .*, expected meters above 0"),
        ("labels", [0, 10], "found an unknown class in box 1 of 2 .*, expected 0 to 9, barrier to truck"),
        (
            "labels",
            [0.0, 1.0],
            r"found labels of shape \(2,\) and type float64, expected whole numbers of shape \(2,\)",
        ),
        ("labels", [0], r"found labels of shape \(1,\) .*, expected whole numbers of shape \(2,\)"),
        ("attributes", [0, 8], "found an unknown attribute in box 1 of 2"),
        ("scores", [0.5, -0.5], r"found no score in box 1 of 2 \(-0.5\), expected a number from 0"),
        ("scores", [np.nan, 0.5], "found no score in box 0 of 2"),
        ("velocity", [[0, 0], [np.nan, 0]], "found no velocity in box 1 of 2"),
    ],
)
def test_wrong_boxes_are_named(name: str, value: object, message: str) -> None:
    columns = {each: getattr(boxes(2), each) for each in ("geometry", "labels", "velocity", "attributes", "scores")}
    with pytest.raises(ValueError, match=message):
        NuScenesBoxes(**(columns | {name: value}))


def test_labels_may_lack_a_velocity() -> None:
    columns = boxes(2)
    labels = NuScenesBoxes(columns.geometry, columns.labels, np.full((2, 2), np.nan), [-1, -1], points=[0, 5])
    assert labels.keep(labels.points > 0).geometry.shape == (1, 7)


def test_wrong_results_are_named(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    with pytest.raises(ValueError, match="found 501 boxes in sample a, expected at most 500: keep the best"):
        write_results({"a": boxes(501)}, path)
    with pytest.raises(ValueError, match="found the modality 'lidar', expected some of: use_camera"):
        write_results({"a": boxes(1)}, path, uses=("lidar",))
    labels = NuScenesBoxes(*(getattr(boxes(1), name) for name in ("geometry", "labels", "velocity", "attributes")))
    with pytest.raises(ValueError, match="found boxes without scores in sample a"):
        write_results({"a": labels}, path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("sample_token", "b", "found a box of sample 'b', expected those of one: sample 'a' in .*r.json"),
        ("detection_name", "tram", "found the class 'tram', expected one of: barrier, bicycle"),
        ("attribute_name", "moving", "found the attribute 'moving', expected one of: cycle.with_rider"),
        (
            "rotation",
            [1.0, 1.0, 0.0, 0.0],
            r"found the quaternion \[1.0, 1.0, 0.0, 0.0\], expected w x y z of length 1",
        ),
        ("rotation", [1.0, 0.0, 0.0], "found .*r.json"),
        ("size", [1.0, -1.0, 1.0], "found a size of 0 or less in box 0 of 1"),
        ("detection_score", "high", "found .*r.json"),
        ("velocity", [0.0], "found .*r.json"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, field: str, value: object, message: str) -> None:
    path = tmp_path / "r.json"
    write_results({"a": boxes(1)}, path)
    content = json.loads(path.read_text())
    content["results"]["a"][0][field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_results(path)


def test_files_with_too_many_boxes_and_none_are_named(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_results({"a": boxes(1)}, path)
    content = json.loads(path.read_text())
    content["results"]["a"] *= 501
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"found 501 boxes, expected at most 500: sample 'a' in"):
        read_results(path)
    path.write_text('{"meta": {}}')
    with pytest.raises(ValueError, match=r"found .*results.* r.json|found .*r\.json.*"):
        read_results(path)
    with pytest.raises(FileNotFoundError, match="found no file"):
        read_results(tmp_path / "none.json")
