"""Detections as KITTI states them: the way back from what its label files say."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from crosspoint.scene.data.sample import Boxes
from crosspoint.scene.datasets.kitti_object import BOX_CLASSES, KittiObject
from crosspoint.scene.datasets.kitti_results import kitti_results
from tests.scene.datasets.test_kitti_object import DATA, write_frames
from tests.scene.frames import boxes_of

AXES = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
P = np.array([[100.0, 0, 50, 0], [0, 100, 30, 0], [0, 0, 1, 0]])


def results(geometry: list[float], size: tuple[int, int] = (60, 100)):
    return kitti_results(np.array([geometry]), ["Car"], np.array([0.5]), AXES, P, size)


def test_a_box_is_stated_by_its_bottom_and_its_turn() -> None:
    one = results([10, 2, -0.5, 4, 1.8, 1.5, 0.3])
    assert one.positions[0] == pytest.approx([-2, 0.5 + 0.75, 10])
    assert one.sizes[0] == pytest.approx([1.5, 1.8, 4])
    assert math.cos(one.rotation_y[0] + 0.3 + math.pi / 2) == pytest.approx(1)
    assert one.alpha[0] == pytest.approx(one.rotation_y[0] - math.atan2(-2, 10))
    assert one.upright()[0, :6] == pytest.approx([10, 2, -0.5, 4, 1.8, 1.5])


def test_the_image_box_holds_the_eight_corners() -> None:
    x, y, z, length, width, height, heading = geometry = [10.0, 1.0, 0.2, 3.0, 1.5, 1.2, 0.7]
    pixels = []
    for along in (-0.5, 0.5):
        for across in (-0.5, 0.5):
            for up in (-0.5, 0.5):
                px = x + along * length * math.cos(heading) - across * width * math.sin(heading)
                py = y + along * length * math.sin(heading) + across * width * math.cos(heading)
                pixels.append((100 * -py / px + 50, 100 * -(z + up * height) / px + 30))
    us, vs = zip(*pixels, strict=True)
    assert results(geometry).image_boxes[0] == pytest.approx([min(us), min(vs), max(us), max(vs)])
    assert results(geometry, (28, 45)).image_boxes[0] == pytest.approx(
        [min(us), min(vs), min(max(us), 44), min(max(vs), 27)]
    )


def test_a_box_behind_the_camera_has_a_box_within_the_image() -> None:
    left, top, right, bottom = results([-10, 1, 0, 3, 1.5, 1.2, 0.7]).image_boxes[0]
    assert 0 <= left <= right <= 99 and 0 <= top <= bottom <= 59


def test_labels_come_back_from_the_boxes_that_were_read(tmp_path: Path) -> None:
    dataset = KittiObject(write_frames(tmp_path))
    frame, labels = dataset[1], dataset.labels(1)
    again = dataset.results(1, boxes_of(frame), torch.tensor([0.9]))
    assert again.names == ("Car",) and labels.names == ("Car", "Van")
    assert again.positions[0] == pytest.approx(labels.positions[0])
    assert again.sizes[0] == pytest.approx(labels.sizes[0])
    assert again.rotation_y[0] == pytest.approx(labels.rotation_y[0])


@pytest.mark.skipif(not DATA.is_dir(), reason="shared/data/kitti_object is not there")
def test_labels_of_real_frames_come_back() -> None:
    dataset = KittiObject(DATA)
    for index in range(len(dataset)):
        labels, boxes = dataset.labels(index), boxes_of(dataset[index])
        own = labels.of_class(*BOX_CLASSES)
        again = dataset.results(index, boxes, torch.ones(len(boxes.labels)))
        assert np.allclose(again.positions, labels.positions[own], atol=1e-6)
        assert np.allclose(again.sizes, labels.sizes[own])
        assert np.allclose(np.cos(again.rotation_y - labels.rotation_y[own]), 1, atol=1e-4)  # the camera leans a little
        # Annotators drew the boxes in the images by hand
        low = np.maximum(again.image_boxes, labels.image_boxes[own])[:, :2]
        high = np.minimum(again.image_boxes, labels.image_boxes[own])[:, 2:]
        shared = np.clip(high - low, 0, None).prod(axis=1)
        areas = [(b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (again.image_boxes, labels.image_boxes[own])]
        assert (shared / (sum(areas) - shared)).min() > 0.6


def test_no_detection(tmp_path: Path) -> None:
    dataset = KittiObject(write_frames(tmp_path))
    nothing = Boxes(torch.zeros(0, 7), torch.zeros(0, dtype=torch.int64))
    assert len(dataset.results(0, nothing, torch.zeros(0))) == 0
