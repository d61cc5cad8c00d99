"""Tiny valid inputs of scenes: a rig's folder, KITTI, SemanticKITTI, RELLIS-3D and nuScenes, label maps, answers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from crosspoint.checkpoints.record import RECORD_KEY, Inputs, Record
from crosspoint.plugins import describe
from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.sample import Boxes, LidarSample
from crosspoint.scene.datasets.folder_writing import write_frame, write_poses, write_split
from crosspoint.scene.datasets.rig import write_rig
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.ops.voxels import VoxelConfig

TINY = {"stem": 4, "encoder": [4, 8], "encoder_blocks": [1, 1], "decoder": [8, 8], "decoder_blocks": [1, 1]}
ROWS = np.array([[10, 0, 0, 0.5], [10, 2, 1, 0.25], [20, -4, -1, 0], [5, 0.5, 0.5, 1]], dtype=np.float32)
SIZE = (64, 96)
FRAMES = 4
RETURNS = 400


def write_streets(root: Path) -> None:
    """Four frames of a wall before one camera: labels, boxes, poses, splits, weak labels and superpixels."""
    K = torch.tensor([[[60.0, 0, 48], [0, 60, 32], [0, 0, 1]]])
    R = torch.tensor([[[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]])  # x forward, y left, z up → x right, y down, z forward
    cameras = Cameras(K, R, torch.zeros(1, 3), SIZE)
    root.mkdir(parents=True)
    write_rig(root, cameras, ["ground", "wall"], box_classes=["car"])
    names = [f"street{number}" for number in range(FRAMES)]
    for number, name in enumerate(names):
        generator = np.random.default_rng(number)
        rows = generator.uniform([4, -3, -2, 0], [12, 3, 2, 1], (RETURNS, 4)).astype(np.float32)
        images = torch.from_numpy(generator.integers(0, 256, (1, 3, *SIZE), dtype=np.uint8))
        label = torch.from_numpy((rows[:, 2] > -1).astype(np.int64))
        fields = {"intensity": torch.from_numpy(rows[:, 3].copy()), "label": label}
        boxes = Boxes(torch.tensor([[8.0, 0, 0, 4, 2, 1.5, 0.1]], dtype=torch.float64), torch.tensor([0]))
        xyz = torch.from_numpy(rows[:, :3].copy())
        write_frame(root, LidarSample(name, xyz, fields, images, cameras=cameras, boxes=boxes))
        for folder, most in (("weak", 3), ("regions", 9)):
            path = root / folder / "images" / "camera_0" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, most, SIZE, dtype=np.uint8)).save(path)
    write_poses(root, {name: np.eye(4) for name in names})
    write_split(root, "train", names[:2])
    write_split(root, "val", names[2:])
    manifest = {"format": 1, "kind": "semantic", "classes": ["one", "two"]}
    (root / "weak" / "manifest.json").write_text(json.dumps(manifest))


def write_scene_encoder(path: Path) -> None:
    """A small MinkUNet as `pretrain` writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(3)
    network = MinkUNet(**TINY)
    weights = {f"method.encoder.{name}": weight for name, weight in network.state_dict().items()}
    inputs = Inputs(kind="voxels", up_axis="z", unit_sphere=False, voxels=asdict(VoxelConfig("cartesian", 0.5)))
    torch.save({"state_dict": weights, RECORD_KEY: Record(describe(network), inputs).as_dict()}, path)


def write_answers(path: Path) -> None:
    """What `evaluate semseg --save_dir` says of the frames of the split val."""
    path.parent.mkdir(parents=True, exist_ok=True)
    predicted = np.random.default_rng(0).integers(0, 2, 2 * RETURNS).astype(np.int16)
    np.savez(path, predicted=predicted, offsets=np.array([0, RETURNS, 2 * RETURNS]))


def write_kitti_raw(root: Path) -> None:
    """One drive of KITTI, two frames."""
    day, drive = root / "2011_09_26", root / "2011_09_26" / "2011_09_26_drive_0001_sync"
    for number in range(2):
        _sweep(drive / "velodyne_points" / "data" / f"{number:010}.bin")
        _image(drive / "image_02" / "data" / f"{number:010}.png")
    (day / "calib_velo_to_cam.txt").write_text("R: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 0\n")
    (day / "calib_cam_to_cam.txt").write_text(
        "R_rect_00: 1 0 0 0 1 0 0 0 1\nP_rect_02: 100 0 50 0 0 100 30 0 0 0 1 0\n"
    )


def write_kitti_object(root: Path) -> None:
    """Two frames of KITTI's object benchmark."""
    for number in range(2):
        _sweep(root / "training" / "velodyne" / f"{number:06}.bin")
        _image(root / "training" / "image_2" / f"{number:06}.png")
        calib, label = (root / "training" / kind / f"{number:06}.txt" for kind in ("calib", "label_2"))
        _text(
            calib,
            "P2: 100 0 50 5 0 100 30 0 0 0 1 0\nR0_rect: 1 0 0 0 1 0 0 0 1\n"
            "Tr_velo_to_cam: 0 -1 0 0 0 0 -1 -0.1 1 0 0 -0.3\n",
        )
        _text(label, "Car 0 0 0 1 2 3 4 1.5 1.8 4.0 -2.0 1.6 9.7 -1.57\n")


def write_semantickitti(root: Path) -> None:
    """Two frames of a sequence that judges, with images and poses."""
    folder = root / "sequences" / "08"
    for number in range(2):
        _sweep(folder / "velodyne" / f"{number:06}.bin")
        _image(folder / "image_2" / f"{number:06}.png")
        _words(folder / "labels" / f"{number:06}.label", [252 | 3 << 16, 10 | 3 << 16, 40, 30])
    _text(
        folder / "calib.txt",
        "P0: 1 0 0 0 0 1 0 0 0 0 1 0\nP2: 100 0 50 5 0 100 30 0 0 0 1 0\nTr: 0 -1 0 0 0 0 -1 0 1 0 0 -0.5\n",
    )
    _text(folder / "poses.txt", "1 0 0 0 0 1 0 0 0 0 1 0\n1 0 0 0 0 1 0 0 0 0 1 1\n")
    _text(folder / "times.txt", "0.0\n0.1\n")


def write_rellis3d(root: Path) -> None:
    """Two frames of one sequence in the official folders."""
    folder = root / "00000"
    for number in range(2):
        _sweep(folder / "os1_cloud_node_kitti_bin" / f"00010{number}.bin", ROWS * np.float32([-1, -1, 1, 1 / 64]))
        _words(folder / "os1_cloud_node_semantickitti_label_id" / f"00010{number}.label", [3, 0, 34, 0])
        _image(folder / "pylon_camera_node" / f"frame00010{number}-158{number}_149.jpg")
    _text(folder / "camera_info.txt", "100 100 50 30")
    _text(
        folder / "transforms.yaml",
        "os1_cloud_node-pylon_camera_node:\n  q: {w: -0.5, x: 0.5, y: 0.5, z: -0.5}\n  t: {x: -1, y: 0, z: 0}\n",
    )


def write_nuscenes(root: Path) -> None:
    """One scene of two keyframes with lidarseg and a box each; the LiDAR looks along the vehicle's x."""
    still: dict[str, Any] = {"translation": [0, 0, 0], "rotation": [1, 0, 0, 0]}
    ahead = [0.5, -0.5, 0.5, -0.5]  # of a camera that looks along the vehicle's x
    tables: dict[str, list[dict[str, Any]]] = {
        "sensor": [{"token": "s0", "channel": "LIDAR_TOP"}, {"token": "s1", "channel": "CAM_FRONT"}],
        "calibrated_sensor": [
            {"token": "c0", "sensor_token": "s0", **still, "camera_intrinsic": []},
            {
                "token": "c1",
                "sensor_token": "s1",
                "translation": [0, 0, 0],
                "rotation": ahead,
                "camera_intrinsic": [[100, 0, 50], [0, 100, 30], [0, 0, 1]],
            },
        ],
        "scene": [{"token": "t", "name": "scene-0001"}],
        "category": [{"token": "k0", "name": "vehicle.car"}],
        "instance": [{"token": "i0", "category_token": "k0"}],
        **{name: [] for name in ("sample", "sample_data", "ego_pose", "lidarseg", "sample_annotation")},
    }
    for number in range(2):
        sample = f"n{number}"
        tables["sample"].append({"token": sample, "scene_token": "t", "timestamp": number})
        for sensor, kind in enumerate(("bin", "png")):
            token, name = f"{sample}-{kind}", f"samples/{sample}.{kind}"
            tables["ego_pose"].append({"token": token, **still})
            tables["sample_data"].append(
                {
                    "token": token,
                    "sample_token": sample,
                    "ego_pose_token": token,
                    "calibrated_sensor_token": f"c{sensor}",
                    "is_key_frame": True,
                    "filename": name,
                }
            )
        tables["lidarseg"].append({"sample_data_token": f"{sample}-bin", "filename": f"lidarseg/{sample}.bin"})
        tables["sample_annotation"].append(
            {
                "token": f"a{number}",
                "sample_token": sample,
                "instance_token": "i0",
                "translation": [12, 0, 0],
                "size": [1.8, 4.5, 1.6],
                "rotation": [1, 0, 0, 0],
            }
        )
        rows = np.array([[10, 0, 0, 51, 1], [10, 2, 1, 255, 2], [20, -4, -1, 0, 3]], dtype=np.float32)
        _sweep(root / "samples" / f"{sample}.bin", rows)
        _image(root / "samples" / f"{sample}.png")
        _words(root / "lidarseg" / f"{sample}.bin", [17, 0, 24], np.uint8)
    for name, records in tables.items():
        _text(root / "v1.0-trainval" / f"{name}.json", json.dumps(records))


def _sweep(path: Path, rows: np.ndarray = ROWS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.astype(np.float32).tofile(path)


def _words(path: Path, numbers: list[int], kind: type = np.uint32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.array(numbers, dtype=kind).tofile(path)


def _image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (100, 60), (90, 120, 30)).save(path)


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
