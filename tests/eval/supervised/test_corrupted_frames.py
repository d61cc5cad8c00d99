"""Segmentation measured on corrupted frames: the figures, and the frames that they come from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from crosspoint.eval.corruptions.robo3d import ROBO3D, corrupt_frame
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.corrupted_frames import WORD, CorruptedFrames, under_corruptions
from crosspoint.eval.supervised.labeled_frames import LabeledFrames
from crosspoint.eval.supervised.segmenter import SegmentationConfig
from crosspoint.eval.supervised.semantic_segmentation import semantic_segmentation
from crosspoint.scene.data.sample import LidarSample
from tests.eval.supervised.yard import VOXELS, Yard, tiny
from tests.scene.frames import with_field

CPU = Resources(accelerator="cpu", evaluation_batch=2)
SHORT = SegmentationConfig(epochs=2, batch_size=2, learning_rate=0.02, head_learning_rate=0.2)
CLASSES = ["ground", "car", "pole", "never"]


class Ringed(Yard):
    """Frames with beams: sixteen of them, one after the other."""

    def __getitem__(self, index: int) -> LidarSample:
        frame = super().__getitem__(index)
        return with_field(frame, "ring", np.arange(len(frame.points)) * 16 // len(frame.points))


def test_frames_are_corrupted_by_draws_of_their_own() -> None:
    yard = Ringed(3, classes=CLASSES)
    found = CorruptedFrames(yard, VOXELS, "crosstalk", 2, seed=5)
    sound = LabeledFrames(yard, VOXELS).cloud(1)
    draws = np.random.default_rng([5, WORD, [*ROBO3D].index("crosstalk"), 2, 1])
    right = corrupt_frame(sound, "crosstalk", 2, draws, CLASSES)
    torch.testing.assert_close(found.cloud(1).points, right.points, rtol=0, atol=0)
    assert not torch.equal(found.cloud(1).points - sound.points, found.cloud(2).points - yard[2].points)


def test_figures_are_means_over_severities_and_corruptions() -> None:
    asked: list[tuple[str, int]] = []

    def measure(frames: LabeledFrames) -> float:
        assert isinstance(frames, CorruptedFrames)
        asked.append((frames.name, frames.severity))
        return 10.0 * frames.severity + [*ROBO3D].index(frames.name)

    figures, records = under_corruptions(measure, Ringed(1, classes=CLASSES), VOXELS, clean=40.0, seed=0)
    assert asked == [(name, severity) for name in ROBO3D for severity in (1, 2, 3)]
    assert [record["miou"] for record in records[:3]] == [10.0, 20.0, 30.0]
    assert figures["miou_motion_blur"] == 20
    assert figures["miou_corrupted"] == pytest.approx(23.5)
    assert figures["retained"] == pytest.approx(58.75)
    assert "mce" not in figures


def test_segmentation_says_what_corruptions_leave() -> None:
    yards = Ringed(4, classes=CLASSES), Ringed(2, seed=1, classes=CLASSES)
    settings = {"voxels": VOXELS, "recipe": SHORT, "resources": CPU}
    plain = semantic_segmentation(tiny(), *yards, **settings)
    found = semantic_segmentation(tiny(), *yards, **settings, corruptions="robo3d")
    assert found.metrics["miou"] == plain.metrics["miou"]
    rows = [record for record in found.records if "corruption" in record]
    assert len(rows) == 24
    assert found.metrics["miou_corrupted"] == pytest.approx(np.mean([row["miou"] for row in rows]))
    assert found.metrics["retained"] == pytest.approx(100 * found.metrics["miou_corrupted"] / found.metrics["miou"])


def test_frames_that_lack_what_a_corruption_needs_are_told_before_training() -> None:
    yards, never = (Yard(4, classes=CLASSES), Yard(2, classes=CLASSES)), replace(SHORT, epochs=10**6)
    with pytest.raises(ValueError, match=r"found no beams of points in yard 0, expected the field ring"):
        semantic_segmentation(tiny(), *yards, voxels=VOXELS, recipe=never, resources=CPU, corruptions="robo3d")
