"""Our figures of segmentation, and our classes of nuScenes, against those of nuscenes-devkit."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.datasets.nuscenes import CLASS_OF_LABEL, CLASSES
from crosspoint.scene.segmentation_scores import class_rows, confusion_matrix, segmentation_scores

COUNT = len(CLASSES)


def devkit(name: str) -> ModuleType:
    """A module of nuscenes-devkit; it asks for an old NumPy, so nothing here depends on it."""
    needed = "nuscenes-devkit pyquaternion cachetools opencv-python-headless"
    pytest.importorskip("nuscenes", reason=f"needs nuscenes-devkit: pip install --no-deps {needed}")
    return import_module(f"nuscenes.{name}")


def frames(absent: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Truth with ignored points, and answers, of ten frames; so many of the classes occur in neither."""
    generator = np.random.default_rng(absent)
    for _ in range(10):
        truth, given = generator.integers(0, COUNT - absent, (2, 3000))
        given = np.where(generator.random(3000) < 0.6, truth, given)
        yield np.where(generator.random(3000) < 0.2, IGNORED, truth), given


@pytest.mark.parametrize("absent", [0, 3])
def test_figures_are_those_of_the_devkit(absent: int) -> None:
    """It counts classes from 1 and ignores 0, in truth alone: an answer of 0 is an error of its own."""
    theirs = devkit("eval.lidarseg.utils").ConfusionMatrix(COUNT + 1, ignore_idx=0)
    ours = torch.zeros(COUNT, COUNT, dtype=torch.int64)
    for truth, given in frames(absent):
        theirs.update(truth + 1, given + 1)
        ours += confusion_matrix(torch.from_numpy(given), torch.from_numpy(truth), COUNT)
    np.testing.assert_array_equal(ours.numpy(), theirs.global_cm[1:, 1:])
    scores = segmentation_scores(ours.numpy())
    assert scores["miou"] == pytest.approx(100 * theirs.get_mean_iou(), rel=1e-6)
    ious = [row["iou"] for row in class_rows(ours.numpy(), CLASSES)]
    expected = [None if np.isnan(iou) else pytest.approx(100 * iou, rel=1e-6) for iou in theirs.get_per_class_iou()[1:]]
    assert ious == expected and ious.count(None) == absent


def test_classes_of_labels_are_the_challenge_s() -> None:
    """The devkit lists colors of all 32 categories in the order of their numbers."""
    names = [*devkit("utils.color_map").get_colormap()]
    categories = [{"name": name, "index": number} for number, name in enumerate(names)]
    tables = SimpleNamespace(category=categories, lidarseg_name2idx_mapping={name: i for i, name in enumerate(names)})
    mapper = devkit("eval.lidarseg.utils").LidarsegClassMapper(tables)
    theirs = {number: place - 1 for number, place in mapper.fine_idx_2_coarse_idx_mapping.items()}
    assert {label: -1 if place == IGNORED else place for label, place in CLASS_OF_LABEL.items()} == theirs
    coarse = {place: name for name, place in mapper.coarse_name_2_coarse_idx_mapping.items()}
    assert [name.replace("_", " ") for name in CLASSES] == [
        coarse[place + 1].replace("_", " ") for place in range(COUNT)
    ]
