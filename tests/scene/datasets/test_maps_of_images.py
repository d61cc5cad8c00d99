"""Every reader of images takes weak labels and regions from folders that mirror them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.datasets.build import open_scenes
from crosspoint.scene.datasets.folder import write_poses
from crosspoint.scene.datasets.validate import check_scenes
from tests.scene.datasets import (
    test_build,
    test_kitti_object,
    test_kitti_raw,
    test_nuscenes,
    test_rellis3d,
    test_semantickitti,
)

CLASSES = ["road", "car"]


def folder(root: Path) -> LidarDataset:
    test_build.write(root, test_build.rig(0, 10))
    write_poses(root, {f"{number}": np.eye(4) for number in range(3)})
    return open_scenes("folder", root, sweeps=2)


def kitti_raw(root: Path) -> LidarDataset:
    test_kitti_raw.write_drive(root, "2011_09_26_drive_0001_sync")
    return open_scenes("kitti_raw", root, cameras=("image_03", "image_02"))


def kitti_object(root: Path) -> LidarDataset:
    return open_scenes("kitti_object", test_kitti_object.write_frames(root))  # each image has its own size


def kitti_testing(root: Path) -> LidarDataset:
    (test_kitti_object.write_frames(root) / "training").rename(root / "testing")
    return open_scenes("kitti_object", root, part="testing")


def semantickitti(root: Path) -> LidarDataset:
    test_semantickitti.write_sequence(root, "08", images=True)
    return open_scenes("semantickitti", root, split="val")


def nuscenes(root: Path) -> LidarDataset:
    return open_scenes("nuscenes", test_nuscenes.write(root, ["scene-0001"]), **test_nuscenes.FRONT)


def rellis3d(root: Path) -> LidarDataset:
    test_rellis3d.write_frames(root, "00000")
    return open_scenes("rellis3d", root)


READERS = [folder, kitti_raw, kitti_object, kitti_testing, semantickitti, nuscenes, rellis3d]


def write_maps(root: Path, out: Path, seed: int, top: int) -> dict[Path, np.ndarray]:
    """A map of every image below the root, and its numbers."""
    rng, written = np.random.default_rng(seed), {}
    for image in sorted([*root.rglob("*.png"), *root.rglob("*.jpg")]):
        place = out / image.relative_to(root).with_suffix(".png")
        place.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(image) as file:
            width, height = file.size
        written[place] = rng.integers(0, top + 1, (height, width)).astype(np.uint8 if top < 256 else np.uint16)
        Image.fromarray(written[place]).save(place)
    (out / "manifest.json").write_text(json.dumps({"format": 1, "kind": "semantic", "classes": CLASSES}))
    return written


@pytest.mark.parametrize("reader", READERS)
def test_maps_are_those_of_the_images(reader: Callable[[Path], LidarDataset], tmp_path: Path) -> None:
    plain = reader(tmp_path / "data")
    labels = write_maps(tmp_path / "data", tmp_path / "labels", 0, 2)
    regions = write_maps(tmp_path / "data", tmp_path / "regions", 1, 700)
    made = {**plain.arguments, "weak_labels": tmp_path / "labels", "superpixels": str(tmp_path / "regions")}
    dataset = type(plain)(**made)
    assert dataset.map_names == {"weak_labels", "superpixels"} and dataset.weak_classes == CLASSES
    assert plain.map_names == frozenset() and not plain.weak_classes
    assert not plain[0].pixel_maps
    for index, frame in enumerate(dataset):
        images = dataset.image_files(index)
        assert len(images) == len(frame.images) > 0
        assert torch.equal(frame.images, plain[index].images) and torch.equal(frame.points, plain[index].points)
        assert {*frame.point_fields} == {*plain[index].point_fields}
        assert (frame.boxes is None) == (plain[index].boxes is None)
        for name, out, numbers, shift in (
            ("weak_labels", "labels", labels, 0),
            ("superpixels", "regions", regions, 1),
        ):
            places = [tmp_path / out / image.relative_to(tmp_path / "data").with_suffix(".png") for image in images]
            expected = np.stack([numbers[place] for place in places]).astype(np.int64) - shift
            assert np.array_equal(frame.pixel_maps[name], expected)
            assert {*places} <= {*dataset.files(index)}
        assert dataset.files(index)[: len(plain.files(index))] == plain.files(index)
    lost = dataset.map_files(len(dataset) - 1)[-1]
    lost.unlink()
    with pytest.raises(FileNotFoundError, match=f"found no file .*{lost.name}, expected all"):
        check_scenes(dataset)


def test_maps_of_images_that_are_not_read_are_refused(tmp_path: Path) -> None:
    test_semantickitti.write_sequence(tmp_path / "data", "08", images=True)
    test_semantickitti.write_sequence(tmp_path / "data", "09")
    write_maps(tmp_path / "data", tmp_path / "labels", 0, 2)
    for options, found in (({"images": False}, "images is false"), ({}, ".*09 has no image_2")):
        with pytest.raises(ValueError, match=rf"found weak_labels for .* without images \({found}\), expected images"):
            open_scenes(
                "semantickitti",
                tmp_path / "data",
                split="val",
                sequences=["08", "09"],
                weak_labels=tmp_path / "labels",
                **options,
            )
