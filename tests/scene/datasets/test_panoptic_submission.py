from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crosspoint.scene.datasets.nuscenes_panoptic import NuScenesPanoptic
from crosspoint.scene.datasets.semantickitti import CLASSES, SemanticKitti
from crosspoint.scene.datasets.semanticposs import SemanticPoss
from crosspoint.scene.datasets.submission import write_panoptic_submission
from tests.scene.datasets.miniatures import ROWS, write_frames
from tests.scene.datasets.test_nuscenes import FRONT
from tests.scene.datasets.test_nuscenes_panoptic import write_panoptic
from tests.scene.datasets.test_semantickitti import write_sequence
from tests.scene.frames import instances_of, labels_of


def test_files_of_semantickitti_are_read_as_what_was_answered(tmp_path: Path) -> None:
    """Written to where labels lie, the reader gives them back."""
    folder = write_sequence(tmp_path, "08", 2)
    lost = (ROWS / [1, 1, 1, 255]).astype(np.float32)  # the second return met nothing
    lost.tofile(folder / "velodyne" / "000001.bin")
    dataset = SemanticKitti(tmp_path, "val")
    answers = [
        (np.array([0, 8, 0, 5, 0]), np.array([7, 0, 9, 7, 7])),
        (np.array([18, 1, 0, 1]), np.array([0, 2, 2, 0])),
    ]
    written = write_panoptic_submission(dataset, answers, tmp_path / "out")
    assert written[1] == tmp_path / "out/sequences/08/predictions/000001.label"
    assert np.fromfile(written[1], dtype="<u4")[1] == 0
    for index, (path, (classes, objects)) in enumerate(zip(written, answers, strict=True)):
        (folder / "labels" / path.name).write_bytes(path.read_bytes())
        frame = dataset[index]
        assert labels_of(frame).tolist() == classes.tolist()  # type: ignore[union-attr]
        read = instances_of(frame)
        assert read is not None and ((read > 0) == (objects > 0)).all()
        pairs = {*zip(read.tolist(), classes.tolist(), objects.tolist(), strict=True)}
        assert len({one for one, _, _ in pairs if one}) == len({pair[1:] for pair in pairs if pair[0]})
    assert len(CLASSES) == 19


def test_files_of_nuscenes_count_classes_and_their_objects_from_one(tmp_path: Path) -> None:
    dataset = NuScenesPanoptic(write_panoptic(tmp_path, ["scene-0001"], [17002, 24000, 14002]), **FRONT)
    answers = [(np.array([3, 3, 10]), np.array([8, 5, 0])), (np.array([3, 1, 3]), np.array([40, 40, 0]))]
    written = write_panoptic_submission(dataset, answers, tmp_path / "out")
    assert written[0].name == "scene-0001-0-bin_panoptic.npz"
    stored = []
    for path in written:
        with np.load(path) as file:
            stored.append(file["data"])
    assert stored[0].dtype == np.uint16
    assert [each.tolist() for each in stored] == [[4002, 4001, 11000], [4001, 2001, 4000]]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    write_sequence(tmp_path, "08", 1)
    dataset, five = SemanticKitti(tmp_path, "val"), np.zeros(5, dtype=int)
    for answers, message in (
        ([], "found predictions of 0 frames, expected 1, those of semantickitti"),
        (
            [(five, five[:4])],
            r"found objects of shape \(4,\) and type int64 for .*000000.bin, expected 5 whole numbers",
        ),
        ([(five, five - 1)], r"found the objects -1…-1 for .*, expected 0 to 65535"),
        ([(five + 19, five)], "found the classes 19…19"),
    ):
        with pytest.raises(ValueError, match=message):
            write_panoptic_submission(dataset, answers, tmp_path / "out")
    write_frames(tmp_path / "sequences" / "03", [4] * 5, 1)
    with pytest.raises(ValueError, match=r"found semanticposs \(val\), expected a dataset with a format of panoptic"):
        write_panoptic_submission(SemanticPoss(tmp_path, "val"), [(five[:4], five[:4])], tmp_path / "out")
