from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from crosspoint.datasets.labeled import labeled_clouds
from crosspoint.datasets.modelnet40_hdf5 import MODELNET40
from crosspoint.datasets.modelnet_r import MODELNET40 as BEFORE
from crosspoint.datasets.modelnet_r import MODELNET_R, modelnet_r_clouds
from crosspoint.eval.protocols.benchmarks import clouds_label, known_data

POINTS = np.random.default_rng(0).normal(size=(4, 8, 3)).astype(np.float32)


def write_text(root: Path, counts: dict[str, int]) -> None:
    """The test split in text, with so many shapes of some classes, each the first cloud turned by its number."""
    root.mkdir(parents=True)
    (root / "modelnet40_shape_names.txt").write_text("\n".join(MODELNET40) + "\n")
    shapes = [f"{name}_{number:04d}" for name, count in counts.items() for number in range(count)]
    (root / "modelnet40_test.txt").write_text("\n".join(shapes))
    rows = np.concatenate([POINTS[0], np.tile([0.0, 1.0, 0.0], (8, 1))], axis=1)
    for number, shape in enumerate(shapes):
        folder = root / shape.rpartition("_")[0]
        folder.mkdir(exist_ok=True)
        np.savetxt(folder / f"{shape}.txt", np.roll(rows, number, axis=0), fmt="%.6f", delimiter=",")


def test_both_layouts_are_read(tmp_path: Path) -> None:
    write_text(tmp_path / "text" / "modelnetR_normal_resampled", {"bowl": 2, "xbox": 1})
    text = modelnet_r_clouds(tmp_path / "text", "test", 8, ("normals",))
    assert [text.classes[label] for label in text.labels] == ["bowl", "bowl", "xbox"]
    assert np.allclose(text.points[1, :, :3], np.roll(POINTS[0], 1, axis=0), atol=1e-5)
    (tmp_path / "h5").mkdir()
    with h5py.File(tmp_path / "h5" / "ply_data_test0.h5", "w") as file:
        file["data"], file["label"] = POINTS, np.array([0, 6, 39, 6])
    archive = labeled_clouds("modelnet_r", tmp_path / "h5", "test", points=8, normalize=False)
    assert np.array_equal(archive.points, POINTS)
    for clouds in (text, archive):
        assert clouds.name == "modelnet_r" and clouds.classes == list(MODELNET40)
        assert known_data(clouds) == "modelnet_r" and clouds_label(clouds, tmp_path) == "ModelNet-R"


def test_modelnet40_is_not_taken_for_it(tmp_path: Path) -> None:
    for number, counts in enumerate((BEFORE, MODELNET_R)):
        labels = [MODELNET40.index(name) for name, count in counts["test"].items() for _ in range(count)]
        (tmp_path / str(number)).mkdir()
        with h5py.File(tmp_path / str(number) / "ply_data_test0.h5", "w") as file:
            file["data"], file["label"] = np.tile(POINTS[:1], (len(labels), 1, 1)), np.array(labels)
    assert len(modelnet_r_clouds(tmp_path / "1", "test", 8)) == sum(MODELNET_R["test"].values())
    with pytest.raises(
        ValueError, match=r"found ModelNet40 in .*, with 20 of flower_pot, expected ModelNet-R: run the"
    ):
        modelnet_r_clouds(tmp_path / "0", "test", 8)
    with pytest.raises(ValueError, match="found the split 'val'"):
        modelnet_r_clouds(tmp_path / "1", "val", 8)
    with pytest.raises(FileNotFoundError, match="found no folder"):
        modelnet_r_clouds(tmp_path / "nowhere", "test")
