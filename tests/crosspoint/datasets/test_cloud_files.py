from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from crosspoint.datasets.cloud_files import read_named
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.datasets.readers import read_sweep
from tests.scene.datasets.test_row_width import rows
from tests.scene.frames import returns

ROWS = rows(4, 60)


def ply(rows: np.ndarray, binary: bool) -> bytes:
    names = ("x", "y", "z", "intensity")
    kind = "binary_little_endian" if binary else "ascii"
    head = f"ply\nformat {kind} 1.0\nelement vertex {len(rows)}\n"
    head += "".join(f"property float {name}\n" for name in names) + "end_header\n"
    body = (
        rows.astype("<f4").tobytes() if binary else "\n".join(" ".join(map(repr, map(float, r))) for r in rows).encode()
    )
    return head.encode() + body + (b"" if binary else b"\n")


@pytest.mark.parametrize("binary", [True, False])
def test_ply(tmp_path: Path, binary: bool) -> None:
    (tmp_path / "a.ply").write_bytes(ply(ROWS, binary))
    assert np.array_equal(read_named(tmp_path / "a.ply"), ROWS)


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ROWS.astype(np.float64))
    assert np.array_equal(read_named(tmp_path / "a.npy"), ROWS)
    named = np.zeros(60, dtype=[("ring", "u2"), ("Intensity", "f4"), ("x", "f8"), ("y", "f4"), ("z", "f4")])
    for place, name in enumerate(("x", "y", "z", "Intensity")):
        named[name] = ROWS[:, place]
    np.save(tmp_path / "b.npy", named)
    assert np.array_equal(read_named(tmp_path / "b.npy"), ROWS)
    np.save(tmp_path / "c.npy", ROWS[:, :3])
    sweep = read_sweep(tmp_path / "c.npy")
    assert np.array_equal(sweep.points, ROWS[:, :3]) and not sweep.intensity.any()


@pytest.mark.parametrize("encoding", ["ascii", "binary", "binary_compressed"])
def test_pcd(tmp_path: Path, encoding: str) -> None:
    pypcd4 = pytest.importorskip("pypcd4")
    cloud = pypcd4.PointCloud.from_points(ROWS, ("x", "y", "z", "intensity"), (np.float32,) * 4)
    cloud.save(tmp_path / "a.pcd", encoding=pypcd4.Encoding(encoding))
    assert np.allclose(read_named(tmp_path / "a.pcd"), ROWS, atol=1e-6 if encoding == "ascii" else 0)


def test_las(tmp_path: Path) -> None:
    laspy = pytest.importorskip("laspy")
    cloud = laspy.create(point_format=3, file_version="1.2")
    cloud.header.scales = [0.001] * 3
    cloud.x, cloud.y, cloud.z = ROWS[:, :3].T.astype(np.float64)
    cloud.intensity = np.arange(60)
    cloud.write(tmp_path / "a.las")
    found = read_named(tmp_path / "a.las")
    assert np.allclose(found[:, :3], ROWS[:, :3], atol=6e-4) and found[:, 3].tolist() == list(range(60))


@pytest.mark.parametrize(("suffix", "package"), [("pcd", "pypcd4"), ("las", "laspy"), ("laz", "laspy")])
def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / f"a.{suffix}").write_bytes(b"some")
    with pytest.raises(ImportError, match=f"but no {package} to read it, expected it: pip install {package}"):
        read_sweep(tmp_path / f"a.{suffix}")


def test_broken_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"no array")
    (tmp_path / "a.ply").write_bytes(ply(ROWS, True)[:300])
    for suffix in ("npy", "ply"):
        with pytest.raises(
            ValueError, match=rf"found a sweep that cannot be read, .*a.{suffix} .* expected a whole one"
        ):
            read_sweep(tmp_path / f"a.{suffix}")
    np.save(tmp_path / "b.npy", np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"found numbers of shape \(5, 2\) in .*b.npy"):
        read_sweep(tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", np.zeros(5, dtype=[("x", "f4"), ("y", "f4")]))
    with pytest.raises(ValueError, match=r"no field z among x, y"):
        read_sweep(tmp_path / "c.npy")


def test_a_rig_says_its_columns_and_scale(tmp_path: Path) -> None:
    """In its calibration or as an argument, which goes before."""
    wide = rows(5, 300, scale=255.0)
    (tmp_path / "points").mkdir()
    wide.tofile(tmp_path / "points" / "a.bin")
    (tmp_path / "calibration.yaml").write_text("cameras: []\nintensity_scale: 255\n")
    with pytest.raises(ValueError, match=r"repeat every 5 .* expected rows of 4 .* give 5 as `columns`"):
        FolderScenes(tmp_path)[0]
    expected = np.column_stack([wide[:, :3], wide[:, 3] / np.float32(255)])
    assert np.array_equal(returns(FolderScenes(tmp_path, columns=5)[0]), expected)
    (tmp_path / "calibration.yaml").write_text("cameras: []\ncolumns: 5\n")
    with pytest.raises(ValueError, match=r"found intensities up to .* give the sensor's .* `intensity_scale`"):
        FolderScenes(tmp_path)[0]
    assert np.array_equal(returns(FolderScenes(tmp_path, intensity_scale=255)[0]), expected)
    with pytest.raises(ValueError, match=r"repeat every 5 .* expected rows of 4"):
        FolderScenes(tmp_path, columns=4)[0]
    for wrong in ("2", "five"):
        (tmp_path / "calibration.yaml").write_text(f"cameras: []\ncolumns: {wrong}\n")
        with pytest.raises(
            ValueError, match=rf"found '?{wrong}'? at columns in .*calibration.yaml, expected a whole number"
        ):
            FolderScenes(tmp_path)


def test_sweeps_of_a_rig_may_be_arrays(tmp_path: Path) -> None:
    (tmp_path / "points").mkdir()
    np.save(tmp_path / "points" / "a.npy", ROWS)
    (tmp_path / "calibration.yaml").write_text("cameras: []\n")
    dataset = FolderScenes(tmp_path)
    assert dataset[0].name == "a" and np.array_equal(returns(dataset[0]), ROWS)
    assert len(dataset[0].images) == 0 and dataset.files(0) == [tmp_path / "points" / "a.npy"]
