"""Cases on public datasets: the tables and files of nuScenes, KITTI, SemanticKITTI and RELLIS-3D."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.faults import inputs_scenes as valid
from benchmarks.faults.damage import Damage, fifo, text
from benchmarks.faults.damage_trees import alias_bomb, deep_json, yaml_code
from benchmarks.faults.family import Family

TABLES = "in/d/v1.0-trainval/"


def _public(
    name: str, words: str, write: Callable[[Path], None], damaged: tuple[str, ...], crafted: tuple[Damage, ...]
) -> Family:
    return Family(
        "public datasets (show)",
        name,
        lambda folder: write(folder / "d"),
        f"show {words} --root in/d --out out",
        damaged,
        crafted,
    )


PUBLIC = [
    _public(
        "nuscenes",
        "nuscenes --cameras [CAM_FRONT] --split train",
        valid.write_nuscenes,
        ("in/d/v1.0-trainval/*.json", "in/d/samples/n0.*", "in/d/lidarseg/n0.bin"),
        (
            *(
                text(f"{TABLES}{name}.json", content, name=what)
                for name, content, what in (
                    ("sample", "{}", "{}"),
                    ("sample", "[[]]", "[[]]"),
                    ("scene", "[7]", "[7]"),
                    ("sample_data", "null", "null"),
                    ("ego_pose", deep_json(), "deep"),
                    ("category", '[{"token": [], "name": {}}]', "lists as token"),
                    ("sensor", '[{"token": "s0", "channel": 7}]', "channel 7"),
                    ("instance", "[]", "empty"),
                    ("sample_annotation", "[{}]", "[{}]"),
                )
            ),
            text(
                f"{TABLES}ego_pose.json",
                json.dumps(
                    [
                        {"token": f"n{n}-{k}", "translation": [0, 0, 0], "rotation": [0, 0, 0, 0]}
                        for n in range(2)
                        for k in ("bin", "png")
                    ]
                ),
                name="rotations of 0",
            ),
            text(
                f"{TABLES}ego_pose.json",
                json.dumps(
                    [
                        {"token": f"n{n}-{k}", "translation": [0, float("nan"), 0], "rotation": [1, 0, 0, 0]}
                        for n in range(2)
                        for k in ("bin", "png")
                    ]
                ),
                name="NaN",
            ),
            text(
                f"{TABLES}lidarseg.json",
                json.dumps(
                    [{"sample_data_token": f"n{n}-bin", "filename": "../../../../../../etc/passwd"} for n in range(2)]
                ),
                name="a path that leads out",
            ),
            text(
                f"{TABLES}sample_annotation.json",
                json.dumps(
                    [
                        {
                            "token": "a",
                            "sample_token": "n0",
                            "instance_token": "i0",
                            "translation": [12, 0, 0],
                            "size": [-1, 4, 1],
                            "rotation": [1, 0, 0, 0],
                        }
                    ]
                ),
                name="a negative size",
            ),
        ),
    ),
    _public(
        "kitti_raw",
        "kitti_raw",
        valid.write_kitti_raw,
        ("in/d/2011_09_26/*.txt", "in/d/2011_09_26/*/*/data/0000000000.*"),
        (
            text("in/d/2011_09_26/calib_velo_to_cam.txt", "R: 1 1 1 1 1 1 1 1 1\nT: 0 0 0\n", name="no rotation"),
            text("in/d/2011_09_26/calib_velo_to_cam.txt", "R: " + "nan " * 9 + "\nT: 0 0 0\n"),
            text(
                "in/d/2011_09_26/calib_cam_to_cam.txt",
                "R_rect_00: 1 0 0 0 1 0 0 0 1\nP_rect_02: " + "0 " * 12 + "\n",
                name="P of zeros",
            ),
            fifo("in/d/2011_09_26/calib_velo_to_cam.txt", "refused"),
        ),
    ),
    _public(
        "kitti_object",
        "kitti_object",
        valid.write_kitti_object,
        ("in/d/training/*/000000.*",),
        (
            text(
                "in/d/training/label_2/000000.txt",
                "Car 0 0 0 1 2 3 4 -1.5 1.8 4.0 -2.0 1.6 9.7 -1.57\n",
                name="a negative height",
            ),
            text("in/d/training/label_2/000000.txt", "Car\n"),
            text("in/d/training/label_2/000000.txt", "Car " + "nan " * 14 + "\n"),
        ),
    ),
    _public(
        "semantickitti",
        "semantickitti --split val --frame 1 --sweeps 2",
        valid.write_semantickitti,
        ("in/d/sequences/08/*.txt", "in/d/sequences/08/*/000001.*"),
        (
            text("in/d/sequences/08/poses.txt", "1 0 0 0 0 1 0 0 0 0 1 0\n", name="one pose"),
            text("in/d/sequences/08/poses.txt", ("0 " * 12 + "\n") * 2, name="poses of zeros"),
            text("in/d/sequences/08/times.txt", "0\nnan\n"),
            text("in/d/sequences/08/times.txt", "5\n-5\n", "any", "time goes back"),
            text(
                "in/d/sequences/08/labels/000001.label",
                np.full(4, 12345, np.uint32).tobytes(),
                name="labels that are not there",
            ),
        ),
    ),
    _public(
        "rellis3d",
        "rellis3d",
        valid.write_rellis3d,
        ("in/d/00000/*.*", "in/d/00000/*/*000100*"),
        (
            text("in/d/00000/transforms.yaml", alias_bomb("os1_cloud_node-pylon_camera_node"), name="alias bomb"),
            text(
                "in/d/00000/transforms.yaml",
                yaml_code("os1_cloud_node-pylon_camera_node"),
                name="a tag that calls os.system",
            ),
            text("in/d/00000/transforms.yaml", "[]"),
            text("in/d/00000/transforms.yaml", deep_json("a"), name="deep"),
            text("in/d/00000/camera_info.txt", "100 100\n"),
            text("in/d/00000/camera_info.txt", "0 0 0 0\n"),
            text("in/d/00000/camera_info.txt", "nan nan 1 1\n"),
            text(
                "in/d/00000/transforms.yaml",
                "os1_cloud_node-pylon_camera_node:\n  q: {w: 0, x: 0, y: 0, z: 0}\n  t: {x: -1, y: 0, z: 0}\n",
                name="a rotation of 0",
            ),
        ),
    ),
]
