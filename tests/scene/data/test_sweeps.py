"""Several sweeps as one frame: by hand, and by the devkit's formula from the tables and files of nuScenes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.calibration import rigid
from crosspoint.scene.data.sample import IGNORED, LidarSample
from crosspoint.scene.data.sweeps import EarlierSweep, add_sweeps
from crosspoint.scene.datasets.folder import FolderScenes, write_frame, write_poses, write_rig
from crosspoint.scene.datasets.nuscenes import TO_FORWARD, NuScenes
from crosspoint.scene.datasets.semantickitti import SemanticKitti
from tests.scene.datasets.test_nuscenes import FRONT, VERSION, write, wxyz
from tests.scene.frames import labels_of, made_frame, returns


def test_a_hand_computed_case() -> None:
    """The vehicle went 2 m ahead and turned left by 90 degrees since the earlier sweep."""
    current = LidarSample(
        "now",
        torch.tensor([[5.0, 0, 0], [0.5, -0.9, 1], [0.5, 1.0, 1]]),
        {"intensity": torch.tensor([0.1, 0.2, 0.3]), "label": torch.tensor([4, 5, 6]), "echo": torch.ones(3, 2)},
    )
    to_frame = np.linalg.inv(rigid(Rotation.from_euler("z", 90, degrees=True).as_matrix(), [2, 0, 0]))
    points = torch.tensor([[2.0, 7, 1], [0.0, 0.2, 0]])
    earlier = EarlierSweep(points, {"intensity": torch.tensor([0.7, 0.8])}, to_frame, 0.25)
    both = add_sweeps(current, [earlier])
    expected = torch.tensor([[5.0, 0, 0], [0.5, 1, 1], [7.0, 0, 1]])
    torch.testing.assert_close(both.points, expected, rtol=0, atol=1e-6)
    assert both.point_fields["label"].tolist() == [4, 6, IGNORED]
    torch.testing.assert_close(both.point_fields["intensity"], torch.tensor([0.1, 0.3, 0.7]))
    assert both.point_fields["echo"].tolist() == [[1, 1], [1, 1], [0, 0]]
    assert both.point_fields["time"].tolist() == [0, 0, 0.25] and both.point_fields["sweep"].tolist() == [0, 0, 1]


def test_nuscenes_sweeps_are_those_of_the_devkits_formula(tmp_path: Path) -> None:
    """`LidarPointCloud.from_file_multisweep`, written out: four transforms, a time lag, points within 1 m removed."""
    root = write(tmp_path, ["scene-0001"])
    folder, rng = root / VERSION, np.random.default_rng(0)
    tables = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("sample_data", "ego_pose")}
    mounts = {record["token"]: record for record in json.loads((folder / "calibrated_sensor.json").read_text())}
    key = next(record for record in tables["sample_data"] if record["token"] == "scene-0001-1-bin")
    chain, files = [key], {}
    for number in range(4):
        token = f"sweep-{number}"
        chain[-1]["prev"] = token
        chain.append({**key, "token": token, "is_key_frame": False, "ego_pose_token": token, "prev": ""})
        chain[-1]["filename"] = f"sweeps/{token}.bin"
        turn = wxyz(Rotation.from_euler("xyz", rng.uniform(-0.2, 0.2, 3)))
        place = [501.0 - number, 900 + rng.uniform(), rng.uniform()]
        tables["ego_pose"].append({"token": token, "translation": place, "rotation": turn})
    for number, record in enumerate(chain):
        record["timestamp"] = 1_532_402_927_647_951 - 50_000 * number
        points = rng.uniform(-3, 3, (40, 5)).astype(np.float32)
        points[:, 3:] = rng.integers(0, 256, (40, 2))
        files[record["token"]] = points
        (root / record["filename"]).parent.mkdir(exist_ok=True)
        points.tofile(root / record["filename"])
    for name, records in tables.items():
        extra = chain[1:] if name == "sample_data" else []
        (folder / f"{name}.json").write_text(json.dumps([{"prev": "", **record} for record in [*records, *extra]]))
    egos = {record["token"]: record for record in tables["ego_pose"]}

    def matrix(record: dict[str, list[float]], inverse: bool = False) -> np.ndarray:
        w, x, y, z = record["rotation"]
        made = np.eye(4)
        made[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix()
        made[:3, 3] = record["translation"]
        return np.linalg.inv(made) if inverse else made

    expected, times, rings = [], [], []
    for record in chain[:4]:
        points = files[record["token"]]
        close = (np.abs(points[:, 0]) < 1) & (np.abs(points[:, 1]) < 1)
        points = points[~close]
        fused = matrix(mounts["c0"], True) @ matrix(egos[key["ego_pose_token"]], True)
        fused = fused @ matrix(egos[record["ego_pose_token"]]) @ matrix(mounts["c0"])
        expected.append((np.c_[points[:, :3], np.ones(len(points))] @ fused.T)[:, :3])
        times.append(np.full(len(points), 1e-6 * key["timestamp"] - 1e-6 * record["timestamp"]))
        rings.append(points[:, 4])
    dataset = NuScenes(root, sweeps=4, labels=False, **FRONT)  # type: ignore[arg-type]
    frame = dataset[1]
    native = frame.points.double().numpy() @ TO_FORWARD[:3, :3]
    np.testing.assert_allclose(native, np.concatenate(expected), rtol=0, atol=1e-5)
    np.testing.assert_allclose(frame.point_fields["time"], np.concatenate(times), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(frame.point_fields["ring"], np.concatenate(rings))
    assert len(expected[1]) < 40 and all(path.is_file() for path in dataset.files(1)) and len(dataset.files(1)) == 5
    assert len(NuScenes(root, sweeps=9, labels=False, **FRONT).files(1)) == 6  # type: ignore[arg-type] # no more are there


def drive(root: Path) -> list[np.ndarray]:
    """A plain folder of two sequences: a wall that stands still, seen from a vehicle that turns and goes ahead."""
    cameras = Cameras(
        torch.tensor([[[10.0, 0, 16], [0, 10, 12], [0, 0, 1]]]),
        torch.tensor([[[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]]),
        torch.zeros(1, 3),
        (24, 32),
    )
    write_rig(root, cameras, ["wall"])
    wall = np.random.default_rng(0).uniform([8, -4, -1], [30, 4, 2], (60, 3))
    poses = [rigid(Rotation.from_euler("z", 5 * n, degrees=True).as_matrix(), [n, 0.1 * n, 0]) for n in range(4)]
    images = torch.zeros(1, 3, 24, 32, dtype=torch.uint8)
    for name in ("a_", "b_"):
        for number, pose in enumerate(poses):
            points = np.c_[(wall - pose[:3, 3]) @ pose[:3, :3], np.full(60, number / 4)].astype(np.float32)
            write_frame(root, made_frame(f"{name}{number + 8}", points, images, cameras, np.zeros(60, dtype=np.int64)))
    write_poses(root, {f"{name}{number + 8}": pose for name in ("a_", "b_") for number, pose in enumerate(poses)})
    return poses


def test_a_wall_that_stands_still_is_seen_in_one_place_in_a_folder(tmp_path: Path) -> None:
    drive(tmp_path)
    dataset = FolderScenes(tmp_path, sweeps=3, skip=2)  # names are sorted as text: a_10, a_11, a_8, a_9, b_10, …
    plain = {frame.name: frame for frame in FolderScenes(tmp_path)}
    for name, count in {"a_10": 3, "a_8": 1, "b_10": 3, "b_8": 1}.items():
        index = dataset.names.index(name)
        frame, own = dataset[index], plain[name]
        assert len(frame.points) == 60 * count
        for place in frame.points.view(count, 60, 3):
            torch.testing.assert_close(place, own.points, rtol=0, atol=1e-4)
        labels = labels_of(frame)
        assert labels is not None and (labels[:60] == 0).all() and (labels[60:] == IGNORED).all()
        expected = (0.1 * torch.arange(count)).repeat_interleave(60)
        torch.testing.assert_close(frame.point_fields["time"], expected)
        assert len(dataset.files(index)) == 3 + count - 1
    (tmp_path / "times.txt").write_text("".join(f"{name} {100 + 0.5 * n}\n" for n, name in enumerate(sorted(plain))))
    seconds = FolderScenes(tmp_path, sweeps=2)
    assert seconds[seconds.names.index("a_9")].point_fields["time"].max() == 0.5
    (tmp_path / "poses.txt").write_text("a_8 1 0 0 0 0 1 0 0 0 0 1 0\n")
    with pytest.raises(ValueError, match="found no pose or no time of a_9"):
        seconds = FolderScenes(tmp_path, sweeps=2)
        seconds[seconds.names.index("a_9")]
    (tmp_path / "poses.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"poses.txt"):
        FolderScenes(tmp_path, sweeps=2)
    with pytest.raises(ValueError, match="found sweeps 0"):
        FolderScenes(tmp_path, sweeps=0)


def test_a_wall_that_stands_still_is_seen_in_one_place_in_semantickitti(tmp_path: Path) -> None:
    poses = drive(tmp_path / "plain")
    plain = FolderScenes(tmp_path / "plain")
    order = [f"a_{number + 8}" for number in range(4)]
    folder = tmp_path / "sequences" / "08"
    for kind in ("velodyne", "labels"):
        (folder / kind).mkdir(parents=True)
    for number, name in enumerate(order):
        returns(plain[plain.names.index(name)]).tofile(folder / "velodyne" / f"{number:06}.bin")
        np.full(60, 50, dtype=np.uint32).tofile(folder / "labels" / f"{number:06}.label")
    axes = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    (folder / "calib.txt").write_text(f"Tr: {' '.join(map(str, np.c_[axes, [0.1, 0.2, 0.3]].ravel()))}\n")
    to_camera = rigid(axes, [0.1, 0.2, 0.3])
    lines = [(to_camera @ pose @ np.linalg.inv(to_camera))[:3].ravel().tolist() for pose in poses]
    (folder / "poses.txt").write_text("".join(" ".join(map(repr, line)) + "\n" for line in lines))
    (folder / "times.txt").write_text("0\n0.11\n0.2\n0.32\n")
    dataset = SemanticKitti(tmp_path, "val", sweeps=3)
    frame = dataset[3]
    own = SemanticKitti(tmp_path, "val")[3]
    assert len(frame.points) == 180 and own.pose is not None
    for place in frame.points.view(3, 60, 3):
        torch.testing.assert_close(place, own.points, rtol=0, atol=1e-4)
    torch.testing.assert_close(frame.point_fields["time"].view(3, 60)[:, 0], torch.tensor([0.0, 0.12, 0.21]))
    labels = labels_of(frame)
    assert labels is not None and (labels[60:] == IGNORED).all() and (labels[:60] >= 0).all()
    assert len(dataset.files(3)) == 4 and len(dataset[0].points) == 60
    np.testing.assert_allclose(own.pose, np.linalg.inv(poses[0]) @ poses[3], atol=1e-9)
    (folder / "poses.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"poses.txt, expected the poses of a sequence, which several sweeps"):
        SemanticKitti(tmp_path, "val", sweeps=3)
