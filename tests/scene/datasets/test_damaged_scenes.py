"""Datasets of scenes with tables, calibrations and files that are damaged or made to stop a reader."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from crosspoint.datasets.cloud_files import read_named
from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.pixel_maps import read_map
from crosspoint.scene.datasets.folder import FolderScenes, write_frame, write_rig
from crosspoint.scene.datasets.kitti_object import read_boxes
from crosspoint.scene.datasets.nuscenes import NuScenes
from crosspoint.scene.datasets.readers import read_images, read_labels, read_lines, read_sweep
from crosspoint.scene.datasets.rellis3d import _read_rig
from crosspoint.scene.datasets.semantickitti import _line_of
from crosspoint.scene.labels.class_table import read_table
from crosspoint.scene.labels.frames import find_images
from tests.refusals import DEEP, alias_bomb, command_refuses, refused, write
from tests.scene.datasets.test_nuscenes import FRONT, VERSION, tables
from tests.scene.datasets.test_nuscenes import write as write_nuscenes
from tests.scene.frames import made_frame

FORWARD = torch.tensor([[[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]])
TABLES = ["scene", "sample", "sensor", "calibrated_sensor", "sample_data", "ego_pose", "sample_annotation", "instance"]


@pytest.fixture(scope="module")
def nuscenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nuscenes(tmp_path_factory.mktemp("nuscenes"), ["scene-0001"])


def read_nuscenes(root: Path) -> None:
    NuScenes(root, boxes=True, sweeps=1, **FRONT)[0]


@pytest.mark.parametrize(
    "text", ["", "{", "{}", "3", "null", "[1]", "[null]", "[[]]", "[{}]", DEEP, "\xff", '[{"token": NaN}]']
)
@pytest.mark.parametrize("name", [*TABLES, "category"])
def test_tables_that_are_none(nuscenes: Path, name: str, text: str) -> None:
    path = nuscenes / VERSION / f"{name}.json"
    before = path.read_bytes()
    try:
        write(path, text.encode("latin-1"))
        refused(lambda: read_nuscenes(nuscenes), f"{name}.json")
    finally:
        path.write_bytes(before)


FIELDS = [(name, field) for name in TABLES for field in tables(["scene-0001"])[name][0] if field != "prev"]


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_fields_of_another_type(nuscenes: Path, name: str, field: str) -> None:
    path = nuscenes / VERSION / f"{name}.json"
    before = path.read_text()
    try:
        for value in (..., None, [], {}, {"a": [1]}, 10**30, [[1]], ["a", "b", "c", "d"], -1.5):
            records = json.loads(before)
            for record in records:
                if value is ...:
                    del record[field]
                else:
                    record[field] = value
            path.write_text(json.dumps(records))
            if (name, field) == ("sample_annotation", "sample_token") and value is not ...:
                continue  # of no sample that is read
            refused(lambda: read_nuscenes(nuscenes), "")
    finally:
        path.write_text(before)


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    K = torch.tensor([[[40.0, 0.0, 25.0], [0.0, 40.0, 15.0], [0.0, 0.0, 1.0]]])
    cameras = Cameras(K, FORWARD, torch.zeros(1, 3), (30, 50))
    write_rig(tmp_path / "rig", cameras, ["road", "car"], ["car"])
    points = np.c_[rng.uniform([5, -2, -1], [20, 2, 1], (40, 3)), rng.random(40)].astype(np.float32)
    image = torch.full((1, 3, 30, 50), 40, dtype=torch.uint8)
    write_frame(tmp_path / "rig", made_frame("0", points, image, cameras, np.zeros(40, int)))
    return tmp_path / "rig"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "cameras: 3",
        "cameras: [3]",
        "cameras: [[]]",
        "cameras: {}",
        "\x00",
        "[" * 600,
        "cameras: []\n3: 4",
        "cameras: []\n? [1]\n: 2",
        "!!python/name:os.system",
    ],
)
def test_calibrations_that_are_none(rig: Path, text: str) -> None:
    write(rig / "calibration.yaml", text)
    refused(lambda: FolderScenes(rig), "calibration.yaml")


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("name", [3.5, None, [], "..", "a/b"]),
        ("size", [None, [], [30], [30, 50, 3], ["30", "50"], [-30, 50], [10**30, 50], 3, [30.5, 50]]),
        ("K", [None, [], [[]], 3, "x", [["a"] * 3] * 3, [[float("nan")] * 3] * 3, [[10**400] * 3] * 3, [[1, 2], [3]]]),
        ("lidar_to_camera", [None, [], 3, [[1] * 4] * 4, [[float("inf")] * 4] * 4, {"a": 1}]),
    ],
)
def test_values_of_a_camera(rig: Path, key: str, values: list[Any]) -> None:
    content = yaml.safe_load((rig / "calibration.yaml").read_text())
    for value in values:
        content["cameras"][0][key] = value
        (rig / "calibration.yaml").write_text(yaml.safe_dump(content))
        refused(lambda: FolderScenes(rig), "calibration.yaml")


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("classes", [3, "x", [3], {"a": 1}, [None], [["a"]], ["a", "a"]]),
        ("box_classes", [3, {"a": 1}, [1.5]]),
        ("columns", [0, -1, "4", 10**9, 4.5, True, []]),
        ("intensity_scale", [0, -1, "1", float("nan"), float("inf"), [], True]),
        ("pixel_centres", [3, "corner", [], None]),
    ],
)
def test_values_of_a_rig(rig: Path, key: str, values: list[Any]) -> None:
    content = yaml.safe_load((rig / "calibration.yaml").read_text())
    for value in values:
        (rig / "calibration.yaml").write_text(yaml.safe_dump({**content, key: value}))
        refused(lambda: FolderScenes(rig), "calibration.yaml")


@pytest.mark.parametrize("key", ["classes", "box_classes", "cameras", "columns"])
def test_alias_bombs_of_a_rig(rig: Path, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = yaml.safe_load((rig / "calibration.yaml").read_text())
    text = yaml.safe_dump({name: value for name, value in content.items() if name != key})
    write(rig / "calibration.yaml", f"{text}{key}: {alias_bomb()}\n")
    command_refuses(capsys, ["show", "folder", "--root", rig, "--out", rig / "out"], "calibration.yaml")


def test_alias_bombs_of_a_class_table_and_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bomb = write(tmp_path / "bomb.yaml", f"road: {alias_bomb()}\n")
    refused(lambda: read_table(bomb), "bomb.yaml")
    command_refuses(capsys, ["pretrain", "--config", bomb], "bomb.yaml")
    command_refuses(capsys, ["pretrain", "--config", write(tmp_path / "deep.yaml", "a: " + "[" * 600)], "deep.yaml")
    command_refuses(capsys, ["pretrain", "--config", write(tmp_path / "list.yaml", "[1]")], "list.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "POSE: 3",
        "POSE: {q: 3}",
        "POSE: {q: {w: a, x: 0, y: 0, z: 0}, t: {x: 0, y: 0, z: 0}}",
        "POSE: {q: {w: 1, x: 0, y: 0, z: 0}, t: {x: .nan, y: 0, z: 0}}",
    ],
)
def test_transforms_of_rellis(tmp_path: Path, text: str) -> None:
    write(tmp_path / "camera_info.txt", "100 100 50 50")
    write(tmp_path / "transforms.yaml", text.replace("POSE", "os1_cloud_node-pylon_camera_node"))
    refused(lambda: _read_rig(tmp_path), "transforms.yaml")


def test_pipes_in_place_of_files(tmp_path: Path) -> None:
    path = tmp_path / "it"
    for suffix, read in (
        (".bin", lambda path: read_sweep(path)),
        (".npy", lambda path: read_sweep(path)),
        (".label", lambda path: read_labels(path, np.ones(3, bool))),
        (".png", lambda path: read_images([path])),
        (".png", lambda path: read_map(path, (3, 4))),
        (".txt", lambda path: read_lines(path, "lines")),
        (".yaml", read_table),
    ):
        pipe = path.with_suffix(suffix)
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
        refused(lambda read=read, pipe=pipe: read(pipe), pipe.name)  # type: ignore[misc]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 4), complex),
        np.zeros((3, 4), "S3"),
        np.zeros((3, 2)),
        np.zeros(3),
        np.array(3.0),
        np.zeros((3, 4), bool),
    ],
    ids=range(6),
)
def test_arrays_that_are_no_sweep(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    refused(lambda: read_named(tmp_path / "a.npy"), "a.npy")


def test_arrays_that_announce_more_than_there_is(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 4)))
    content = (tmp_path / "a.npy").read_bytes()
    write(tmp_path / "a.npy", content.replace(b"(3, 4), }         ", b"(300000000000, 4),}")[: len(content)])
    refused(lambda: read_named(tmp_path / "a.npy"), "a.npy")
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object))
    refused(lambda: read_named(tmp_path / "a.npy"), "a.npy")


def test_images_are_compared_before_they_are_unpacked(tmp_path: Path) -> None:
    Image.new("L", (9000, 9000)).save(tmp_path / "large.png")
    refused(lambda: read_images([tmp_path / "large.png"], (30, 50)), "large.png")
    refused(lambda: read_map(tmp_path / "large.png", (30, 50)), "large.png")


def test_boxes_have_no_negative_size(tmp_path: Path) -> None:
    path = write(tmp_path / "0.txt", "Car 0 0 0 0 0 0 0 -1.5 1 4 0 0 10 0")
    refused(lambda: read_boxes(path, np.eye(4)), "0.txt")


def test_folders_of_images_that_link_to_each_other_are_visited_once(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "0.png").touch()
        (tmp_path / "in" / name / "link").symlink_to(tmp_path / "in" / other)
    found = [path.as_posix() for path in find_images(tmp_path / "in", tmp_path / "out")]
    assert len(found) == 2


@pytest.mark.parametrize("line", ["nan", "inf", "late", ""])
def test_seconds_that_are_none(tmp_path: Path, line: str) -> None:
    write(tmp_path / "times.txt", f"0\n{line}\n".encode())
    refused(lambda: _line_of(tmp_path / "times.txt", 1), "times.txt")
