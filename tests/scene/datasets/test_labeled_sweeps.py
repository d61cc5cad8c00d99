"""Readers of sweeps alone: exact labels of miniature copies, splits, shares, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.datasets import daps3d, semantickitti, semanticposs, semanticstf, synlidar, synth4d
from crosspoint.scene.datasets.build import open_scenes
from crosspoint.scene.datasets.daps3d import Daps3d
from crosspoint.scene.datasets.labeled_sweeps import LabeledSweeps
from crosspoint.scene.datasets.semanticposs import SemanticPoss
from crosspoint.scene.datasets.semanticstf import SemanticStf
from crosspoint.scene.datasets.synlidar import SynLidar
from crosspoint.scene.datasets.synth4d import Synth4d
from crosspoint.scene.datasets.validate import check_scenes
from tests.scene.datasets.miniatures import KEPT, ROWS, write_frames, write_labels, write_synth4d
from tests.scene.frames import labels_of, returns


def names(dataset: LabeledSweeps) -> list[str]:
    return [frame.name for frame in dataset]


def named_labels(dataset: LabeledSweeps, index: int = 0) -> list[str | None]:
    found = labels_of(dataset[index])
    return [None if label == IGNORED else dataset.classes[label] for label in found]


def table(dataset: LabeledSweeps) -> dict[int, int]:
    """Numbers in files → classes from 1, 0 ignored, as papers write their maps."""
    return {label: place + 1 for label, place in dataset.class_of_label.items()}


def test_semanticposs(tmp_path: Path) -> None:
    for number in range(6):
        # the upper 16 bits number objects
        write_frames(tmp_path / "sequences" / f"{number:02}", [4 | 7 << 16, 22, 5, 21, 18], count=1 + number % 2)
    dataset = SemanticPoss(tmp_path)
    assert names(dataset) == [f"{place}/000003" for place in ("00", "01")] + ["01/000004", "02/000003"] + [
        f"{place}/00000{number}" for place, number in (("04", 3), ("05", 3), ("05", 4))
    ]
    assert named_labels(dataset) == ["person", "person", "bike", None]
    assert np.array_equal(returns(dataset[0]), (ROWS / [1, 1, 1, 255])[KEPT].astype(np.float32))
    assert names(SemanticPoss(tmp_path, "val")) == ["03/000003", "03/000004"]
    assert names(SemanticPoss(tmp_path, "val", val_sequence="02")) == ["02/000003"]
    assert len(SemanticPoss(tmp_path, None)) == 9 and len(SemanticPoss(tmp_path, skip=2)) == 4
    theirs = {4: 1, 5: 1, 6: 2, 7: 3, 8: 4, 9: 5, 10: 6, 11: 6, 12: 6, 13: 7, 14: 8, 15: 9, 16: 10, 17: 11, 21: 12}
    assert table(dataset) == theirs | {22: 13} | dict.fromkeys((0, 1, 18, 19, 20), 0)
    assert len(dataset.classes) == 13
    with pytest.raises(ValueError, match=r"found the sequence '06', expected one of: 00, 01"):
        SemanticPoss(tmp_path, val_sequence="06")
    with pytest.raises(ValueError, match=r"found the split 'test', expected one of: train, val"):
        SemanticPoss(tmp_path, "test")


def test_semanticstf(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("val", 1)):
        write_frames(tmp_path / split, [1, 9, 20, 0, 19], count, columns=5)
    dataset = SemanticStf(tmp_path)
    assert list(dataset.classes) == list(semantickitti.CLASSES)
    assert named_labels(dataset) == ["car", None, None, "traffic-sign"]
    assert returns(dataset[0])[:, 3].tolist() == pytest.approx([0.2, 1, 0, 0.4])
    assert table(dataset) == {0: 0, 20: 0} | {number: number for number in range(1, 20)}
    assert names(SemanticStf(tmp_path, "val")) == ["val/000003"] and len(SemanticStf(tmp_path, skip=2)) == 2
    with pytest.raises(FileNotFoundError, match=r"found no folder .*test/velodyne, expected the sweeps of SemanticSTF"):
        SemanticStf(tmp_path, "test")


def test_what_olivine_takes_semanticstf_for(tmp_path: Path) -> None:
    """The table of SemanticPOSS on other numbers; 21 and 22 do not occur, so 8 of 19 classes never do."""
    write_frames(tmp_path / "train", [4, 1, 12, 19, 17], columns=5)
    dataset = SemanticStf(tmp_path, as_olivine=True)
    theirs = {4: 1, 5: 1, 6: 2, 7: 3, 8: 4, 9: 5, 10: 6, 11: 6, 12: 6, 13: 7, 14: 8, 15: 9, 16: 10, 17: 11}
    assert table(dataset) == theirs | dict.fromkeys((0, 1, 2, 3, 18, 19, 20), 0)
    assert len(dataset.classes) == 19
    assert sum(name.startswith("never") for name in dataset.classes) == 8
    assert named_labels(dataset) == ["truck+other-vehicle", "parking+sidewalk+other-ground", None, "terrain"]
    # the names say what the numbers mean in the files
    meant = dict(zip(range(1, 20), semantickitti.CLASSES, strict=True))
    for number, place in theirs.items():
        assert meant[number] in dataset.classes[place - 1].split("+")


def test_synlidar(tmp_path: Path) -> None:
    for number in (0, 4, 12):
        write_frames(tmp_path / f"{number:02}", [32, 1, 12, 8, 23], count=2, scale=1.0)
    dataset = SynLidar(tmp_path)
    assert names(dataset) == ["00/000003", "00/000004", "04/000003", "04/000004"]
    assert named_labels(dataset) == [None, "person", "road", "traffic-sign"]
    kitti = {1: 1, 5: 2, 6: 3, 2: 4, 3: 4, 4: 5, 7: 5, 12: 6, 13: 6, 14: 6, 15: 6, 16: 7, 17: 8, 8: 9, 10: 10, 9: 11}
    kitti |= {11: 12, 18: 13, 26: 14, 20: 15, 21: 16, 22: 17, 24: 18, 23: 19}
    assert table(dataset) == dict.fromkeys(range(33), 0) | kitti
    poss = {12: 1, 13: 1, 14: 1, 15: 1, 16: 2, 17: 2, 1: 3, 21: 4, 20: 5, 23: 6, 24: 7, 27: 8, 18: 9, 25: 10, 26: 11}
    assert table(SynLidar(tmp_path, class_map="semanticposs")) == dict.fromkeys(range(33), 0) | poss | {5: 12, 8: 13}
    every = SynLidar(tmp_path, class_map="all")
    assert table(every) == {number: number for number in range(33)} and len(every.classes) == 32
    assert named_labels(every) == ["other-object", "female", "road", "traffic-sign"]
    assert names(SynLidar(tmp_path, "val")) == ["12/000003", "12/000004"]
    assert names(SynLidar(tmp_path, "val", val_sequences=["04", "00"], skip=3)) == ["00/000003", "04/000004"]
    assert len(SynLidar(tmp_path, None)) == 6
    with pytest.raises(ValueError, match=r"found the sequences 13 to hold out, expected some of: 00"):
        SynLidar(tmp_path, val_sequences=["13"])
    with pytest.raises(ValueError, match=r"found the class_map 'kitti', expected one of: semantickitti, semanticposs"):
        SynLidar(tmp_path, class_map="kitti")


def test_synlidars_labels_have_no_objects(tmp_path: Path) -> None:
    write_frames(tmp_path / "00", [1 | 3 << 16, 1, 1, 1, 1], scale=1.0)
    with pytest.raises(ValueError, match=r"found the label 196609 in .*000003.label, expected one of: 0, 1, 2"):
        SynLidar(tmp_path)[0]


def test_daps3d(tmp_path: Path) -> None:
    for name in ("38-18_7_72_90", "42-48_10_78_90", "44-18_11_15_32"):
        write_frames(tmp_path / "daps-2" / "data" / name, [10 | 5 << 16, 40, 254, 99, 72], count=1, sweeps="clouds")
    for name in ("00", "08"):
        write_frames(tmp_path / "daps-1" / "data" / name, [81, 0, 50, 0, 1], count=2, sweeps="clouds")
    dataset = Daps3d(tmp_path)
    assert names(dataset) == ["38-18_7_72_90/000003"]
    assert named_labels(dataset) == ["vehicle", "human", None, "surface"]
    assert returns(dataset[0])[:, 3].tolist() == pytest.approx([0.2, 1, 0, 0.4])
    held = names(Daps3d(tmp_path, "val"))
    assert held == ["42-48_10_78_90/000003", "44-18_11_15_32/000003"]
    assert not set(held) & set(names(dataset))
    assert set(names(Daps3d(tmp_path, "val", as_published=True))) == {*held, *names(dataset)}
    assert names(Daps3d(tmp_path, "train", as_published=True)) == names(dataset)
    assert names(Daps3d(tmp_path, "val", part="daps-1")) == ["08/000003", "08/000004"]
    assert named_labels(Daps3d(tmp_path, part="daps-1")) == ["static-object", "static-object", None, None]
    assert len(Daps3d(tmp_path, None)) == 3
    sequences = daps3d.SEQUENCES["daps-1"]
    assert sorted(sequences["train"] + sequences["val"]) == [f"{number:02}" for number in range(11)]
    assert set(table(dataset)) == set(semantickitti.CLASS_OF_LABEL)  # the same numbers, in coarser classes
    with pytest.raises(ValueError, match=r"found as_published for daps-1, expected it for daps-2 alone"):
        Daps3d(tmp_path, part="daps-1", as_published=True)


def test_synth4d(tmp_path: Path) -> None:
    root = write_synth4d(tmp_path, [10, 0, 7, 9, 22])
    dataset = Synth4d(root)
    assert names(dataset) == ["Town03/000000", "Town03/000001", "Town06/000000", "Town06/000001"]
    assert named_labels(dataset) == ["vehicle", "road", "vegetation", "terrain"]
    assert np.allclose(returns(dataset[0]), (ROWS / [1, 1, 1, 255])[KEPT])
    assert names(Synth4d(root, "val")) == ["Town03/000002", "Town06/000002"] and len(Synth4d(root, None)) == 6
    theirs = {0: -1, 1: 5, 2: 5, 3: -1, 4: 1, 5: 5, 6: 2, 7: 2, 8: 3, 9: 6, 10: 0, 11: 5, 12: 5, 13: -1, 14: -1, 15: 5}
    theirs |= {16: 5, 17: 5, 18: -1, 19: -1, 20: -1, 21: -1, 22: 4}
    assert dataset.class_of_label == theirs
    with pytest.raises(FileNotFoundError, match=r"found no town in .*nuscenes_synth, expected Town03"):
        Synth4d(root, None, part="nuscenes_synth")
    labels = root / "kitti_synth" / "Town03" / "labels"
    np.save(labels / "000000.npy", [10, 0])
    with pytest.raises(ValueError, match=r"found 2 labels of type int64 in .*Town03/labels/000000.npy, expected 5"):
        dataset[0]
    (labels / "000001.npy").write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"found no array in .*000001.npy .*, expected labels: fetch it anew"):
        dataset[1]


class Runs:
    """What a pickle must not do."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path("ran"),)


def test_lists_of_synth4d_run_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    monkeypatch.chdir(tmp_path)
    path = write_synth4d(tmp_path, [0] * 5) / "splits" / "kitti_synth" / "training_split.pkl"
    for content, why in ((pickle.dumps(Runs()), "it asks for"), (b"", "Ran out"), (pickle.dumps([1]), "items")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"found no table of names in .*training_split.pkl \(.*{why}"):
            Synth4d(tmp_path)
    assert not Path("ran").exists()
    path.write_bytes(pickle.dumps({"Town03": []}))
    with pytest.raises(ValueError, match=r"found no name in .*training_split.pkl"):
        Synth4d(tmp_path)
    path.write_bytes(pickle.dumps({"Town03": [2, 0]}))
    assert names(Synth4d(tmp_path)) == ["Town03/000000", "Town03/000002"]
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"found no file .*training_split.pkl, expected the authors' list"):
        Synth4d(tmp_path)


def write(name: str, root: Path) -> Path:
    """A copy with one frame in the split "train"; its sequence."""
    places = {"semanticposs": "sequences/00", "semanticstf": "train", "synlidar": "00"}
    places["daps3d"] = "daps-2/data/38-18_7_72_90"
    sweeps = "clouds" if name == "daps3d" else "velodyne"
    columns = 5 if name == "semanticstf" else 4
    scale = 1.0 if name == "synlidar" else 255.0
    return write_frames(root / places[name], [0] * 5, 2, sweeps, columns, scale)


READERS = ["daps3d", "semanticposs", "semanticstf", "synlidar"]


@pytest.mark.parametrize("name", READERS)
def test_what_is_wrong_with_a_file_is_one_line(name: str, tmp_path: Path) -> None:
    folder = write(name, tmp_path)
    dataset = open_scenes(name, tmp_path)
    check_scenes(dataset, pairs=False, labels=True)
    sweep, labels = dataset.files(0)
    assert dataset.label_files(0) == [labels]
    write_labels(labels, [0] * 4)
    with pytest.raises(ValueError, match=r"found 4 labels in .*000003.label, expected 5, one per return"):
        dataset[0]
    write_labels(labels, [0, 0, 98, 0, 0])
    with pytest.raises(ValueError, match=r"found the label 98 in .*000003.label, expected one of: 0, 1"):
        dataset[0]
    write_labels(labels, [0, 0, 0xFFFFFFFF, 0, 0])
    with pytest.raises(ValueError, match=r"found the label (65535|4294967295) in .*000003.label, expected one of"):
        dataset[0]
    sweep.write_bytes(b"123")
    with pytest.raises(ValueError, match=r"found 3 bytes in .*000003.bin, expected a multiple of"):
        dataset[0]
    labels.unlink()
    with pytest.raises(FileNotFoundError, match=r"found no file .*000003.label, expected all 2 frames of"):
        check_scenes(dataset, pairs=False, labels=True)
    assert len(open_scenes(name, tmp_path, labels=True, skip_incomplete=True)) == 1
    assert open_scenes(name, tmp_path, labels=False).classes == []
    assert "label" not in open_scenes(name, tmp_path, labels=False)[1].point_fields
    for path in folder.rglob("*.*"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"found no .bin file in .*, expected the sweeps of"):
        open_scenes(name, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"found no (sequence|folder) .*, expected"):
        open_scenes(name, tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("module", "count"), [(semanticposs, 13), (semanticstf, 19), (daps3d, 4), (synth4d, 7), (synlidar, 19)]
)
def test_every_class_has_a_name_of_its_own(module: object, count: int) -> None:
    classes = getattr(module, "KITTI_CLASSES", None) or module.CLASSES
    assert len(classes) == len(set(classes)) == count
