"""Normals and colors of clouds, from every kind of file that has them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import trimesh

from crosspoint.datasets.cloud_folder import CloudFolder, LabeledCloudFolder
from crosspoint.datasets.cloud_reading import read_cloud
from crosspoint.datasets.field_columns import as_shares, named_fields, unnamed_fields
from crosspoint.datasets.labeled import labeled_clouds
from crosspoint.datasets.modelnet import modelnet_clouds
from crosspoint.datasets.modelnet40_hdf5 import modelnet40_hdf5_clouds
from crosspoint.datasets.modelnet40_resampled import resampled_clouds
from crosspoint.datasets.rendered import RenderedPairs, rendered_clouds
from crosspoint.datasets.shapenetpart import shapenetpart_clouds
from crosspoint.fields import Fields
from crosspoint.renderers import render_folder

RANDOM = np.random.default_rng(0)
POINTS = RANDOM.normal(size=(50, 3)).astype(np.float32) * 5
NORMALS = (POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)).astype(np.float32)
COLORS = RANDOM.integers(0, 256, (50, 3)).astype(np.uint8)
BOTH: Fields = ("normals", "colors")
WHOLE = np.concatenate([POINTS, NORMALS, COLORS / np.float32(255)], axis=1)


def write_ply(path: Path) -> None:
    kinds = [(name, "f4") for name in ("x", "y", "z", "nx", "ny", "nz")] + [(c, "u1") for c in ("red", "green", "blue")]
    rows = np.zeros(50, dtype=kinds)
    for (name, _), column in zip(kinds, np.concatenate([POINTS, NORMALS, COLORS], axis=1).T, strict=True):
        rows[name] = column
    types = {"f4": "float", "u1": "uchar"}
    header = ["ply", "format binary_little_endian 1.0", "element vertex 50"]
    header += [f"property {types[kind]} {name}" for name, kind in kinds] + ["end_header", ""]
    path.write_bytes("\n".join(header).encode() + rows.tobytes())


def write_files(root: Path) -> None:
    write_ply(root / "a.ply")
    np.save(root / "b.npy", np.concatenate([POINTS, NORMALS, COLORS.astype(np.float32)], axis=1))
    np.savez(root / "c.npz", points=np.concatenate([POINTS, COLORS / np.float32(255), NORMALS], axis=1))
    np.savetxt(root / "d.xyz", np.concatenate([POINTS, COLORS, NORMALS], axis=1), fmt="%.8g")
    named = np.zeros(50, dtype=[(n, "f4") for n in ("x", "y", "z", "r", "g", "b", "normal_x", "normal_y", "normal_z")])
    for name, column in zip(named.dtype.names or (), np.concatenate([POINTS, COLORS, NORMALS], axis=1).T, strict=True):
        named[name] = column
    np.save(root / "e.npy", named)


def test_every_format_gives_the_same_fields(tmp_path: Path) -> None:
    write_files(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        assert np.allclose(read_cloud(path, 1, path.name, BOTH), WHOLE, atol=1e-5), path.name
        assert np.allclose(read_cloud(path, 1, path.name, ("colors",)), WHOLE[:, [0, 1, 2, 6, 7, 8]], atol=1e-5)
        assert np.array_equal(read_cloud(path, 1, path.name), read_cloud(path, 1, path.name, BOTH)[:, :3])


def test_a_folder_of_colored_clouds_keeps_fields_with_points(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / "ball" / split).mkdir(parents=True)
        write_ply(tmp_path / "ball" / split / "0.ply")
    known = {tuple(row) for row in WHOLE.round(4).tolist()}
    pairs = CloudFolder(tmp_path, points=20, cache=True)
    told = pairs.with_fields(BOTH)
    assert {tuple(row) for row in told[0, 0].points.numpy().round(4).tolist()} <= known
    assert np.array_equal(told[0, 0].points[:, :3], pairs[0, 0].points) and pairs[0, 0].points.shape == (20, 3)
    clouds = labeled_clouds("clouds", tmp_path, "test", points=20, normalize=False, up_axis="z", fields=BOTH)
    assert clouds.fields == BOTH and clouds.points.shape == (1, 20, 9)
    flat = LabeledCloudFolder(tmp_path).clouds_with("test", 20, 0, BOTH).points[0]
    turned = flat[:, [0, 2, 1, 3, 5, 4, 6, 7, 8]] * np.array([1, 1, -1, 1, 1, -1, 1, 1, 1])
    assert np.allclose(clouds.points[0], turned, atol=1e-6)


def test_normals_of_meshes_are_those_of_the_faces(tmp_path: Path) -> None:
    (tmp_path / "box" / "train").mkdir(parents=True)
    trimesh.creation.box((1, 2, 3)).export(tmp_path / "box" / "train" / "0.off")
    clouds = modelnet_clouds(tmp_path, "train", 64, fields=["normals"], jobs=1)
    points, normals = clouds.points[0, :, :3], clouds.points[0, :, 3:]
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    side = np.abs(normals).argmax(axis=1)
    outward = np.take_along_axis(points, side[:, None], 1) * np.take_along_axis(normals, side[:, None], 1)
    reach = np.abs(points).max(axis=0)[side]  # a box's side faces outward, at its full reach
    assert np.allclose(outward[:, 0], reach, rtol=0.1)
    assert np.array_equal(modelnet_clouds(tmp_path, "train", 64, jobs=1).points[0], points)
    with pytest.raises(ValueError, match=r"found no colors in box/train/0\.off"):
        modelnet_clouds(tmp_path, "train", 8, fields=["colors"], jobs=1)


def test_rendered_sets_give_what_they_store(tmp_path: Path) -> None:
    (tmp_path / "meshes" / "box").mkdir(parents=True)
    mesh = trimesh.creation.box((1, 2, 3))
    mesh.visual.face_colors = np.tile([255, 0, 51, 255], (12, 1))
    mesh.export(tmp_path / "meshes" / "box" / "0.ply")
    render_folder(tmp_path / "meshes", tmp_path / "views", views=1, size=16, points=40, jobs=1)
    for cache in (False, True):
        plain = RenderedPairs(tmp_path / "views", cache=cache)
        points = plain.with_fields(BOTH)[0, 0].points
        assert points.shape == (40, 9) and np.array_equal(points[:, :3], plain[0, 0].points)
        assert np.array_equal(points[:, 3:6], plain.set.normals(0))
        assert np.allclose(points[:, 6:], [1.0, 0.0, 0.2])
    assert rendered_clouds(tmp_path / "views", "all", 30, ("normals",)).points.shape == (1, 30, 6)
    gray = tmp_path / "gray"
    (gray / "box").mkdir(parents=True)
    trimesh.Trimesh(mesh.vertices, mesh.faces).export(gray / "box" / "0.off")
    render_folder(gray, tmp_path / "gray_views", views=1, size=16, points=40, jobs=1)
    with pytest.raises(ValueError, match=r"found no colors in 1 of 1 objects of .*gray_views, expected x y z, colors"):
        RenderedPairs(tmp_path / "gray_views").with_fields(("colors",))


def test_archives_of_six_columns_and_of_normals_beside(tmp_path: Path) -> None:
    data = np.stack([np.concatenate([POINTS, NORMALS], axis=1)] * 2)
    for name, content in (("six", {"data": data}), ("beside", {"data": data[..., :3], "normal": data[..., 3:]})):
        (tmp_path / name).mkdir()
        with h5py.File(tmp_path / name / "ply_data_train0.h5", "w") as file:
            for key, value in content.items():
                file[key] = value
            file["label"] = np.array([0, 1])
        found = modelnet40_hdf5_clouds(tmp_path / name, "train", 30, ("normals",))
        assert np.array_equal(found.points, data[:, :30]) and found.fields == ("normals",)
        assert np.array_equal(modelnet40_hdf5_clouds(tmp_path / name, "train", 30).points, data[:, :30, :3])
    with pytest.raises(ValueError, match=r"found 6 columns in .*ply_data_train0.h5, expected colors among them"):
        modelnet40_hdf5_clouds(tmp_path / "six", "train", 30, ("colors",))


def write_resampled(root: Path) -> np.ndarray:
    shapes = {"train": ["chair_0001", "night_stand_0001"], "test": ["night_stand_0002"]}
    (root / "modelnet40_shape_names.txt").write_text("chair\nnight_stand\n")
    rows = np.concatenate([POINTS, NORMALS], axis=1)
    for split, names in shapes.items():
        (root / f"modelnet40_{split}.txt").write_text("\n".join(names) + "\n")
        for number, name in enumerate(names):
            folder = root / name.rpartition("_")[0]
            folder.mkdir(exist_ok=True)
            np.savetxt(folder / f"{name}.txt", np.roll(rows, number, axis=0), fmt="%.6f", delimiter=",")
    return rows


def test_resampled_modelnet40_is_read(tmp_path: Path) -> None:
    inner = tmp_path / "modelnet40_normal_resampled"
    inner.mkdir()
    rows = write_resampled(inner)
    train = resampled_clouds(tmp_path, "train", 20, ("normals",), jobs=1)
    assert [train.classes[label] for label in train.labels] == ["chair", "night_stand"]
    assert np.allclose(train.points[1], np.roll(rows, 1, axis=0)[:20], atol=1e-6)
    test = labeled_clouds("modelnet40_resampled", inner, "test", points=20, normalize=False)
    assert np.allclose(test.points[0], rows[:20, :3], atol=1e-6) and test.fields == ()
    (inner / "night_stand" / "night_stand_0002.txt").write_text("1,2,3,4,5,6\n")
    with pytest.raises(ValueError, match=r"found numbers of shape \(1, 6\) in .*, expected 20 rows"):
        resampled_clouds(inner, "test", 20, jobs=1)
    (inner / "modelnet40_test.txt").write_text("sofa_0001\n")
    with pytest.raises(ValueError, match="found the shape 'sofa_0001' in a list"):
        resampled_clouds(inner, "test", 20, jobs=1)
    with pytest.raises(ValueError, match=r"found no colors in .*, whose rows are a point and its normal"):
        resampled_clouds(inner, "train", 20, BOTH)
    with pytest.raises(FileNotFoundError, match=r"get modelnet40_normal_resampled\.zip"):
        resampled_clouds(inner / "chair", "train", 20)
    with pytest.raises(ValueError, match="found the split 'val'"):
        resampled_clouds(inner, "val", 20)


def test_shapenetpart_in_text_has_normals(tmp_path: Path) -> None:
    (tmp_path / "02691156").mkdir()
    parts = np.arange(50) % 4
    rows = np.concatenate([POINTS, NORMALS, parts[:, None]], axis=1)
    np.savetxt(tmp_path / "02691156" / "a.txt", rows, fmt="%.7g")
    (tmp_path / "synsetoffset2category.txt").write_text("Airplane\t02691156\n")
    (tmp_path / "train_test_split").mkdir()
    (tmp_path / "train_test_split" / "shuffled_train_file_list.json").write_text('["shape_data/02691156/a"]')
    found = shapenetpart_clouds(tmp_path, "train", 30, fields=("normals",))
    plain = shapenetpart_clouds(tmp_path, "train", 30)
    assert np.array_equal(found.points[..., :3], plain.points) and np.array_equal(found.parts, plain.parts)
    own = {tuple(row[:3].round(3)): row for row in rows}
    for point, part in zip(found.points[0], found.parts[0], strict=True):
        row = own[tuple(point[:3].astype(np.float64).round(3))]
        assert np.allclose(point[3:], row[3:6], atol=1e-6) and part == row[6]


def test_colors_of_any_range_become_shares() -> None:
    assert np.allclose(as_shares(COLORS), COLORS / 255)
    assert np.allclose(as_shares(COLORS.astype(np.float64)), COLORS / 255)
    assert np.allclose(as_shares(COLORS.astype(np.uint16) * 257), COLORS / 255, atol=1e-6)
    assert np.allclose(as_shares(COLORS / 255), COLORS / 255)
    packed = (COLORS.astype(np.uint32) * np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)).sum(axis=1, dtype=np.uint32)
    for stored in (packed, packed.view(np.float32)):
        assert np.allclose(named_fields({"rgb": stored}, ("colors",), "a.pcd"), COLORS / 255)


def test_what_is_no_field_is_named() -> None:
    with pytest.raises(ValueError, match="found 6 columns in a, expected normals among them, three of length 1"):
        unnamed_fields(POINTS, ("normals",), "a")
    with pytest.raises(ValueError, match="found 3 columns in a, expected normals among them"):
        unnamed_fields(np.zeros((50, 0)), ("normals",), "a")
    with pytest.raises(ValueError, match="found the fields x, y in a, expected colors among them"):
        named_fields({"x": POINTS[:, 0], "y": POINTS[:, 1]}, ("colors",), "a")
    with pytest.raises(ValueError, match=r"found numbers from .* in their place in a, expected normals"):
        named_fields(dict(zip(("nx", "ny", "nz"), POINTS.T, strict=True)), ("normals",), "a")
