from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.datasets.daps3d import Daps3d
from crosspoint.scene.datasets.nuscenes import CLASS_OF_LABEL, CLASSES, NuScenes
from crosspoint.scene.datasets.rellis3d import Rellis3d
from crosspoint.scene.datasets.semantickitti import CLASS_OF_LABEL as KITTI
from crosspoint.scene.datasets.semantickitti import CLASSES as KITTI_CLASSES
from crosspoint.scene.datasets.semantickitti import SemanticKitti
from crosspoint.scene.datasets.semanticposs import SemanticPoss
from crosspoint.scene.datasets.semanticstf import SemanticStf
from crosspoint.scene.datasets.submission import write_submission, written_numbers
from crosspoint.scene.datasets.synlidar import SynLidar
from crosspoint.scene.datasets.synth4d import Synth4d
from tests.scene.datasets.miniatures import ROWS, write_frames, write_synth4d
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
    write_frames(tmp_path / "stf" / "val", [1] * 5, 1, columns=5)
    write_synth4d(tmp_path / "synth4d", [0] * 5)
    with pytest.raises(ValueError, match=r"found synth4d \(val\), expected a dataset with a format of submissions"):
        write_submission(Synth4d(tmp_path / "synth4d", "val"), [np.zeros(4, dtype=int)] * 2, tmp_path / "out")
    mixed = SemanticStf(tmp_path / "stf", "val", as_olivine=True)
    with pytest.raises(ValueError, match=r"found the classes 0…13 for .*, expected 0 to 10"):
        write_submission(mixed, [np.array([0, 13, 0, 0])], tmp_path / "out")


# Of each dataset without a server: its folder of labels, the reader, and where the predictions of its first sweep lie.
OWN = {
    "semanticposs": ("sequences/03/labels", lambda root: SemanticPoss(root, "val"), "sequences/03/predictions"),
    "semanticstf": ("val/labels", lambda root: SemanticStf(root, "val"), "val/predictions"),
    "synlidar": ("12/labels", lambda root: SynLidar(root, "val"), "12/predictions"),
    "all of synlidar": ("12/labels", lambda root: SynLidar(root, "val", class_map="all"), "12/predictions"),
    "daps3d": (
        "daps-1/data/08/labels",
        lambda root: Daps3d(root, "val", part="daps-1"),
        "daps-1/data/08/predictions",
    ),
    "rellis3d": (
        "00000/os1_cloud_node_semantickitti_label_id",
        lambda root: Rellis3d(root, class_map="official", images=False),
        "00000/predictions",
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_files_in_a_dataset_s_own_numbers_are_read_as_what_was_predicted(name: str, tmp_path: Path) -> None:
    folder, read, place = OWN[name]
    sweeps = {"daps3d": "clouds", "rellis3d": "os1_cloud_node_kitti_bin"}.get(name, "velodyne")
    scale = {"rellis3d": 1 / 64, "semanticposs": 255.0, "semanticstf": 255.0, "daps3d": 255.0}.get(name, 1.0)
    write_frames((tmp_path / folder).parent, [0] * 5, 10, sweeps, 5 if name == "semanticstf" else 4, scale)
    (tmp_path / folder).parent.joinpath("labels").rename(tmp_path / folder)
    dataset = read(tmp_path)
    predicted = [(np.arange(4) + 4 * index) % len(dataset.classes) for index in range(10)]
    written = write_submission(dataset, predicted, tmp_path / "out")
    assert written[0] == tmp_path / "out" / place / "000003.label"
    for path in written:
        stored = np.fromfile(path, dtype="<u4")
        assert len(stored) == 5 and stored[1] == 0  # the second return met nothing
        (tmp_path / folder / path.name).write_bytes(path.read_bytes())
    again = read(tmp_path)
    for index, classes in enumerate(predicted):
        assert labels_of(again[index]).tolist() == classes.tolist()
    assert len(np.unique(np.concatenate(predicted))) == len(dataset.classes)


def test_a_class_without_a_number_cannot_be_written() -> None:
    assert written_numbers({0: IGNORED, 7: 1, 9: 0, 8: 1}, "one").tolist() == [9, 7]
    with pytest.raises(ValueError, match=r"found no number for the classes \[0, 2\] in one, expected one for each"):
        written_numbers({5: 1, 6: 3}, "one")
