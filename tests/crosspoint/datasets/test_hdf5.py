from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from crosspoint.datasets.hdf5 import find_archives, read_archives


def write(path: Path, **arrays: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for key, value in arrays.items():
            file[key] = value
    return path


def clouds(n: int = 3, points: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, points, 3)).astype(np.float32)


def test_files_follow_one_another_and_first_points_are_kept(tmp_path: Path) -> None:
    first, second = clouds(3, 8, 1), clouds(2, 6, 2).astype(np.float64)
    a = write(tmp_path / "a.h5", data=first, label=np.array([[4], [5], [6]], np.uint8), pid=np.arange(24).reshape(3, 8))
    b = write(tmp_path / "b.h5", data=second, label=np.array([1, 2]), pid=np.zeros((2, 6), np.int32))
    archive = read_archives([a, b], 5, part_keys=["pid"])
    expected = np.concatenate([first[:, :5], second[:, :5].astype(np.float32)])
    np.testing.assert_array_equal(archive.points, expected)
    np.testing.assert_array_equal(archive.labels, [4, 5, 6, 1, 2])
    assert archive.parts is not None
    np.testing.assert_array_equal(archive.parts[:3], np.arange(24).reshape(3, 8)[:, :5])
    assert (archive.points.dtype, archive.labels.dtype, archive.parts.dtype) == (np.float32, np.int64, np.int64)


def test_files_are_opened_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.h5", data=clouds(), label=np.arange(3))
    modes = []

    class Spy(h5py.File):
        def __init__(self, name: Path, mode: str) -> None:
            modes.append(mode)
            super().__init__(name, mode)

    monkeypatch.setattr(h5py, "File", Spy)
    read_archives([path], 8)
    assert set(modes) == {"r"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.move("data", "points"), r"found the keys \['label', 'pid', 'points'\], expected \['data'"),
        (lambda f: f.move("pid", "seg"), r"found the keys .*'seg'.*expected .*'pid'"),
        (lambda f: replace(f, "label", np.arange(4)), r"found label of shape \(4,\), expected one label for each of 3"),
        (lambda f: replace(f, "data", np.zeros((3, 8))), r"found data of shape \(3, 8\), expected"),
        (lambda f: replace(f, "data", np.zeros((0, 8, 3))), "found no cloud"),
        (lambda f: replace(f, "data", np.zeros((3, 4, 3))), "found 4 points in a cloud, expected at least 8"),
        (lambda f: replace(f, "pid", np.zeros((3, 7), int)), r"found pid of shape \(3, 7\)"),
        (lambda f: replace(f, "label", np.zeros(3)), "found label of type float64, expected whole numbers"),
    ],
)
def test_bad_archives_are_named(tmp_path: Path, change: Callable[[h5py.File], None], message: str) -> None:
    good = write(tmp_path / "good.h5", data=clouds(), label=np.arange(3), pid=np.zeros((3, 8), int))
    bad = write(tmp_path / "bad.h5", data=clouds(), label=np.arange(3), pid=np.zeros((3, 8), int))
    with h5py.File(bad, "a") as file:
        change(file)
    with pytest.raises(ValueError, match=rf"bad\.h5: {message}"):
        read_archives([good, bad], 8, part_keys=["pid"])


def replace(file: h5py.File, key: str, value: np.ndarray) -> None:
    del file[key]
    file[key] = value


def test_what_is_no_hdf5_is_named(tmp_path: Path) -> None:
    path = tmp_path / "page.h5"
    path.write_text("<html>404</html>")
    with pytest.raises(ValueError, match=r"page\.h5 that cannot be read .*expected an HDF5 archive"):
        read_archives([path], 8)
    whole = write(tmp_path / "whole.h5", data=clouds(50, 64), label=np.arange(50)).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"page\.h5 that cannot be read .*expected an HDF5 archive"):
        read_archives([path], 8)


def test_missing_files_are_named_with_their_source(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"found no folder .*absent.*: get it there"):
        find_archives(tmp_path / "absent", "*.h5", "get it there")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"found notes\.txt in .*, expected \*train\*\.h5: get it there"):
        find_archives(tmp_path, "*train*.h5", "get it there")


def test_normals_after_xyz_are_left_out(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(3, 8, 6)).astype(np.float32)
    path = write(tmp_path / "a.h5", data=data, label=np.arange(3))
    np.testing.assert_array_equal(read_archives([path], 5).points, data[:, :5, :3])


def test_the_folder_above_is_taken_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    path = write(tmp_path / "inner" / "train0.h5", data=clouds(), label=np.arange(3))
    assert find_archives(tmp_path, "train*.h5", "get it") == [path]
    (tmp_path / "other").mkdir()
    write(tmp_path / "other" / "train0.h5", data=clouds(), label=np.arange(3))
    with pytest.raises(ValueError, match=r"several folders of .* \(inner, other\), expected one: give one of them"):
        find_archives(tmp_path, "train*.h5", "get it")
