"""Test drives of KITTI that a checkpoint was pre-trained on, found through all of KITTI's data sets."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from crosspoint.eval.pretraining_overlap import ODOMETRY, drives_of, refuse_pretraining_overlap
from crosspoint.scene.datasets.kitti_raw import KittiRaw
from tests.scene.datasets.test_kitti_raw import write_drive

FIRST, SECOND = "2011_09_26_drive_0001_sync", "2011_09_26_drive_0002_sync"
WHERE = Path("last.ckpt")


def config(class_path: str, **init_args: object) -> dict:
    return {"data": {"dataset": {"class_path": class_path, "init_args": init_args}}}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for drive in (FIRST, SECOND):
        write_drive(tmp_path / "raw", drive)
    return tmp_path / "raw"


def test_drives_count_as_a_whole(raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    test = KittiRaw(raw, drives=[SECOND], skip=2)
    seen = config("kitti_raw", root=str(raw), drives=None, skip=3)
    with pytest.raises(
        ValueError, match=r"found 1 drives of kitti_raw \(2011_09_26_drive_0002\) in what last.ckpt was"
    ):
        refuse_pretraining_overlap(seen, WHERE, test, allowed=False)
    refuse_pretraining_overlap(config("kitti_raw", root=str(raw), drives=[FIRST]), WHERE, test, allowed=False)
    assert caplog.text == ""
    refuse_pretraining_overlap(seen, WHERE, test, allowed=True)
    assert "figures are too high" in caplog.text


def test_sequences_of_odometry_are_drives(raw: Path, tmp_path: Path) -> None:
    """Sequence 00 is a drive of Eigen's test split, 03 is none."""
    root = tmp_path / "odometry" / "sequences"
    for sequence in ("00", "03"):
        (root / sequence / "velodyne").mkdir(parents=True)
        (root / sequence / "velodyne" / "000000.bin").write_bytes(b"\0" * 16)
    drive = write_drive(raw, "2011_10_03_drive_0027_sync")
    test = KittiRaw(raw, drives=[drive.name])
    seen = {"root": str(tmp_path / "odometry"), "images": False}
    with pytest.raises(ValueError, match="2011_10_03_drive_0027"):
        refuse_pretraining_overlap(config("semantickitti", sequences=["00", "03"], **seen), WHERE, test, allowed=False)
    refuse_pretraining_overlap(config("semantickitti", sequences=["03"], **seen), WHERE, test, allowed=False)
    assert drives_of(test) == {"2011_10_03_drive_0027"} and len(ODOMETRY) == 11


@pytest.mark.parametrize("known", [{}, {"data": {}}, {"data": {"dataset": {"class_path": "rendered"}}}])
def test_what_says_nothing_of_frames_is_let_through(known: dict, raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    refuse_pretraining_overlap(known, WHERE, KittiRaw(raw), allowed=False)
    assert caplog.text == ""


@pytest.mark.parametrize("seen", [config("kitti_raw", root="gone"), config("mine.Gone"), config("kitti_raw", sweets=3)])
def test_data_that_are_not_here_are_said(seen: dict, raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="crosspoint"):
        refuse_pretraining_overlap(seen, WHERE, KittiRaw(raw), allowed=False)
    assert "cannot tell whether last.ckpt was pre-trained on frames of kitti_raw" in caplog.text
