"""What is asked of a folder: only what its user reads, in any usual format; the rest may be missing."""

from __future__ import annotations

import inspect
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.datasets.kitti_object import KittiObject
from crosspoint.scene.datasets.kitti_raw import KittiRaw
from crosspoint.scene.datasets.nuscenes import NuScenes
from crosspoint.scene.datasets.rellis3d import Rellis3d
from crosspoint.scene.datasets.semantickitti import SemanticKitti
from crosspoint.scene.datasets.validate import check_scenes
from crosspoint.training.run_folder import differences
from tests.scene.datasets.test_kitti_object import write_frames
from tests.scene.datasets.test_kitti_raw import write_drive
from tests.scene.datasets.test_nuscenes import FRONT, VERSION, write
from tests.scene.datasets.test_row_width import rows
from tests.scene.datasets.test_semantickitti import write_sequence
from tests.scene.frames import labels_of

CALIBRATION = """cameras:
- {name: front, size: [60, 100], K: [[60, 0, 50], [0, 60, 30], [0, 0, 1]],
   lidar_to_camera: [[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]}
classes: [road, car]
"""


def write_rig(root: Path, count: int = 4) -> Path:
    for folder in ("points", "labels", "images/front"):
        (root / folder).mkdir(parents=True)
    (root / "calibration.yaml").write_text(CALIBRATION)
    for number in range(count):
        rows(4, 500, seed=number).tofile(root / "points" / f"{number}.bin")
        np.full(500, number % 3, dtype="<u4").tofile(root / "labels" / f"{number}.label")
        Image.new("RGB", (100, 60)).save(root / "images" / "front" / f"{number}.png")
    return root


def to_jpg(folder: Path) -> None:
    for path in [*folder.rglob("*.png")]:
        with Image.open(path) as image:
            image.save(path.with_suffix(".jpg"), quality=95)
        path.unlink()


def test_images_may_be_jpg(tmp_path: Path) -> None:
    write_drive(tmp_path / "raw", "2011_09_26_drive_0001_sync")
    write_frames(tmp_path / "object")
    write_sequence(tmp_path / "odometry", "00", images=True)
    whole = [KittiRaw(tmp_path / "raw"), KittiObject(tmp_path / "object"), SemanticKitti(tmp_path / "odometry")]
    expected = [dataset[0].images for dataset in whole]
    to_jpg(tmp_path)
    again = [KittiRaw(tmp_path / "raw"), KittiObject(tmp_path / "object"), SemanticKitti(tmp_path / "odometry")]
    for dataset, images in zip(again, expected, strict=True):
        assert dataset.image_files(0)[0].suffix == ".jpg" and len(dataset) == len(dataset)
        found = dataset[0].images
        assert found.shape == images.shape
        assert float((found.float() - images.float()).abs().mean()) < 8  # of 255, as JPEG rounds


def test_folders_beside_the_drives_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_drive(tmp_path, "2011_09_26_drive_0001_sync")
    for name, below in (("0002_sync", "proj_depth/groundtruth/image_02"), ("0001_extract", "image_02/data")):
        (tmp_path / "2011_09_26" / f"2011_09_26_drive_{name}" / below).mkdir(parents=True)
    with caplog.at_level(logging.WARNING, "crosspoint"):
        assert len(KittiRaw(tmp_path)) == 3
    assert "left out 2011_09_26_drive_0001_extract, 2011_09_26_drive_0002_sync" in caplog.text
    with pytest.raises(FileNotFoundError, match=r"found 0 sweeps .* in .*0002_sync, .* or name other `drives`"):
        KittiRaw(tmp_path, drives=["2011_09_26_drive_0002_sync"])


def test_boxes_of_kitti_are_for_who_asks(tmp_path: Path) -> None:
    root = write_frames(tmp_path)
    (root / "training" / "label_2" / "000001.txt").unlink()
    dataset = KittiObject(root)
    assert dataset[0].boxes is not None and dataset[1].boxes is None
    check_scenes(dataset, pairs=False)
    with pytest.raises(FileNotFoundError, match=r"found no file .*000001.txt, expected all"):
        check_scenes(KittiObject(root, boxes=True), pairs=False)
    for path in (root / "training" / "label_2").iterdir():
        path.unlink()
    (root / "training" / "label_2").rmdir()
    assert KittiObject(root)[0].boxes is None and list(KittiObject(root).box_classes) == []
    with pytest.raises(FileNotFoundError, match=r"found no folder .*label_2, .* set boxes to false"):
        KittiObject(root, boxes=True)


def test_odometry_without_labels_and_with_some_sequences(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_sequence(tmp_path, "03")
    for path in (tmp_path / "sequences" / "03" / "labels").iterdir():
        path.unlink()
    with caplog.at_level(logging.WARNING, "crosspoint"):
        dataset = SemanticKitti(tmp_path)
    assert "left out the sequences 00, 01, 02, 04" in caplog.text
    assert labels_of(dataset[0]) is None
    check_scenes(dataset, pairs=False)
    with pytest.raises(FileNotFoundError, match=r"found no file .*03/labels/000000.label"):
        check_scenes(dataset, pairs=False, labels=True)
    with pytest.raises(FileNotFoundError, match=r"found the sequences 03 in .* choose another `split`"):
        SemanticKitti(tmp_path, "val")


def test_two_versions_of_nuscenes(tmp_path: Path) -> None:
    write(tmp_path, ["scene-0001"])
    (tmp_path / VERSION).rename(tmp_path / "tables")
    write(tmp_path, ["scene-0061"], version="v1.0-mini")
    (tmp_path / "tables").rename(tmp_path / VERSION)
    with pytest.raises(ValueError, match=r"found the versions v1.0-mini, v1.0-trainval .* name it as `version`"):
        NuScenes(tmp_path, **FRONT)
    chosen = [NuScenes(tmp_path, version=version, **FRONT)[0].name for version in ("v1.0-mini", VERSION)]
    assert [name.split("/")[0] for name in chosen] == ["scene-0061", "scene-0001"]
    splits = [NuScenes(tmp_path, split, **FRONT)[0].name for split in ("mini_train", "train")]
    assert splits == chosen


def test_labels_of_nuscenes_are_for_who_asks(tmp_path: Path) -> None:
    root = write(tmp_path, ["scene-0001"])
    for path in (root / "lidarseg").iterdir():
        path.unlink()
    dataset = NuScenes(root, **FRONT)
    assert labels_of(dataset[0]) is None
    check_scenes(dataset, pairs=False)
    with pytest.raises(FileNotFoundError, match=r"found no file .*lidarseg/scene-0001-0.bin"):
        check_scenes(dataset, pairs=False, labels=True)
    with pytest.raises(FileNotFoundError, match=r"found no file .*lidarseg/scene-0001-0.bin"):
        check_scenes(NuScenes(root, labels=True, **FRONT), pairs=False)
    alone = NuScenes(root, cameras=[])
    assert len(alone[0].images) == 0 and alone.image_files(0) == []


def test_labels_of_rellis_are_for_who_asks(tmp_path: Path) -> None:
    source = Path(__file__).parents[4] / "shared" / "data" / "rellis3d_frame"
    if not source.is_dir():
        pytest.skip(f"needs the frame in {source}")
    for path in source.iterdir():
        if path.suffix != ".label":
            (tmp_path / path.name).symlink_to(path)
    dataset = Rellis3d(tmp_path)
    assert labels_of(dataset[0]) is None and all(path.is_file() for path in dataset.files(0))


def test_a_lidar_alone_is_enough_for_labels(tmp_path: Path) -> None:
    root = write_rig(tmp_path)
    for path in [*(root / "images").rglob("*.png")]:
        path.unlink()
    (root / "images" / "front").rmdir()
    (root / "images").rmdir()
    dataset = FolderScenes(root)
    check_scenes(dataset, pairs=False, labels=True)
    assert labels_of(dataset[1]).tolist() == [0] * 500 and len(dataset[1].images) == 0
    with pytest.raises(ValueError, match=r"found no image in 0, expected at least one: pre-training pairs points"):
        check_scenes(dataset)
    (root / "calibration.yaml").write_text("cameras: []\nclasses: [road, car]\n")
    assert torch.equal(FolderScenes(root)[1].points, dataset[1].points)


def test_incomplete_frames_are_left_out_when_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_rig(tmp_path, 5)
    (root / "images" / "front" / "1.png").unlink()
    (root / "points" / "3.bin").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"found no file .*front/1.png, .* set `skip_incomplete` to leave"):
        check_scenes(FolderScenes(root))
    with caplog.at_level(logging.WARNING, "crosspoint"):
        dataset = FolderScenes(root, skip_incomplete=True)
    assert (dataset.names, dataset.left_out) == (["0", "2", "4"], 2)
    assert (
        f"left out 2 of 5 frames, the first for no file, or an empty one, {root / 'images/front/1.png'}" in caplog.text
    )
    (root / "images" / "front" / "2.png").write_bytes(b"no image")
    (root / "labels" / "4.label").unlink()
    dataset.leave_out_unreadable()
    assert (dataset.names, dataset.left_out) == (["0", "4"], 3)
    dataset.leave_out_unreadable(labels=True)
    assert (dataset.names, dataset.left_out) == (["0"], 4)
    (root / "points" / "0.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"found frames that cannot be read: .*0.bin.* in all 1 frames"):
        dataset.leave_out_unreadable()


def test_every_reader_leaves_out_incomplete_frames(tmp_path: Path) -> None:
    write_drive(tmp_path / "raw", "2011_09_26_drive_0001_sync")
    (tmp_path / "raw/2011_09_26/2011_09_26_drive_0001_sync/velodyne_points/data/0000000001.bin").write_bytes(b"")
    assert [frame.name[-1] for frame in KittiRaw(tmp_path / "raw", skip_incomplete=True)] == ["0", "2"]
    root = write_frames(tmp_path / "object")
    (root / "training" / "calib" / "000002.txt").unlink()
    assert [frame.name[-1] for frame in KittiObject(root, skip_incomplete=True)] == ["0", "1", "3"]
    write_sequence(tmp_path / "odometry", "00")
    bins = sorted((tmp_path / "odometry/sequences/00/velodyne").iterdir())
    bins[0].write_bytes(b"")
    assert SemanticKitti(tmp_path / "odometry", skip_incomplete=True)[0].name == f"00/{bins[1].stem}"
    write(tmp_path / "nu", ["scene-0001"])
    (tmp_path / "nu/samples/scene-0001-0.png").unlink()
    assert [frame.name for frame in NuScenes(tmp_path / "nu", skip_incomplete=True, **FRONT)] == [
        "scene-0001/scene-0001-1"
    ]
    table = tmp_path / "nu" / VERSION / "sample_data.json"
    records = [record for record in json.loads(table.read_text()) if record["token"] != "scene-0001-0-png"]
    table.write_text(json.dumps(records))
    with pytest.raises(ValueError, match=r"found no keyframe of CAM_FRONT .* `cameras`, .* by `skip_incomplete`"):
        NuScenes(tmp_path / "nu", **FRONT)
    assert len(NuScenes(tmp_path / "nu", skip_incomplete=True, **FRONT)) == 1


@pytest.mark.parametrize("made", [FolderScenes, KittiObject, KittiRaw, NuScenes, Rellis3d, SemanticKitti])
def test_a_run_of_an_earlier_version_can_go_on(made: type) -> None:
    """Arguments that it did not have are null or off unless they are given."""
    added = ("columns", "intensity_scale", "skip_incomplete")
    old = {"root": "x", "skip": 1}
    now = {name: inspect.signature(made).parameters[name].default for name in added}
    assert differences(old, old | now) == []
    assert len(differences(old, old | now | {"columns": 7, "skip_incomplete": True})) == 2
