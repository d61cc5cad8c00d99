from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.datasets.build import open_scenes
from crosspoint.scene.datasets.nuscenes import CLASSES, NuScenes
from crosspoint.scene.datasets.nuscenes_panoptic import NuScenesPanoptic
from crosspoint.scene.datasets.validate import check_scenes
from tests.scene.datasets.test_nuscenes import FRONT, VERSION, write
from tests.scene.frames import instances_of, labels_of


def write_panoptic(root: Path, scenes: list[str], labels: list[int]) -> Path:
    """The tables of `write`, and a panoptic file for each keyframe."""
    write(root, scenes)
    records = json.loads((root / VERSION / "lidarseg.json").read_text())
    (root / "panoptic").mkdir()
    for record in records:
        record["filename"] = record["filename"].replace("lidarseg", "panoptic").replace(".bin", "_panoptic.npz")
        np.savez_compressed(root / record["filename"], data=np.array(labels, dtype=np.uint16))
    (root / VERSION / "panoptic.json").write_text(json.dumps(records))
    return root


def test_classes_and_objects(tmp_path: Path) -> None:
    root = write_panoptic(tmp_path, ["scene-0001"], [17002, 24000, 14002])
    frame = open_scenes("nuscenes_panoptic", root, **FRONT)[0]
    assert [CLASSES[label] for label in labels_of(frame)] == ["car", "driveable_surface", "bicycle"]
    assert instances_of(frame).dtype == np.int64
    # the same number in two classes is two objects
    assert instances_of(frame)[1] == 0 and {*instances_of(frame)} == {0, 1, 2}
    plain = NuScenes(root, **FRONT)[0]
    assert instances_of(plain) is None and labels_of(plain)[0] == CLASSES.index("car")
    root = write_panoptic(tmp_path / "again", ["scene-0001"], [17002, 17002, 0])
    frame = NuScenesPanoptic(root, **FRONT)[1]
    assert instances_of(frame).tolist() == [1, 1, 0] and labels_of(frame)[2] == IGNORED


def test_what_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    root = write_panoptic(tmp_path, ["scene-0001"], [17002, 24000, 14002])
    dataset = NuScenesPanoptic(root, **FRONT)
    first, second = (dataset.label_files(index)[0] for index in range(2))
    assert first == root / "panoptic" / "scene-0001-0_panoptic.npz" and first in dataset.files(0)
    np.savez(first, data=np.array([17002, 24000], dtype=np.uint16))
    with pytest.raises(ValueError, match=r"found labels of shape \(2,\) and type uint16 in .*, expected 3 whole"):
        dataset[0]
    np.savez(first, data=np.array([17002, 24000, 40001], dtype=np.uint16))
    with pytest.raises(ValueError, match=r"found the label 40 in .*scene-0001-0_panoptic.npz"):
        dataset[0]
    np.savez(first, labels=np.zeros(3))
    with pytest.raises(ValueError, match=r"found no array named data in .*, expected panoptic labels: fetch it anew"):
        dataset[0]
    first.write_bytes(second.read_bytes()[:60])
    with pytest.raises(
        ValueError, match=r"found .*scene-0001-0_panoptic.npz that cannot be read .*expected the panoptic labels"
    ):
        dataset[0]
    first.unlink()
    with pytest.raises(FileNotFoundError, match=r"found no file .*scene-0001-0_panoptic.npz"):
        check_scenes(NuScenesPanoptic(root, labels=True, **FRONT), pairs=False)
    (root / VERSION / "panoptic.json").write_text("[]")
    with pytest.raises(ValueError, match=r"found labels of 0 of 2 keyframes in .*panoptic.json, .* nuScenes-panoptic"):
        NuScenesPanoptic(root, labels=True, **FRONT)
