from pathlib import Path

import h5py
import numpy as np
import pytest

from crosspoint.datasets.modelnet40_hdf5 import MODELNET40, modelnet40_hdf5_clouds


def write(root: Path, name: str, data: np.ndarray, labels: np.ndarray) -> None:
    with h5py.File(root / name, "w") as file:
        file["data"], file["label"] = data, labels


@pytest.fixture
def data() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, 32, 3)).astype(np.float32)


def test_splits_are_read_in_order(tmp_path: Path, data: np.ndarray) -> None:
    write(tmp_path, "ply_data_train1.h5", data[2:4], np.array([[39], [1]]))
    write(tmp_path, "ply_data_train0.h5", data[:2], np.array([[0], [8]]))
    write(tmp_path, "ply_data_test0.h5", data[4:], np.array([[2], [3]]))
    train, test = (modelnet40_hdf5_clouds(tmp_path, split, points=16) for split in ("train", "test"))
    np.testing.assert_array_equal(train.points, data[:4, :16])
    np.testing.assert_array_equal(test.points, data[4:, :16])
    assert [train.classes[label] for label in train.labels] == ["airplane", "chair", "xbox", "bathtub"]
    assert train.classes == test.classes == sorted(MODELNET40)
    assert len(MODELNET40) == 40


def test_names_in_the_folder_win(tmp_path: Path, data: np.ndarray) -> None:
    write(tmp_path, "ply_data_test0.h5", data, np.array([0, 1, 0, 1, 0, 1]))
    (tmp_path / "shape_names.txt").write_text("cup\nhat\n")
    assert modelnet40_hdf5_clouds(tmp_path, "test", 8).classes == ["cup", "hat"]


def test_bad_input_is_named(tmp_path: Path, data: np.ndarray) -> None:
    with pytest.raises(ValueError, match="found the split 'val', expected one of: train, test"):
        modelnet40_hdf5_clouds(tmp_path, "val")
    with pytest.raises(FileNotFoundError, match=r"ply_data_train\*\.h5: get modelnet40_ply_hdf5_2048\.zip"):
        modelnet40_hdf5_clouds(tmp_path, "train")
    write(tmp_path, "ply_data_train0.h5", data, np.array([0, 1, 2, 3, 4, 40]))
    with pytest.raises(ValueError, match="found labels 0…40, expected 0…39"):
        modelnet40_hdf5_clouds(tmp_path, "train", 8)
    broken = data.copy()
    broken[3, 5, 1] = np.nan
    write(tmp_path, "ply_data_train0.h5", broken, np.arange(6))
    with pytest.raises(ValueError, match=r"found 1 clouds with NaN .*number 3"):
        modelnet40_hdf5_clouds(tmp_path, "train", 8)


def test_names_lie_beside_the_files_also_from_the_folder_above(tmp_path: Path, data: np.ndarray) -> None:
    inner = tmp_path / "modelnet40_ply_hdf5_2048"
    inner.mkdir()
    write(inner, "ply_data_test0.h5", data, np.array([0, 1, 0, 1, 0, 1]))
    (inner / "shape_names.txt").write_text("cup\nhat\n")
    assert modelnet40_hdf5_clouds(tmp_path, "test", 8).classes == ["cup", "hat"]
