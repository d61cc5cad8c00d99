import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from crosspoint.eval.restricted_pickle import RestrictedUnpickler, check_sizes
from crosspoint.scene.data.calibration import invert, lidar_cameras, quaternion_rotation, rigid, through_ego

DATA = Path(__file__).parents[4] / "shared" / "data"
K = np.array([[700.0, 0.0, 600.0], [0.0, 710.0, 180.0], [0.0, 0.0, 1.0]])


def random_rigid(seed):
    generator = np.random.default_rng(seed)
    return rigid(Rotation.random(random_state=seed).as_matrix(), generator.normal(0, 1000, 3))


def rounded(rotation, digits):
    return np.round(rotation, digits)


@pytest.mark.parametrize("seed", range(5))
def test_invert_is_the_matrix_inverse(seed):
    transform = random_rigid(seed)
    np.testing.assert_allclose(invert(transform), np.linalg.inv(transform), rtol=0, atol=1e-9)
    assert invert(transform)[3].tolist() == [0, 0, 0, 1]


def test_invert_leads_back_from_a_rotation_of_few_digits():
    transform = rigid(rounded(Rotation.from_rotvec([0.3, -0.5, 1.0]).as_matrix(), 5), [10, 20, 30])
    assert np.abs(transform[:3, :3] @ transform[:3, :3].T - np.eye(3)).max() > 1e-7
    np.testing.assert_allclose(invert(transform) @ transform, np.eye(4), rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_quaternions_turn_as_scipys(seed):
    rotation = Rotation.random(random_state=seed)
    x, y, z, w = rotation.as_quat()
    np.testing.assert_allclose(quaternion_rotation([w, x, y, z]), rotation.as_matrix(), rtol=0, atol=1e-14)
    np.testing.assert_allclose(quaternion_rotation([-w, -x, -y, -z]), rotation.as_matrix(), rtol=0, atol=1e-14)


def test_a_vehicle_that_stands_still_adds_nothing():
    lidar, camera, pose = (random_rigid(seed) for seed in range(3))
    np.testing.assert_allclose(through_ego(lidar, pose, pose, camera), invert(camera) @ lidar, rtol=0, atol=1e-8)


def test_a_vehicle_that_drives_on_finds_things_nearer():
    heading = quaternion_rotation([np.cos(0.4), 0, 0, np.sin(0.4)])
    before = rigid(heading, [4000.0, 1000.0, 0.0])
    after = rigid(heading, [4000.0, 1000.0, 0.0] + heading @ [1.5, 0, 0])
    mounting = rigid(np.eye(3), [0.0, 0.0, 1.8])
    moved = through_ego(mounting, before, after, mounting)
    np.testing.assert_allclose(moved @ [20.0, 3.0, 0.0, 1.0], [18.5, 3.0, 0.0, 1.0], rtol=0, atol=1e-9)


def test_pixels_are_the_pinholes_and_centers_move_by_half():
    transform = rigid([[0, -1, 0], [0, 0, -1], [1, 0, 0]], [0.1, -0.2, 0.3])  # x forward to z forward
    points = np.random.default_rng(0).uniform([5, -4, -2], [40, 4, 2], (50, 3))
    camera = points @ transform[:3, :3].T + transform[:3, 3]
    homogeneous = camera @ K.T
    expected = homogeneous[:, :2] / homogeneous[:, 2:]
    for centers, shift in (("integer", 0.5), ("half", 0.0)):
        cameras = lidar_cameras(K[None], transform[None], (375, 1242), centers)
        pixels, depth = cameras.project(torch.from_numpy(points))
        np.testing.assert_allclose(pixels[0], expected + shift, rtol=0, atol=1e-9)
        np.testing.assert_allclose(depth[0], camera[:, 2], rtol=0, atol=1e-12)
        np.testing.assert_allclose(cameras.unproject(pixels, depth)[0], points, rtol=0, atol=1e-9)
    assert K[0, 2] == 600.0  # the caller's own numbers stay


def test_a_rig_may_have_no_camera():
    assert len(lidar_cameras(np.zeros((0, 3, 3)), np.zeros((0, 4, 4)), (375, 1242))) == 0


NAN = np.full((3, 3), np.nan)
MIRROR = np.diag([1.0, 1.0, -1.0])
SHIFTED = random_rigid(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rigid(np.eye(3) * 1.001, np.zeros(3)), "not orthonormal"),
        (lambda: rigid(MIRROR, np.zeros(3)), "mirrors"),
        (lambda: rigid(NAN, np.zeros(3)), "NaN"),
        (lambda: rigid(np.eye(4), np.zeros(3)), r"shape \(4, 4\), expected \(3, 3\)"),
        (lambda: rigid(np.eye(3), ["a", 0, 0]), "no array of numbers"),
        (lambda: rigid([[1, 0], [0]], np.zeros(3)), "no array of numbers"),
        (lambda: invert(SHIFTED.T), "transposed"),
        (lambda: quaternion_rotation([0, 0, 0, 0]), "length 0, expected 1"),
        (lambda: quaternion_rotation([1, 0, 0]), r"shape \(3,\)"),
        (lambda: through_ego(SHIFTED, SHIFTED, MIRROR, SHIFTED), r"shape \(3, 3\), expected \(4, 4\)"),
        (lambda: lidar_cameras(K, np.eye(4)[None], (4, 4)), "intrinsics of shape"),
        (lambda: lidar_cameras(K[None], np.stack([np.eye(4)] * 2), (4, 4)), r"expected \(1, 4, 4\)"),
        (lambda: lidar_cameras(K.T[None], np.eye(4)[None], (4, 4)), "camera 0 .*transposed"),
        (lambda: lidar_cameras(-K[None], np.eye(4)[None], (4, 4)), "focal lengths -700 and -710 of camera 0"),
        (lambda: lidar_cameras(K[None], 2 * np.eye(4)[None], (4, 4)), "transform of camera 0"),
        (lambda: lidar_cameras(K[None], np.eye(4)[None], (4, 4), "corner"), "corner"),
    ],
)
def test_what_is_no_calibration_is_named_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value) and "expected" in str(error.value)


def test_a_nuscenes_keyframe_is_projected_as_its_own_record_says():
    root = DATA / "nuscenes"
    if not root.exists():
        pytest.skip(f"no nuScenes keyframe at {root}")
    tables = {path.stem: json.loads(path.read_text()) for path in (root / "v1.0-test").glob("*.json")}
    poses = {row["token"]: row for row in tables["ego_pose"]}
    sensors = {row["token"]: row for row in tables["calibrated_sensor"]}
    shots = {row["filename"].split("/")[1]: row for row in tables["sample_data"]}

    def placed(row):
        return rigid(quaternion_rotation(row["rotation"]), row["translation"])

    lidar = shots.pop("LIDAR_TOP")
    lidar_to_ego, lidar_pose = placed(sensors[lidar["calibrated_sensor_token"]]), placed(poses[lidar["ego_pose_token"]])
    with (root / "keyframe_info.pkl").open("rb") as file:
        check_sizes(file)
        record = RestrictedUnpickler(file).load()["data_list"][0]["images"]
    points = np.fromfile(root / lidar["filename"], np.float32).reshape(-1, 5)[:, :3].astype(np.float64)
    assert len(shots) == len(record) == 6
    for channel, shot in shots.items():
        sensor = sensors[shot["calibrated_sensor_token"]]
        chain = through_ego(lidar_to_ego, lidar_pose, placed(poses[shot["ego_pose_token"]]), placed(sensor))
        cameras = lidar_cameras([sensor["camera_intrinsic"]], chain[None], (shot["height"], shot["width"]))
        pixels, depth = cameras.project(torch.from_numpy(points))
        theirs = (
            points @ np.array(record[channel]["lidar2cam"])[:3, :3].T + np.array(record[channel]["lidar2cam"])[:3, 3]
        )
        seen = (theirs[:, 2] > 1) & (np.abs(theirs[:, 0]) < theirs[:, 2]) & (np.abs(theirs[:, 1]) < theirs[:, 2])
        homogeneous = theirs[seen] @ np.array(record[channel]["cam2img"]).T
        assert seen.sum() > 2000, channel
        # the record counts the centers of pixels at integers
        np.testing.assert_allclose(
            pixels[0, seen] - 0.5, homogeneous[:, :2] / homogeneous[:, 2:], rtol=0, atol=0.1, err_msg=channel
        )
        np.testing.assert_allclose(depth[0, seen], theirs[seen, 2], rtol=0, atol=0.01)


def test_a_kitti_sweep_is_projected_as_its_manual_says_and_comes_back():
    root = DATA / "kitti_raw" / "2011_09_26"
    if not root.exists():
        pytest.skip(f"no KITTI drive at {root}")

    def read(name):
        lines = (line.split(":", 1) for line in (root / name).read_text().splitlines())
        return {key: np.array(text.split(), float) for key, text in lines if key not in ("calib_time",)}

    camera, velodyne = read("calib_cam_to_cam.txt"), read("calib_velo_to_cam.txt")
    projection, rectify = camera["P_rect_02"].reshape(3, 4), camera["R_rect_00"].reshape(3, 3)
    place = rigid(velodyne["R"].reshape(3, 3), velodyne["T"])
    beside = rigid(np.eye(3), np.linalg.solve(projection[:, :3], projection[:, 3]))
    cameras = lidar_cameras(projection[None, :, :3], (beside @ rigid(rectify, np.zeros(3)) @ place)[None], (375, 1242))
    sweep = next((root / "2011_09_26_drive_0000_sync" / "velodyne_points" / "data").glob("*.bin"))
    points = np.fromfile(sweep, np.float32).reshape(-1, 4)[:, :3].astype(np.float64)
    points = points[points[:, 0] > 2]
    # x = P_rect R_rect (R|T) X, Geiger et al. 2013, equation 8
    padded = np.eye(4)
    padded[:3, :3] = rectify
    homogeneous = projection @ padded @ place @ np.c_[points, np.ones(len(points))].T
    pixels, depth = cameras.project(torch.from_numpy(points))
    np.testing.assert_allclose(pixels[0] - 0.5, (homogeneous[:2] / homogeneous[2]).T, rtol=0, atol=1e-6)
    # the rotations of the files hold seven digits, and a camera's way back transposes them
    np.testing.assert_allclose(cameras.unproject(pixels, depth)[0], points, rtol=0, atol=1e-4)
