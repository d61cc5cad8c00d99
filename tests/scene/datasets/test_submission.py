from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crosspoint.scene.datasets.nuscenes import CLASS_OF_LABEL, CLASSES, NuScenes
from crosspoint.scene.datasets.semantickitti import CLASS_OF_LABEL as KITTI
from crosspoint.scene.datasets.semantickitti import CLASSES as KITTI_CLASSES
from crosspoint.scene.datasets.semantickitti import SemanticKitti
from crosspoint.scene.datasets.semanticposs import SemanticPoss
from crosspoint.scene.datasets.submission import write_submission
from tests.scene.datasets.miniatures import ROWS, write_frames
from tests.scene.datasets.test_nuscenes import FRONT, write
from tests.scene.datasets.test_semantickitti import write_sequence
from tests.scene.frames import labels_of


def test_files_of_semantickitti_are_read_as_what_was_predicted(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path, "11", len(KITTI_CLASSES) - 3)
    lost = (ROWS / [1, 1, 1, 255]).astype(np.float32)  # the second return met nothing
    lost.tofile(folder / "velodyne" / "000001.bin")
    dataset = SemanticKitti(tmp_path, "test")
    predicted = [np.arange(4 + (index != 1)) % 4 + index for index in range(len(dataset))]
    written = write_submission(dataset, predicted, tmp_path / "out")
    assert written[1] == tmp_path / "out/sequences/11/predictions/000001.label"
    seen = set()
    for path, classes in zip(written, predicted, strict=True):
        stored = np.fromfile(path, dtype="<u4")
        assert len(stored) == 5
        kept = np.delete(stored, 1) if len(classes) == 4 else stored
        assert [KITTI[label] for label in kept.tolist()] == classes.tolist()
        seen |= {*classes.tolist()}
    assert np.fromfile(written[1], dtype="<u4")[1] == 0 and seen == {*range(19)}


def test_files_of_nuscenes_count_from_one(tmp_path: Path) -> None:
    dataset = NuScenes(write(tmp_path, ["scene-0001"]), **FRONT)
    written = write_submission(dataset, [np.array([3, 0, 15]), np.array([1, 1, 1])], tmp_path / "out")
    assert written[0] == tmp_path / "out/scene-0001-0-bin_lidarseg.bin"
    assert np.fromfile(written[0], dtype=np.uint8).tolist() == [4, 1, 16]
    assert CLASSES[3] == "car" and CLASS_OF_LABEL[17] == 3 == labels_of(dataset[0])[0]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    write_sequence(tmp_path, "08", 1)
    dataset = SemanticKitti(tmp_path, "val")
    for predicted, message in (
        ([], "found predictions of 0 frames, expected 1, those of semantickitti"),
        (
            [np.zeros(4, dtype=int)],
            r"found predictions of shape \(4,\) and type int64 for .*, expected 5 whole numbers",
        ),
        ([np.zeros(5)], "and type float64"),
        ([np.array([0, 1, 2, 19, 0])], r"found the classes 0…19 for .*000000.bin, expected 0 to 18"),
        ([np.array([0, 1, -1, 0, 0])], r"found the classes -1…1"),
    ):
        with pytest.raises(ValueError, match=message):
            write_submission(dataset, predicted, tmp_path / "out")
    write_frames(tmp_path / "sequences" / "03", [4] * 5, 1)
    with pytest.raises(
        ValueError, match=r"found semanticposs \(val\), expected a dataset with a format of submissions"
    ):
        write_submission(SemanticPoss(tmp_path, "val"), [np.zeros(4, dtype=int)], tmp_path / "out")
