"""Folders of users' own clouds: layouts, files of every kind, splits that are named or drawn, and what needs views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from torch import Generator

from crosspoint.datasets.cloud_folder import CloudFolder, LabeledCloudFolder
from crosspoint.methods.crosspoint import CrossPoint
from crosspoint.models.image_encoder import ImageEncoder
from crosspoint.models.pointnet import PointNet

CLASSES = ["ball", "box"]


def write_clouds(root: Path, places: list[str], points: int = 80) -> Path:
    for number, place in enumerate(places):
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        cloud = np.random.default_rng(number).normal(size=(points, 3)).astype(np.float32)
        if path.suffix == ".npy":
            np.save(path, cloud)
        elif path.suffix == ".xyz":
            np.savetxt(path, cloud)
        elif path.suffix == ".off":
            trimesh.creation.box().export(path)
    return root


def without_splits(root: Path, each: int = 5) -> Path:
    return write_clouds(root, [f"{name}/{i}.npy" for name in CLASSES for i in range(each)])


def test_clouds_of_a_file_come_as_they_are(tmp_path: Path) -> None:
    root = write_clouds(tmp_path, ["ball/train/a.npy", "box/train/b.xyz", "box/test/c.npy"])
    pairs = CloudFolder(root, split="train", points=80)
    assert pairs.classes == CLASSES
    assert pairs.labels.tolist() == [0, 1]
    for index in range(2):
        drawn, right = pairs.read_points(index), np.random.default_rng(index).normal(size=(80, 3))
        np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(right, axis=0), atol=1e-6)
    assert pairs[0, 1].images.shape == (0, 3, 1, 1)
    assert pairs.where(1) == str(root / "box" / "train" / "b.xyz")


@pytest.mark.parametrize("points", [50, 80, 200])
def test_every_cloud_has_as_many_points(points: int, tmp_path: Path) -> None:
    root = without_splits(tmp_path)
    pairs, cached = CloudFolder(root, points=points), CloudFolder(root, points=points, cache=True)
    cloud, whole = pairs.read_points(3), {tuple(row) for row in np.load(root / "ball" / "3.npy").tolist()}
    rows = [tuple(row) for row in cloud.tolist()]
    assert len(rows) == points
    assert {*rows} <= whole
    assert len({*rows}) == min(points, 80)
    np.testing.assert_array_equal(cached[3, 9].points.numpy(), cloud)


def test_splits_are_drawn_by_a_seed_alike_for_training_and_test(tmp_path: Path) -> None:
    root = without_splits(tmp_path / "clouds")
    train, labeled = CloudFolder(root, split="train", points=8), LabeledCloudFolder(root)
    assert len(train) == labeled.count("train") == 8
    paths = {item.path for item in CloudFolder(root, split="test", points=8).items}
    assert paths.isdisjoint({item.path for item in train.items})
    assert labeled.clouds("test", 8, 0).labels.tolist() == [0, 1]
    assert not {*labeled.identities("train")} & {*labeled.identities("test")}
    other = CloudFolder(root, split="test", points=8, split_seed=3, test_share=0.4)
    assert len(other) == 4
    (root / "ball" / "9.npy").write_bytes((root / "ball" / "0.npy").read_bytes())
    again = CloudFolder(root, points=8)
    assert [*CloudFolder(root, points=8).read_points(1)[0]] == [*again.read_points(1)[0]]


def test_a_tree_like_modelnet_is_turned(tmp_path: Path) -> None:
    root = write_clouds(tmp_path, [f"{name}/{split}/{name}.off" for name in CLASSES for split in ("train", "test")])
    for name in CLASSES:
        for split in ("train", "test"):
            trimesh.creation.box((1, 2, 8)).export(root / name / split / f"{name}.off")  # 8 along z
    turned, told = CloudFolder(root, split="test", points=500), CloudFolder(root, points=500, up_axis="y")
    assert np.ptp(turned.read_points(0), axis=0).argmax() == 1
    assert np.ptp(told.read_points(0), axis=0).argmax() == 2
    assert LabeledCloudFolder(root).up_axis == "z"


def test_crosspoint_learns_from_them_within_a_modality_alone(tmp_path: Path) -> None:
    pairs = CloudFolder(without_splits(tmp_path), points=32)
    alone = CrossPoint(PointNet(embedding=8), None, cross_weight=0.0)
    samples = alone.training_samples(pairs)
    batch = alone.collate([samples[index, 0] for index in range(4)])
    loss = alone.training_step(batch, Generator().manual_seed(0))["loss"]
    loss.backward()
    assert loss.isfinite()
    both = CrossPoint(PointNet(embedding=8), ImageEncoder("resnet18"))
    with pytest.raises(ValueError, match=r"found CloudFolder, whose clouds have no views, .* --method.cross_weight 0"):
        both.training_samples(pairs)


def test_what_is_no_folder_of_clouds_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="found no folder"):
        CloudFolder(tmp_path / "absent")
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(ValueError, match=r"found no cloud below .*\.npy.*found 1 \.md"):
        CloudFolder(tmp_path)
    flat = write_clouds(tmp_path / "flat", ["a.npy", "b.npy"])
    with pytest.raises(ValueError, match=r"found clouds without classes .* expected folders <class>/<file>"):
        LabeledCloudFolder(flat)
    with pytest.raises(ValueError, match=r"found no split 'val' in .*, expected one of train, test"):
        CloudFolder(without_splits(tmp_path / "clouds"), split="val")
    with pytest.raises(ValueError, match=r"found NaN or infinite numbers in .*a\.npy"):
        np.save(flat / "a.npy", np.full((4, 3), np.nan, dtype=np.float32))
        CloudFolder(flat).read_points(0)
