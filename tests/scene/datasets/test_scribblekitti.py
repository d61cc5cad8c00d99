from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.datasets.scribblekitti import ScribbleKitti
from crosspoint.scene.datasets.semantickitti import CLASSES, SemanticKitti
from crosspoint.scene.datasets.validate import check_scenes
from tests.scene.datasets.test_semantickitti import write_sequence
from tests.scene.frames import labels_of

SCRIBBLES = np.array([0, 10, 0, 0, 40], dtype=np.uint32)


def write(root: Path) -> Path:
    """SemanticKITTI's training sequence 00 and its 08, and the scribbles of 00."""
    for name, count in (("00", 3), ("08", 25)):
        folder = write_sequence(root, name, count, images=name == "00")
    (root / "sequences" / "00" / "scribbles").mkdir()
    for number in range(3):
        SCRIBBLES.tofile(root / "sequences" / "00" / "scribbles" / f"{number:06}.label")
    return folder


def test_scribbles_teach_and_all_labels_measure(tmp_path: Path) -> None:
    write(tmp_path)
    train, held = ScribbleKitti(tmp_path), ScribbleKitti(tmp_path, "val")
    assert (train.name, held.name) == ("scribblekitti (train)", "scribblekitti (val)")
    assert labels_of(train[0]).tolist() == [IGNORED, CLASSES.index("car"), IGNORED, IGNORED, CLASSES.index("road")]
    assert len(train[0].images) == 1 and train.classes == list(CLASSES)
    assert train.label_files(2) == [tmp_path / "sequences/00/scribbles/000002.label"]
    assert train.label_files(2)[0] in train.files(2)
    whole = SemanticKitti(tmp_path, "val")
    assert len(held) == len(whole) == 25 and held.files(4) == whole.files(4)
    assert labels_of(held[4]).tolist() == labels_of(whole[4]).tolist()
    check_scenes(train, pairs=False, labels=True)
    check_scenes(held, pairs=False, labels=True)


def test_how_olivine_validates(tmp_path: Path) -> None:
    folder = write(tmp_path)
    dataset = ScribbleKitti(tmp_path, "val", as_olivine=True)
    assert [frame.name for frame in dataset] == ["08/000000", "08/000010", "08/000020"]
    with pytest.raises(FileNotFoundError, match=r"found no file .*08/scribbles/000000.label"):
        check_scenes(dataset, pairs=False, labels=True)
    shutil.copytree(folder / "labels", folder / "scribbles")
    check_scenes(dataset, pairs=False, labels=True)
    assert len(ScribbleKitti(tmp_path, "train", as_olivine=True)) == 3
    assert ScribbleKitti(tmp_path, "train", skip=2)[1].name == "00/000002"
