from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import trimesh

from crosspoint.datasets.labeled import labeled_clouds


@pytest.mark.parametrize(("up_axis", "column"), [(None, 1), ("y", 1), ("z", 2), ("x", 0)])
def test_stored_clouds_are_turned_to_y_up(up_axis: str | None, column: int, tmp_path: Path) -> None:
    stored = np.random.default_rng(0).normal(size=(2, 20, 3)).astype(np.float32)
    with h5py.File(tmp_path / "ply_data_train0.h5", "w") as file:
        file["data"], file["label"] = stored, np.zeros((2, 1), dtype=np.uint8)
    found = labeled_clouds("modelnet40_hdf5", tmp_path, "train", points=20, normalize=False, up_axis=up_axis).points
    assert found.dtype == np.float32
    assert np.allclose(found[..., 1], stored[..., column])
    # A turn, not a reflection.
    assert np.allclose(np.linalg.det(found[0, :3]), np.linalg.det(stored[0, :3]), atol=1e-5)


def test_meshes_are_turned_as_their_tree_says(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "train").mkdir(parents=True)
        trimesh.creation.box((1, 1, 4)).export(tmp_path / name / "train" / f"{name}_0001.off")
    for up_axis, tallest in ((None, 1), ("y", 2)):
        clouds = labeled_clouds("modelnet", tmp_path, "train", points=200, up_axis=up_axis)
        assert (np.ptp(clouds.points, axis=1).argmax(axis=1) == tallest).all()


@pytest.mark.parametrize("points", [0, -3])
def test_clouds_of_no_points_are_refused(points: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"found {points} points asked for, expected at least 1"):
        labeled_clouds("modelnet40_hdf5", tmp_path, "train", points=points)
