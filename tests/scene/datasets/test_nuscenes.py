from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from crosspoint.eval.restricted_pickle import RestrictedUnpickler, check_sizes
from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.datasets.nuscenes import BOX_CLASSES, CLASSES, NuScenes
from tests.scene.frames import labels_of, returns

DATA = Path(__file__).parents[4] / "shared" / "data" / "nuscenes"
VERSION = "v1.0-trainval"
# nuScenes' LiDAR: x right, y ahead, z up; intensity 0…255, ring
POINTS = np.array([[0, 10, 0, 51, 1], [-2, 10, 1, 255, 2], [4, 20, -1, 0, 3]], dtype=np.float32)
AHEAD = np.array([[10, 0, 0], [10, 2, 1], [20, -4, -1]], dtype=np.float64)
LIDAR_MOUNT = Rotation.from_euler("z", -90, degrees=True)  # its y is the vehicle's x
CAMERA_MOUNT = Rotation.from_matrix([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
HEADING = Rotation.from_euler("z", 37, degrees=True)  # of the vehicle in the world


def wxyz(rotation: Rotation) -> list[float]:
    x, y, z, w = rotation.as_quat().tolist()
    return [w, x, y, z]


def tables(scenes: list[str], frames: int = 2) -> dict[str, list[dict[str, Any]]]:
    """Two keyframes a scene and one sweep between; the vehicle goes 1 m ahead between the sweep and the image."""
    made: dict[str, list[dict[str, Any]]] = {
        "sensor": [{"token": "s0", "channel": "LIDAR_TOP"}, {"token": "s1", "channel": "CAM_FRONT"}],
        "calibrated_sensor": [
            {"token": "c0", "sensor_token": "s0", "translation": [1, 0, 2], "rotation": wxyz(LIDAR_MOUNT)},
            {"token": "c1", "sensor_token": "s1", "translation": [1, 0, 2], "rotation": wxyz(CAMERA_MOUNT)},
        ],
        "scene": [{"token": f"t{name}", "name": name} for name in scenes],
        "category": [
            {"token": "k0", "name": "vehicle.car"},
            {"token": "k1", "name": "human.pedestrian.stroller"},
            {"token": "k2", "name": "vehicle.bus.rigid"},
        ],
        "instance": [{"token": f"i{number}", "category_token": f"k{number}"} for number in range(3)],
    }
    made |= {name: [] for name in ("sample", "sample_data", "ego_pose", "lidarseg", "sample_annotation")}
    made["calibrated_sensor"][0]["camera_intrinsic"] = []
    made["calibrated_sensor"][1]["camera_intrinsic"] = [[100, 0, 50], [0, 100, 30], [0, 0, 1]]
    for scene in scenes:
        for number in reversed(range(frames)):  # the order of the table is not that of time
            sample, place = f"{scene}-{number}", np.array([500.0 + number, 900, 0])
            made["sample"].append({"token": sample, "scene_token": f"t{scene}", "timestamp": number})
            for sensor, kind in enumerate(("bin", "png")):
                token = f"{sample}-{kind}"
                ego = place + HEADING.apply([sensor, 0, 0])
                made["ego_pose"].append({"token": token, "translation": ego.tolist(), "rotation": wxyz(HEADING)})
                record = {"token": token, "sample_token": sample, "calibrated_sensor_token": f"c{sensor}"}
                record |= {"ego_pose_token": token, "is_key_frame": True, "filename": f"samples/{sample}.{kind}"}
                made["sample_data"] += [
                    record,
                    record | {"token": f"{token}+", "is_key_frame": False, "filename": "no"},
                ]
            made["lidarseg"].append({"sample_data_token": f"{sample}-bin", "filename": f"lidarseg/{sample}.bin"})
            for instance in range(3):
                # 20 m ahead of the LiDAR and 4 m to its left, looking left
                center = place + HEADING.apply([1 + 20, 4, 2 - 1])
                box = {"token": f"{sample}{instance}", "sample_token": sample, "instance_token": f"i{instance}"}
                box |= {"translation": center.tolist(), "size": [1.8, 4.5, 1.6]}
                turn = Rotation.from_euler("z", 37 + 90, degrees=True)
                made["sample_annotation"].append(box | {"rotation": wxyz(turn)})
    return made


def write(root: Path, scenes: list[str], version: str = VERSION, without: tuple[str, ...] = ()) -> Path:
    (root / version).mkdir(parents=True)
    (root / "samples").mkdir(exist_ok=True)
    (root / "lidarseg").mkdir(exist_ok=True)
    made = tables(scenes)
    for name, records in made.items():
        if name not in without:
            (root / version / f"{name}.json").write_text(json.dumps(records))
    for sample in made["sample"]:
        POINTS.tofile(root / "samples" / f"{sample['token']}.bin")
        Image.new("RGB", (100, 60)).save(root / "samples" / f"{sample['token']}.png")
        np.array([17, 0, 24], dtype=np.uint8).tofile(root / "lidarseg" / f"{sample['token']}.bin")
    return root


FRONT = {"cameras": ["CAM_FRONT"]}


def test_points_boxes_and_cameras_look_ahead(tmp_path: Path) -> None:
    dataset = NuScenes(write(tmp_path, ["scene-0001"]), boxes=True, **FRONT)
    frame = dataset[1]
    assert frame.name == "scene-0001/scene-0001-1"
    assert np.array_equal(returns(frame)[:, :3], AHEAD)
    assert np.allclose(returns(frame)[:, 3], [0.2, 1, 0])
    assert labels_of(frame) is not None and frame.boxes is not None
    assert labels_of(frame).tolist() == [CLASSES.index("car"), IGNORED, CLASSES.index("driveable_surface")]
    pixels, depth = frame.cameras.project(torch.from_numpy(AHEAD))
    x, y, z = AHEAD.T
    assert np.allclose(depth[0], x - 1)  # the vehicle went on for a meter before the image was taken
    assert np.allclose(pixels[0], np.stack([100 * -y / (x - 1) + 50.5, 100 * -z / (x - 1) + 30.5], axis=1))
    assert [BOX_CLASSES[label] for label in frame.boxes.labels] == ["car", "bus"]
    assert np.allclose(frame.boxes.geometry, [[20, 4, -1, 4.5, 1.8, 1.6, np.pi / 2]] * 2)
    same, none = (NuScenes(dataset.root, boxes=boxes, **FRONT) for boxes in (None, False))
    assert np.array_equal(same[1].boxes.geometry, frame.boxes.geometry) and same.box_classes == dataset.box_classes
    assert (none[1].boxes, none.box_classes) == (None, [])


def test_keyframes_follow_scenes_and_time(tmp_path: Path) -> None:
    dataset = NuScenes(write(tmp_path, ["scene-0009", "scene-0001", "scene-0003"]), "train", **FRONT)
    expected = [
        "scene-0009/scene-0009-0",
        "scene-0009/scene-0009-1",
        "scene-0001/scene-0001-0",
        "scene-0001/scene-0001-1",
    ]
    assert [frame.name for frame in dataset] == expected
    assert all(path.is_file() for index in range(4) for path in dataset.files(index))
    assert len(dataset.files(0)) == 3


def test_tables_are_needed_only_where_they_are_used(tmp_path: Path) -> None:
    extra = ("lidarseg", "category", "instance", "sample_annotation")
    root = write(tmp_path, ["scene-0001"], without=extra)
    dataset = NuScenes(root, **FRONT)
    assert (dataset.classes, labels_of(dataset[0]), dataset[0].boxes) == ([], None, None)
    assert NuScenes(root, boxes=None, **FRONT)[0].boxes is None
    with pytest.raises(FileNotFoundError, match=r"found no file .*lidarseg.json, expected the table of nuScenes'"):
        NuScenes(root, labels=True, **FRONT)
    with pytest.raises(FileNotFoundError, match=r"found no file .*sample_annotation.json"):
        NuScenes(root, boxes=True, **FRONT)
    with pytest.raises(ValueError, match=r"found no keyframe of CAM_FRONT_RIGHT, .* for sample scene-0001-0"):
        NuScenes(root)
    with pytest.raises(ValueError, match=r"found cameras CAM_TOP, expected some of: CAM_FRONT, "):
        NuScenes(root, cameras=["CAM_TOP"])
    (root / VERSION / "ego_pose.json").write_text("[]")
    with pytest.raises(ValueError, match=r"found no record .* in .*ego_pose.json \(4 are missing\)"):
        NuScenes(root, **FRONT)
    (root / VERSION / "ego_pose.json").write_text('[{"token": "a"')
    with pytest.raises(ValueError, match=r"found no JSON in .*ego_pose.json"):
        NuScenes(root, **FRONT)
    (root / VERSION / "sample.json").write_text('[{"token": "a"}]')
    with pytest.raises(ValueError, match=r"found a record without 'scene_token' in .*sample.json"):
        NuScenes(root, **FRONT)


def test_versions(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"found no tables in .*, expected v1.0-trainval: unpack nuScenes'"):
        NuScenes(tmp_path)
    write(tmp_path, ["scene-0001"])
    write(tmp_path, ["scene-0061"], version="v1.0-mini")
    with pytest.raises(ValueError, match=r"found the versions v1.0-mini, v1.0-trainval .* name it as `version`"):
        NuScenes(tmp_path)
    assert NuScenes(tmp_path, "mini_train", version="v1.0-mini", **FRONT)[0].name.startswith("scene-0061/")
    with pytest.raises(FileNotFoundError, match=r"found v1.0-mini, v1.0-trainval in .*, expected v1.0-test"):
        NuScenes(tmp_path, version="v1.0-test")


def test_broken_labels_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path, ["scene-0001"])
    dataset = NuScenes(root, **FRONT)
    (root / "lidarseg" / "scene-0001-0.bin").write_bytes(b"\x01\x02")
    with pytest.raises(ValueError, match=r"found 2 labels in .*scene-0001-0.bin, expected 3"):
        dataset[0]
    (root / VERSION / "lidarseg.json").write_text("[]")
    assert labels_of(NuScenes(root, **FRONT)[0]) is None
    assert NuScenes(root, **FRONT).classes == []
    with pytest.raises(ValueError, match=r"found labels of 0 of 2 keyframes .* set labels to false"):
        NuScenes(root, labels=True, **FRONT)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the nuScenes keyframe in {DATA}")
def test_a_real_keyframe_is_projected_as_its_own_record_says() -> None:
    dataset = NuScenes(DATA)
    frame = dataset[0]
    assert (len(dataset), len(returns(frame)), frame.images.shape) == (1, 34_688, (6, 3, 900, 1600))
    with (DATA / "keyframe_info.pkl").open("rb") as file:
        check_sizes(file)
        record = RestrictedUnpickler(file).load()["data_list"][0]
    native = returns(frame)[:, [1, 0, 2]].astype(np.float64) * [-1, 1, 1]
    pixels, depth = frame.cameras.project(torch.from_numpy(returns(frame)[:, :3]))
    for view, path in enumerate(dataset.files(0)[1:]):
        image = next(image for image in record["images"].values() if image["img_path"] == path.name)
        lidar_to_camera = np.array(image["lidar2cam"])
        camera = native @ lidar_to_camera[:3, :3].T + lidar_to_camera[:3, 3]
        seen = (camera[:, 2] > 1) & (np.abs(camera[:, :2]) < camera[:, 2:]).all(axis=1)
        homogeneous = camera[seen] @ np.array(image["cam2img"]).T
        assert seen.sum() > 2000
        assert np.allclose(depth[view][seen], camera[seen, 2], atol=0.01)
        # the record counts centers of pixels at integers
        assert np.allclose(pixels[view][seen] - 0.5, homogeneous[:, :2] / homogeneous[:, 2:], rtol=0, atol=0.1)
