from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.datasets.kitti_raw import KittiRaw
from tests.scene.frames import returns

DATA = Path(__file__).parents[4] / "shared" / "data" / "kitti_raw"
DAY = "2011_09_26"
POINTS = np.array([[10, 0, 0, 0.5], [10, 2, 1, 0.25], [20, -4, -1, 0]], dtype=np.float32)
# x forward, y left, z up → x right, y down, z forward; P of the cameras: f 100, center (50, 30), 0.5 m between them
CALIBRATION = {
    "calib_velo_to_cam.txt": "calib_time: 15-Mar-2012 11:37:16\nR: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 0\n",
    "calib_cam_to_cam.txt": "S_rect_02: 1e+02 6e+01\nR_rect_00: 1 0 0 0 1 0 0 0 1\n"
    "P_rect_02: 100 0 50 0 0 100 30 0 0 0 1 0\nP_rect_03: 100 0 50 -50 0 100 30 0 0 0 1 0\n",
}


def write_drive(root: Path, name: str, sweeps: str = "012", images: str = "012") -> Path:
    drive = root / DAY / name
    for folder in ("velodyne_points", "image_02", "image_03"):
        (drive / folder / "data").mkdir(parents=True)
    for number in sweeps:
        POINTS.tofile(drive / "velodyne_points" / "data" / f"{number:0>10}.bin")
    for number in images:
        for camera in ("image_02", "image_03"):
            Image.new("RGB", (100, 60), (int(number), 0, 0)).save(drive / camera / "data" / f"{number:0>10}.png")
    for file, text in CALIBRATION.items():
        (root / DAY / file).write_text(text)
    return drive


def test_points_land_where_the_calibration_says(tmp_path: Path) -> None:
    write_drive(tmp_path, "2011_09_26_drive_0001_sync")
    frame = KittiRaw(tmp_path, cameras=["image_02", "image_03"])[1]
    assert frame.name == "2011_09_26_drive_0001_sync/0000000001"
    assert np.array_equal(returns(frame), POINTS)
    assert (frame.images[:, 0] == 1).all() and frame.images.shape == (2, 3, 60, 100)
    pixels, depth = frame.cameras.project(torch.from_numpy(POINTS[:, :3]))
    x, y, z = POINTS[:, :3].T.astype(np.float64)
    for view, baseline in enumerate((0.0, 0.5)):
        expected = np.stack([100 * (-y - baseline) / x + 50.5, 100 * -z / x + 30.5], axis=1)
        assert np.allclose(pixels[view], expected)
        assert np.allclose(depth[view], x)


def test_frames_have_a_sweep_and_an_image(tmp_path: Path) -> None:
    write_drive(tmp_path, "2011_09_26_drive_0002_sync", sweeps="013456", images="0123456")
    write_drive(tmp_path, "2011_09_26_drive_0001_sync", sweeps="01", images="12")
    names = [dataset_frame.name[-18:] for dataset_frame in KittiRaw(tmp_path)]
    assert names == ["01_sync/0000000001"] + [f"02_sync/{number:010}" for number in (0, 1, 3, 4, 5, 6)]
    chosen = KittiRaw(tmp_path, drives=["2011_09_26_drive_0002_sync"], skip=4)
    assert [frame.name[-1] for frame in chosen] == ["0", "5"]
    assert chosen.files(1)[0].name == "0000000005.bin"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"found no folder"):
        KittiRaw(tmp_path / "kitti")
    with pytest.raises(FileNotFoundError, match=r"found no drive in .* give the folder of the days"):
        KittiRaw(tmp_path)
    write_drive(tmp_path, "2011_09_26_drive_0001_sync", images="")
    with pytest.raises(FileNotFoundError, match=r"found 3 sweeps .* of images .* 0 in image_02 in .*0001_sync"):
        KittiRaw(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"found no drive a, b in .*2011_09_26_drive_0001_sync"):
        KittiRaw(tmp_path, drives=["a", "b"])
    with pytest.raises(ValueError, match=r"found cameras image_00, expected some of: image_02, image_03"):
        KittiRaw(tmp_path, cameras=["image_00"])


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "calib_cam_to_cam.txt",
            "P_rect_02",
            "P_02",
            r"found no P_rect_02 in .*calib_cam_to_cam.txt, expected it beside",
        ),
        ("calib_cam_to_cam.txt", "P_rect_02: 100 ", "P_rect_02: ", r"found P_rect_02: 0 .* expected 12 finite numbers"),
        ("calib_cam_to_cam.txt", "P_rect_02: 100", "P_rect_02: nan", r"found P_rect_02: nan"),
        ("calib_cam_to_cam.txt", "P_rect_02: 100 0 50 0 0 100", "P_rect_02: 0 0 50 0 0 100", r"expected focal lengths"),
        ("calib_cam_to_cam.txt", "R_rect_00: 1", "R_rect_00: 2", r"R_rect_00 in .*: found a rotation whose rows"),
        ("calib_velo_to_cam.txt", "R: 0 -1", "R: 0 1", r"R in .*calib_velo_to_cam.txt: found a rotation that mirrors"),
        ("calib_velo_to_cam.txt", "T:", "t:", r"found no T in .*calib_velo_to_cam.txt"),
    ],
)
def test_broken_calibrations_are_refused(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    write_drive(tmp_path, "2011_09_26_drive_0001_sync")
    text = CALIBRATION[file]
    assert old in text
    (tmp_path / DAY / file).write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message) as error:
        KittiRaw(tmp_path)
    assert "\n" not in str(error.value)
    (tmp_path / DAY / file).unlink()
    with pytest.raises(FileNotFoundError, match=file):
        KittiRaw(tmp_path)


def turned(frame: LidarSample, degrees: float, axis: int) -> Cameras:
    """The frame's cameras, turned about their own x (0) or y (1)."""
    a, b = ((1, 2), (2, 0))[axis]
    turn = torch.eye(3, dtype=torch.float64)
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    turn[a, a] = turn[b, b] = angle.cos()
    turn[b, a], turn[a, b] = angle.sin(), -angle.sin()
    cameras = frame.cameras
    return Cameras(cameras.K, turn @ cameras.R, cameras.t @ turn.T, cameras.size)


def edge_agreement(frame: LidarSample, cameras: Cameras) -> float:
    """How much brighter than elsewhere the image's edges are where the sweep sees the edge of something nearer.

    The measure by which Levinson and Thrun (2013, Automatic online calibration of cameras and lasers) calibrate.
    """
    gray = frame.images[0].float().mean(dim=0)
    edges = torch.zeros_like(gray)
    edges[:, 1:-1] = (gray[:, 2:] - gray[:, :-2]).abs()
    points = torch.from_numpy(returns(frame)[:, :3])
    ranges = points.norm(dim=1)
    jump = torch.zeros_like(ranges)
    jump[1:-1] = torch.maximum(ranges[:-2], ranges[2:]) - ranges[1:-1]  # returns of a beam follow one another
    pixels, depth = cameras.project(points)
    x, y = pixels[0].T
    seen = (depth[0] > 1) & (x > 1) & (x < cameras.size[1] - 1) & (y > 1) & (y < cameras.size[0] - 1)
    bright = edges[y[seen].long(), x[seen].long()]
    return float(bright[jump[seen] > 0.5].mean() / bright.mean())


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the KITTI drive in {DATA}")
def test_a_real_drive_fits_its_images() -> None:
    dataset = KittiRaw(DATA)
    assert len(dataset) == 26
    frames = [dataset[index] for index in range(0, 26, 6)]
    for frame in frames:
        assert returns(frame).shape[0] > 100_000
        assert 0 <= returns(frame)[:, 3].min() < returns(frame)[:, 3].max() <= 1
        pixels, depth = frame.cameras.project(torch.from_numpy(returns(frame)[:, :3]))
        within = (pixels[0] > 1) & (pixels[0] < torch.tensor([1241.0, 374.0]))
        seen = (within.all(dim=1) & (depth[0] > 1)).numpy()
        bearing = np.degrees(np.arctan2(returns(frame)[:, 1], returns(frame)[:, 0]))
        assert seen[(np.abs(bearing) < 35) & (returns(frame)[:, 0] > 5)].mean() > 0.75
        assert not seen[np.abs(bearing) > 60].any()
    agreement = {
        (degrees, axis): float(np.mean([edge_agreement(frame, turned(frame, degrees, axis)) for frame in frames]))
        for degrees in (-1.0, -0.5, 0.0, 0.5, 1.0)
        for axis in (0, 1)
    }
    best = agreement[0.0, 0]
    assert best > 2
    assert all(value < 0.95 * best for (degrees, _), value in agreement.items() if degrees != 0)
