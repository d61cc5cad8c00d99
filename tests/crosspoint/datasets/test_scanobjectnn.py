from pathlib import Path
from typing import get_args

import h5py
import numpy as np
import pytest

from crosspoint.datasets.labeled import labeled_clouds
from crosspoint.datasets.scanobjectnn import CLASSES, Variant, scanobjectnn_clouds

NAMES = {
    "obj_bg": "main_split/{}_objectdataset.h5",
    "obj_only": "main_split_nobg/{}_objectdataset.h5",
    "pb_t25": "main_split/{}_objectdataset_augmented25_norot.h5",
    "pb_t25_r": "main_split/{}_objectdataset_augmented25rot.h5",
    "pb_t50_r": "main_split/{}_objectdataset_augmentedrot.h5",
    "pb_t50_rs": "main_split/{}_objectdataset_augmentedrot_scale75.h5",
}


def write(path: Path, seed: int) -> np.ndarray:
    data = np.random.default_rng(seed).normal(2.0, 3.0, size=(4, 24, 3)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["data"], file["label"], file["mask"] = data, np.array([0, 4, 9, 14]), np.zeros((4, 24))
    return data


def test_each_variant_is_read_from_its_own_file(tmp_path: Path) -> None:
    expected = {}
    for seed, (variant, name) in enumerate(NAMES.items()):
        for offset, split in enumerate(("training", "test")):
            expected[variant, split] = write(tmp_path / name.format(split), 2 * seed + offset)
    for variant in get_args(Variant):
        for split, official in (("train", "training"), ("test", "test")):
            clouds = scanobjectnn_clouds(tmp_path, split, 16, variant)
            np.testing.assert_array_equal(clouds.points, expected[variant, official][:, :16])
            assert clouds.name == f"scanobjectnn/{variant}"
            assert [clouds.classes[label] for label in clouds.labels] == ["bag", "chair", "table", "toilet"]


def test_crosspoints_names_are_known(tmp_path: Path) -> None:
    data = write(tmp_path / "main_split" / "train.h5", 0)
    np.testing.assert_array_equal(scanobjectnn_clouds(tmp_path, "train", 24).points, data)


def test_other_places_of_the_files_are_known(tmp_path: Path) -> None:
    above = write(tmp_path / "h5_files" / NAMES["pb_t25_r"].format("test"), 0)
    alone = write(tmp_path / NAMES["pb_t50_rs"].format("test").removeprefix("main_split/"), 1)
    np.testing.assert_array_equal(scanobjectnn_clouds(tmp_path, "test", 24, "pb_t25_r").points, above)
    np.testing.assert_array_equal(scanobjectnn_clouds(tmp_path, "test", 24, "pb_t50_rs").points, alone)
    named = labeled_clouds("scanobjectnn_pb_t25_r", tmp_path, "test", points=24, normalize=False)
    np.testing.assert_array_equal(named.points, above)
    with pytest.raises(FileNotFoundError, match=r"expected main_split/test_objectdataset_augmentedrot\.h5 or test_obj"):
        scanobjectnn_clouds(tmp_path, "test", 24, "pb_t50_r")


def test_normalized_clouds_fill_the_unit_sphere(tmp_path: Path) -> None:
    stored = write(tmp_path / "main_split" / "test.h5", 0).astype(np.float64)
    clouds = scanobjectnn_clouds(tmp_path, "test", 24, normalize=True)
    for cloud, original in zip(clouds.points, stored, strict=True):
        centered = original - original.mean(axis=0)
        np.testing.assert_allclose(cloud, centered / np.linalg.norm(centered, axis=1).max(), atol=1e-5)
    assert clouds.name == "scanobjectnn/obj_bg/normalized"


def test_fifteen_classes() -> None:
    assert len(set(CLASSES)) == 15


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found the variant 'hardest', expected one of: obj_bg, obj_only, pb_t25, "):
        scanobjectnn_clouds(tmp_path, "train", variant="hardest")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="found the split 'val'"):
        scanobjectnn_clouds(tmp_path, "val")
    with pytest.raises(FileNotFoundError, match="found no folder"):
        scanobjectnn_clouds(tmp_path / "absent", "train")
    write(tmp_path / "h5_files" / "main_split" / "train.h5", 0)
    with pytest.raises(FileNotFoundError, match=r"found h5_files in .*, expected main_split_nobg"):
        scanobjectnn_clouds(tmp_path, "train", variant="obj_only")
    with pytest.raises(FileNotFoundError, match=r"found train\.h5 in .*: give the folder above it"):
        scanobjectnn_clouds(tmp_path / "h5_files" / "main_split", "train")
    with pytest.raises(FileNotFoundError, match=r"expected main_split_nobg/training_objectdataset\.h5: unpack"):
        scanobjectnn_clouds(tmp_path / "h5_files", "train", variant="obj_only")
    with pytest.raises(ValueError, match=r"train\.h5: found 24 points in a cloud, expected at least 1024"):
        scanobjectnn_clouds(tmp_path / "h5_files", "train")
