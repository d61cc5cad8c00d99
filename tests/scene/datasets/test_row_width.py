from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crosspoint.scene.datasets.readers import read_sweep
from crosspoint.scene.datasets.row_width import shown_widths

DATA = Path(__file__).parents[4] / "shared" / "data"
REAL = {
    "kitti_raw/2011_09_26/2011_09_26_drive_0000_sync/velodyne_points/data/0000000000.bin": 4,
    "kitti_object/training/velodyne/000000.bin": 4,
    "semantickitti_scan/sequences/08/velodyne/000000.bin": 4,
    "rellis3d_frame/000104.bin": 4,
}
NUSCENES = DATA / "nuscenes" / "samples" / "LIDAR_TOP"


def rows(width: int, count: int, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    """Returns in random order: x y z intensity ring time speed number."""
    rng = np.random.default_rng(seed)
    azimuth, distance = rng.uniform(-np.pi, np.pi, count), rng.uniform(3, 40, count)
    columns = [distance * np.cos(azimuth), distance * np.sin(azimuth), rng.uniform(-1.7, 1.5, count)]
    columns += [np.round(rng.uniform(0, scale, count)) if scale > 1 else rng.uniform(0, 1, count)]
    columns += [rng.integers(0, 32, count).astype(float), rng.uniform(0, 0.1, count), rng.normal(size=count)]
    columns += [rng.integers(0, 60_000, count).astype(float)]
    return np.stack(columns[:width], axis=1).astype("<f4")


@pytest.mark.parametrize("count", [120, 840, 2520])
@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_every_width_is_told_from_every_other(count: int, scale: float) -> None:
    for true in range(3, 9):
        numbers = rows(true, count, scale).ravel()
        assert shown_widths(numbers, true) == []
        for wrong in range(3, 9):
            divides = len(numbers) % wrong == 0 and wrong % true != 0
            if divides and wrong != true:
                assert shown_widths(numbers, wrong) == [true], (true, wrong)


@pytest.mark.parametrize(("file", "width"), list(REAL.items()))
def test_real_sweeps_show_their_own_width(file: str, width: int) -> None:
    if not (DATA / file).is_file():
        pytest.skip(f"needs the sweep {DATA / file}")
    numbers = np.fromfile(DATA / file, dtype="<f4")
    assert shown_widths(numbers, width) == []
    ringed = np.concatenate([numbers.reshape(-1, 4), np.arange(len(numbers) // 4)[:, None] % 64], axis=1)
    ringed = ringed[: len(ringed) // 4 * 4].astype("<f4").ravel()
    assert shown_widths(ringed, 4) == [5]


@pytest.mark.skipif(not NUSCENES.is_dir(), reason=f"needs the sweep in {NUSCENES}")
def test_a_sweep_of_nuscenes_is_not_read_with_four_columns() -> None:
    (path,) = NUSCENES.glob("*.bin")
    assert len(read_sweep(path, 5, 255.0).points) == 34_688
    with pytest.raises(ValueError, match=r"found numbers that repeat every 5 in .*, expected rows of 4 float32: give"):
        read_sweep(path, 4, 255.0)


def test_beams_that_alternate_are_no_wider_rows() -> None:
    """A VLP-16 fires −15°, 1°, −13°, 3°, …: every other return lies near, below the sensor."""
    elevation = np.radians(np.tile([-15, 1, -13, 3, -11, 5, -9, 7, -7, 9, -5, 11, -3, 13, -1, 15], 900))
    azimuth = np.repeat(np.linspace(0, 2 * np.pi, 900), 16)
    below = np.minimum(1.8 / np.sin(np.maximum(-elevation, 1e-3)), 60)
    rng = np.random.default_rng(0)
    distance = np.where(elevation < 0, below, rng.uniform(30, 50, len(azimuth)))
    flat = distance * np.cos(elevation)
    for intensity in (rng.uniform(0, 1, len(azimuth)), rng.integers(0, 255, len(azimuth)), np.zeros(len(azimuth))):
        columns = [flat * np.cos(azimuth), flat * np.sin(azimuth), distance * np.sin(elevation), intensity]
        assert shown_widths(np.stack(columns, axis=1).astype("<f4").ravel(), 4) == []


def test_lost_returns_change_nothing() -> None:
    lost = rows(4, 6000)
    lost[::3] = np.nan
    lost[1::3] = 0
    assert shown_widths(lost.ravel(), 4) == []


def test_files_that_do_not_divide_name_the_widths_that_do(tmp_path: Path) -> None:
    rows(5, 1001).tofile(tmp_path / "a.bin")
    with pytest.raises(ValueError, match=r"multiple of 16 .* give `columns` if rows have 5, 7 numbers"):
        read_sweep(tmp_path / "a.bin")
    rows(3, 1000).tofile(tmp_path / "b.bin")
    with pytest.raises(ValueError, match=r"repeat every 3 .* expected rows of 4"):
        read_sweep(tmp_path / "b.bin")
    sweep = read_sweep(tmp_path / "b.bin", columns=3)
    assert len(sweep.points) == 1000 and not sweep.intensity.any()
