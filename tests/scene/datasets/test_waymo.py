"""Waymo Open: points of range images against closed forms, and miniature tables of version 2."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.datasets.validate import check_scenes
from crosspoint.scene.datasets.waymo import CLASSES, Waymo
from crosspoint.scene.datasets.waymo_ranges import Calibration, range_points, rotations
from tests.scene.frames import instances_of, labels_of

H, W = 4, 8
TIMES = (1_000_000, 1_100_000, 1_200_000)
MOUNT = np.eye(4)
MOUNT[:3, :3] = Rotation.from_euler("z", 30, degrees=True).as_matrix()
MOUNT[:3, 3] = 1.5, 0, 2
INCLINATIONS = np.radians([-20, -10, -2, 3])  # the lowest first
AWAY = np.array([[0, -1, 0, 500], [1, 0, 0, 900], [0, 0, 1, 3], [0, 0, 0, 1]], dtype=np.float64)


def spherical(row: int, column: int, reach: float, width: int = W) -> np.ndarray:
    """In the vehicle's frame: column 0 looks back and turns clockwise; the mount's own turn changes nothing of that."""
    azimuth = np.pi - (column + 0.5) * 2 * np.pi / width
    inclination = INCLINATIONS[::-1][row]
    flat = reach * np.cos(inclination)
    return np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), reach * np.sin(inclination)]) + MOUNT[:3, 3]


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 3), (3, 7), (2, 4)])
def test_one_pixel_is_where_its_beam_looks(row: int, column: int) -> None:
    ranges = np.zeros((H, W), dtype=np.float32)
    ranges[row, column], ranges[0, 5] = 12.5, -1
    found = range_points(ranges, Calibration(MOUNT, 0, 0, INCLINATIONS))
    assert np.allclose(found, [spherical(row, column, 12.5)])


def test_beams_that_are_spread_evenly() -> None:
    even = range_points(np.ones((H, 1)), Calibration(np.eye(4), -0.4, 0.4, None))
    assert np.allclose(np.arcsin(even[:, 2]), [0.3, 0.1, -0.1, -0.3])
    with pytest.raises(ValueError, match=r"found 4 inclinations for a range image of 3 rows"):
        range_points(np.ones((3, 1)), Calibration(np.eye(4), 0, 0, INCLINATIONS))


def test_rotations_are_those_of_scipy() -> None:
    angles = np.random.default_rng(0).uniform(-3, 3, (20, 3))
    assert np.allclose(rotations(*angles.T), Rotation.from_euler("ZYX", angles[:, ::-1]).as_matrix())


def test_motion_during_a_turn_is_taken_out() -> None:
    """A vehicle that goes ahead by 1 m before a pixel is taken sees a wall 1 m nearer than the frame has it."""
    ranges = np.zeros((H, W), dtype=np.float32)
    ranges[2, 3], ranges[2, 4] = 10, 10
    yaw, pose = np.pi / 2, np.zeros((H, W, 6))
    pose[:] = [0, 0, yaw, *AWAY[:3, 3]]
    pose[2, 4, 3:] += AWAY[:3, :3] @ [1, 0, 0]
    calibration = Calibration(MOUNT, 0, 0, INCLINATIONS)
    found = range_points(ranges, calibration, pose, np.linalg.inv(AWAY))
    assert np.allclose(found, [spherical(2, 3, 10), spherical(2, 4, 10) + np.array([1, 0, 0])])
    assert np.allclose(range_points(ranges, calibration)[0], found[0])


def image(channels: int, dtype: type = np.float32) -> np.ndarray:
    return np.zeros((H, W, channels), dtype=dtype)


def tables(frames: int = 3, labeled: tuple[int, ...] = (0, 2)) -> dict[str, list[dict[str, Any]]]:
    """Rows of each table: the roof's LiDAR, and another one whose rows nobody should read."""
    made: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("lidar", "lidar_pose", "lidar_calibration", "vehicle_pose", "lidar_segmentation")
    }
    for laser in (2, 1):
        row: dict[str, Any] = {"key.segment_context_name": "s", "key.laser_name": laser}
        prefix = "[LiDARCalibrationComponent]"
        row |= {f"{prefix}.extrinsic.transform": (MOUNT if laser == 1 else np.eye(4)).reshape(-1).tolist()}
        row |= {f"{prefix}.beam_inclination.{end}": value for end, value in (("min", -1.0), ("max", 1.0))}
        made["lidar_calibration"].append(row | {f"{prefix}.beam_inclination.values": INCLINATIONS.tolist()})
    for number in range(frames):
        key = {"key.segment_context_name": "s", "key.frame_timestamp_micros": TIMES[number]}
        made["vehicle_pose"].append(
            key | {"[VehiclePoseComponent].world_from_vehicle.transform": AWAY.reshape(-1).tolist()}
        )
        for laser in (1, 2):
            own = {**key, "key.laser_name": laser}
            first, second, pose = image(4), image(4), image(6)
            first[1, 3], first[2, 5], first[3, 0] = [10, 0.5, 0.25, 0], [20 + number, 3, 0, 0], [-1, -1, -1, -1]
            second[1, 3] = [15, 1, 1, 0]
            pose[:] = [0, 0, np.pi / 2, *AWAY[:3, 3]]
            made["lidar"].append(own | cells("LiDARComponent", first, second))
            made["lidar_pose"].append(own | cells("LiDARPoseComponent", pose))
            if laser == 1 and number in labeled:
                labels, others = image(2, np.int32), image(2, np.int32)
                labels[1, 3], labels[2, 5], others[1, 3] = [7, 1], [0, 0], [7, 22]
                made["lidar_segmentation"].append(own | cells("LiDARSegmentationLabelComponent", labels, others))
    return made


def cells(component: str, *returns: np.ndarray) -> dict[str, Any]:
    found = {}
    for number, values in enumerate(returns, start=1):
        column = f"[{component}].range_image_return{number}"
        found |= {f"{column}.values": values.reshape(-1).tolist(), f"{column}.shape": list(values.shape)}
    return found


def write(root: Path, made: dict[str, list[dict[str, Any]]], split: str = "validation", segment: str = "s") -> Path:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    types = {"key.laser_name": arrow.int8(), "key.frame_timestamp_micros": arrow.int64()}
    for name, rows in made.items():
        path = root / split / name / f"{segment}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        fields = []
        for column, value in rows[0].items():
            numbers = arrow.int32() if column.endswith(".shape") or name == "lidar_segmentation" else arrow.float32()
            kind = arrow.list_(arrow.float64() if "transform" in column or "inclination" in column else numbers)
            single = arrow.string() if isinstance(value, str) else arrow.float64()
            fields.append((column, types.get(column, kind if isinstance(value, list) else single)))
        parquet.write_table(arrow.Table.from_pylist(rows, schema=arrow.schema(fields)), path, row_group_size=2)
    return root


def test_frames_of_the_roof(tmp_path: Path) -> None:
    dataset = Waymo(write(tmp_path, tables()), "val")
    assert [frame.name for frame in dataset] == [f"s/{TIMES[0]}", f"s/{TIMES[2]}"]
    frame = dataset[1]
    expected = np.stack([spherical(1, 3, 10), spherical(2, 5, 22), spherical(1, 3, 15)]) - MOUNT[:3, 3]
    assert np.allclose(frame.points, expected, atol=1e-4)  # float32 poses, 900 m from the origin
    assert np.allclose(frame.point_fields["intensity"], np.tanh([0.5, 3, 1]))
    assert np.allclose(frame.point_fields["elongation"], np.tanh([0.25, 0, 1]))
    assert frame.point_fields["return"].tolist() == [1, 1, 2]
    assert labels_of(frame).tolist() == [CLASSES.index("car"), IGNORED, CLASSES.index("sidewalk")]
    assert instances_of(frame)[1] == 0 and {*instances_of(frame)} == {0, 1, 2}
    # where the sensor is in the world
    assert np.allclose(frame.pose.numpy() @ [0, 0, 0, 1], AWAY @ [1.5, 0, 2, 1])
    assert len(CLASSES) == len(set(CLASSES)) == 22
    check_scenes(dataset, pairs=False, labels=True)


def test_frames_without_labels_and_first_returns(tmp_path: Path) -> None:
    root = write(tmp_path, tables())
    every = Waymo(root, "val", labels=False, returns=1)
    assert (
        len(every) == 3
        and every.classes == []
        and every[1].point_fields.keys() == {"intensity", "elongation", "return"}
    )
    assert len(every[1].points) == 2 and len(Waymo(root, "val", skip=2)) == 1
    assert len(every.files(0)) == 4 and len(Waymo(root, "val").files(0)) == 5
    write(root, tables(labeled=(1,)), segment="r")
    assert [frame.name for frame in Waymo(root, "val")] == [f"r/{TIMES[1]}", f"s/{TIMES[0]}", f"s/{TIMES[2]}"]
    for path in (root / "validation" / "lidar_segmentation").iterdir():
        path.unlink()
    (root / "validation" / "lidar_segmentation").rmdir()
    assert len(Waymo(root, "val")) == 6
    with pytest.raises(FileNotFoundError, match=r"found no .parquet file in .*training/lidar, expected one for each"):
        Waymo(root)


def test_what_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    root = write(tmp_path, tables())
    dataset, folder = Waymo(root, "val"), root / "validation"
    (folder / "vehicle_pose" / "s.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"found no file .*vehicle_pose/s.parquet, expected a table of Waymo"):
        dataset[0]
    assert dataset.skip_incomplete is False
    with pytest.raises(ValueError, match=r"found no file, or an empty one, .*vehicle_pose/s.parquet in all 2 frames"):
        Waymo(root, "val", skip_incomplete=True)
    made = tables()
    made["vehicle_pose"] = made["vehicle_pose"][1:]
    with pytest.raises(
        ValueError, match=rf"found 0 rows of frame {TIMES[0]} in .*vehicle_pose/s.parquet, expected one"
    ):
        Waymo(write(root, made), "val")[0]
    made = tables()
    column = "[LiDARSegmentationLabelComponent].range_image_return1.values"
    made["lidar_segmentation"][0][column][2 * (W + 3) + 1] = 23
    with pytest.raises(
        ValueError, match=r"found the label 23 in .*lidar_segmentation/s.parquet, expected one of: 0, 1"
    ):
        Waymo(write(root, made), "val")[0]
    made["lidar_segmentation"][0][column].pop()
    with pytest.raises(
        ValueError, match=r"found 63 numbers of shape \(4, 8, 2\) in .*return1 of .*, expected \(H, W, 2"
    ):
        Waymo(write(root, made), "val")[0]
    made = tables()
    made["lidar_pose"] = [
        row | {"[LiDARPoseComponent].range_image_return1.shape": [W, H, 6]} for row in made["lidar_pose"]
    ]
    with pytest.raises(ValueError, match=r"found a range image of 4 × 8 pixels in .*, expected 8 × 4 as of its poses"):
        Waymo(write(root, made), "val")[0]
    write(root, tables())
    (folder / "lidar" / "s.parquet").write_bytes(b"PAR1 no table")
    with pytest.raises(ValueError, match=r"found .*lidar/s.parquet that cannot be read \(.*\), expected a table of"):
        Waymo(root, "val")[0]
    with pytest.raises(ValueError, match=r"found the split 'test', expected one of: train, val"):
        Waymo(root, "test")


def test_without_pyarrow_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "training" / "lidar").mkdir(parents=True)
    (tmp_path / "training" / "lidar" / "s.parquet").touch()
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"found no pyarrow, .*: pip install 'crosspoint3d\[waymo\]'"):
        Waymo(tmp_path)
