from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from crosspoint.scene.data.calibration import lidar_cameras, rigid
from crosspoint.scene.data.correspondences import pair_colors, pair_points
from tests.scene.frames import made_frame, returns, with_field

SIZE = (240, 400)
K = np.array([[300.0, 0.0, 200.0], [0.0, 300.0, 120.0], [0.0, 0.0, 1.0]])
FORWARD = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])  # LiDAR's x forward to a camera's z


def rig(*degrees):
    """Cameras turned to the left by so many degrees, a little beside the LiDAR."""
    turns = [FORWARD @ Rotation.from_euler("z", -angle, degrees=True).as_matrix() for angle in degrees]
    transforms = [rigid(turn, [0.1, -0.2, 0.3]) for turn in turns]
    return lidar_cameras(np.stack([K] * len(degrees)), np.stack(transforms), SIZE, "half")


def frame_of(xyz, cameras=None, **others):
    cameras = rig(0) if cameras is None else cameras
    points = np.c_[xyz, np.full(len(xyz), 0.5)].astype(np.float32)
    images = torch.randint(256, (len(cameras), 3, *SIZE), dtype=torch.uint8, generator=torch.manual_seed(0))
    return made_frame("frame 7 of drive 3", points, images, cameras, **others)


def wall(distance, width, height, step):
    """Points of a wall across the view, `step` meters apart."""
    y, z = np.meshgrid(np.arange(-width / 2, width / 2, step), np.arange(-height / 2, height / 2, step))
    return np.stack([np.full(y.size, float(distance)), y.ravel(), z.ravel()], axis=1)


def numbers(pair):
    return set(zip(pair.pair_view.tolist(), pair.pair_point.tolist(), strict=True))


@pytest.mark.parametrize(("min_depth", "margin"), [(1.0, 1.0), (0.0, 0.0), (8.0, 30.0)])
def test_pairs_are_those_a_loop_over_points_and_cameras_finds(min_depth, margin):
    cameras = rig(0, 40, -100)
    frame = frame_of(np.random.default_rng(0).normal(0, 10, (400, 3)), cameras)
    pair = pair_points(frame, min_depth=min_depth, margin=margin)
    expected = []
    for view in range(3):
        for row in range(400):
            x, y, z = cameras.R[view].numpy() @ frame.points[row].numpy().astype(float) + cameras.t[view].numpy()
            u, v = 300 * x / z + 200, 300 * y / z + 120
            if z > min_depth and margin < u < 400 - margin and margin < v < 240 - margin:
                expected.append((view, row, u, v))
    assert 30 < len(expected) == len(pair.pair_point)
    assert list(zip(pair.pair_view.tolist(), pair.pair_point.tolist(), strict=True)) == [e[:2] for e in expected]
    np.testing.assert_allclose(pair.pair_pixel, [e[2:] for e in expected], rtol=0, atol=1e-4)


def test_a_point_two_cameras_see_is_two_pairs_and_a_blind_camera_is_fine():
    pair = pair_points(frame_of([[10.0, 3.0, 0.0], [10.0, -2.0, 0.0]], rig(0, 30, 180)))
    assert numbers(pair) == {(0, 0), (1, 0), (0, 1)}


def test_colors_are_those_of_the_pixels_that_hold_the_positions():
    frame = frame_of(np.random.default_rng(1).uniform([5, -3, -2], [20, 3, 2], (200, 3)), rig(0, 30))
    pair = pair_points(frame)
    for row, color in enumerate(pair_colors(pair)):
        x, y = pair.pair_pixel[row].tolist()
        assert color.tolist() == frame.images[pair.pair_view[row], :, int(y), int(x)].tolist()


def test_fields_maps_boxes_and_pose_come_along():
    frame = frame_of([[10.0, 0.0, 0.0], [-10.0, 0.0, 0.0]], labels=np.array([4, 2]))
    frame = replace(frame, pose=torch.eye(4, dtype=torch.float64), pixel_maps={"depth": torch.zeros(1, *SIZE)})
    pair = pair_points(frame)
    assert pair.point_fields is frame.point_fields and pair.pixel_maps is frame.pixel_maps
    assert pair.pose is frame.pose and pair.cameras is frame.cameras and pair.points is frame.points


def test_points_of_earlier_sweeps_make_no_pairs():
    frame = with_field(frame_of([[10.0, 0.0, 0.0], [12.0, 1.0, 0.0], [9.0, 0.0, 1.0]]), "sweep", [0, 1, 0])
    assert numbers(pair_points(frame)) == {(0, 0), (0, 2)}


def test_a_wall_hides_what_is_behind_it_and_nothing_else():
    near, far = wall(10, 4, 3, 0.1), wall(20, 20, 14, 0.2)  # 3 pixels between points
    frame = frame_of(np.concatenate([near, far]))
    everything, pair = pair_points(frame), pair_points(frame, occlusion=0.5)
    assert numbers(pair) < numbers(everything)
    kept = torch.zeros(len(returns(frame)), dtype=torch.bool)
    kept[pair.pair_point] = True
    assert kept[: len(near)].all()
    pixels = everything.pair_pixel
    behind = everything.pair_point >= len(near)
    border = frame.cameras.project(torch.tensor([[10.0, 2.0, 1.5], [10.0, -2.0, -1.5]]))[0][0].sort(dim=0).values
    inside = ((pixels > border[0] + 6) & (pixels < border[1] - 6)).all(dim=1)  # six pixels: two cells and some rounding
    outside = ((pixels < border[0]) | (pixels > border[1])).any(dim=1)
    assert (behind & inside).sum() > 100 < (behind & outside).sum()
    assert not kept[everything.pair_point[behind & inside]].any()
    assert kept[everything.pair_point[behind & outside]].all()
    assert numbers(pair_points(frame, occlusion=10.0)) == numbers(everything)  # within the tolerance


def test_what_hides_in_one_image_is_seen_in_another():
    """A post's width of wall before the first camera; the second stands aside and sees past it."""
    aside = rigid(FORWARD, [-6.0, 0.0, 0.0])
    cameras = lidar_cameras(np.stack([K, K]), np.stack([rigid(FORWARD, [0, 0, 0]), aside]), SIZE, "half")
    frame = frame_of(np.concatenate([wall(5, 2, 2, 0.05), [[15.0, 0.0, 0.0]]]), cameras)
    last = len(returns(frame)) - 1
    seen = {view for view, point in numbers(pair_points(frame, occlusion=0.5)) if point == last}
    assert seen == {1}


@pytest.mark.parametrize("seed", range(20))
def test_a_slanted_plane_hides_no_part_of_itself(seed):
    """Ground falls back by meters from one row of pixels to the next; even without tolerance it stays."""
    flat = np.c_[np.random.default_rng(seed).uniform(-80, 80, (40000, 2)), np.zeros(40000)]
    tilt = np.eye(3) if seed == 0 else Rotation.random(random_state=seed).as_matrix()
    frame = frame_of(flat @ tilt.T + ([0, 0, -1.7] if seed == 0 else [15, 0, 0]))
    assert numbers(pair_points(frame, occlusion=0.0)) == numbers(pair_points(frame))


def test_the_rings_of_a_spinning_lidar_on_the_ground_stay_and_hide_what_is_below():
    beams = np.radians(np.linspace(-25, -2, 24))
    azimuth = np.radians(np.arange(-60, 60, 0.2))
    reach = 1.7 / -np.tan(beams)
    ground = np.stack([np.outer(np.cos(azimuth), reach), np.outer(np.sin(azimuth), reach)], axis=-1).reshape(-1, 2)
    ground = np.c_[ground, np.full(len(ground), -1.7)]
    frame = frame_of(np.concatenate([ground, wall(6, 3, 1.5, 0.1)]))
    kept = {point for _, point in numbers(pair_points(frame, occlusion=0.3))}
    everything = {point for _, point in numbers(pair_points(frame))}
    lost = everything - kept
    assert len(lost) > 100 and max(lost) < len(ground)  # of the ground behind the wall
    depth = returns(frame)[sorted(lost), 0]
    assert depth.min() > 6


def test_a_frame_that_no_camera_sees_is_named():
    frame = frame_of([[-10.0, 0.0, 0.0], [-5.0, 1.0, 0.0]])
    with pytest.raises(
        ValueError, match=r"none of 2 points of frame 7 of drive 3 in its 1 images.*calibration"
    ) as error:
        pair_points(frame)
    assert "\n" not in str(error.value)


GOOD = frame_of([[10.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (frame_of([[np.nan, 0, 0], [10, 0, 0], [np.inf, 0, 0]]), {}, "2 points with NaN"),
        (replace(GOOD, cameras=None), {}, "found 1 images without cameras in frame 7"),
        (replace(GOOD, cameras=GOOD.cameras[:0], images=GOOD.images[:0]), {}, "0 images"),
        (GOOD, {"occlusion": -1.0}, "occlusion -1.0"),
        (GOOD, {"margin": float("nan")}, "margin nan"),
    ],
)
def test_frames_whose_parts_do_not_fit_are_named(frame, options, message):
    with pytest.raises(ValueError, match=message) as error:
        pair_points(frame, **options)
    assert "\n" not in str(error.value) and "expected" in str(error.value)
