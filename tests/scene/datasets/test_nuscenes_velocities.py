"""Velocities of nuScenes' boxes against the devkit's rule, and what keeps them on the way to a detector."""

from __future__ import annotations

import json
import math
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from crosspoint.eval.supervised.boxed_frames import BoxedFrames
from crosspoint.scene.datasets.nuscenes import BOX_CLASSES, NuScenes
from crosspoint.scene.datasets.nuscenes_boxes import to_world
from crosspoint.scene.datasets.nuscenes_tables import Tables
from crosspoint.scene.datasets.nuscenes_velocities import box_velocities
from crosspoint.scene.detection.box_augmentation import BoxAugmentation
from crosspoint.scene.detection.object_sampling import ObjectSampling
from crosspoint.scene.ops.voxels import VoxelConfig
from tests.scene.datasets.test_nuscenes import POINTS, VERSION, tables, write
from tests.scene.frames import boxes_of

SWEEPS: dict[str, Any] = {"labels": False, "cameras": []}
SCENE = "scene-0001"
SECONDS = [0.0, 0.5, 1.2, 2.9, 5.0, 6.5]  # of six keyframes: gaps of 0.5, 0.7, 1.7, 2.1 and 1.5 s
CAR, STROLLER, BUS = range(3)  # numbers of the instances; a stroller is no box
WHERE = {CAR: [0.0, 1.0, 4.0, 4.5, 9.0, 9.0], BUS: [7.0, 5.0, 5.0, 5.0, 1.0, 1.5]}  # meters along the world's x


def write_moving(root: Path) -> Path:
    """Six keyframes; the car is annotated in all of them, the bus in all but the second, the stroller once."""
    write(root, [SCENE])
    made = tables([SCENE], frames=6)
    for sample in made["sample"]:
        number = int(sample["token"][-1])
        sample["timestamp"] = 10**15 + round(1e6 * SECONDS[number])
        POINTS.tofile(root / "samples" / f"{SCENE}-{number}.bin")
    kept = []
    for record in made["sample_annotation"]:
        number, instance = int(record["sample_token"][-1]), int(record["instance_token"][-1])
        there = {CAR: range(6), STROLLER: [0], BUS: [0, 2, 3, 4, 5]}[instance]
        if number not in there:
            continue
        place = [*there].index(number)
        record["prev"] = f"{SCENE}-{there[place - 1]}{instance}" if place else ""
        record["next"] = f"{SCENE}-{there[place + 1]}{instance}" if place + 1 < len(there) else ""
        if instance in WHERE:
            record["translation"][0] += WHERE[instance][number]
            record["translation"][1] -= 2 * WHERE[instance][number]
        kept.append(record)
    made["sample_annotation"] = kept
    for name, records in made.items():
        (root / VERSION / f"{name}.json").write_text(json.dumps(records))
    dataset = NuScenes(root, boxes=True, **SWEEPS)
    for number, frame in enumerate(dataset):  # a return in the middle of each box; the LiDAR's own x is to the right
        x, y, z = boxes_of(frame).geometry[:, :3].numpy().T
        middles = np.stack([-y, x, z, np.full(len(x), 50.0), np.zeros(len(x))], axis=1).astype(np.float32)
        np.concatenate([POINTS, middles]).tofile(root / "samples" / f"{SCENE}-{number}.bin")
    return root


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moving(tmp_path_factory.mktemp("data"))


def annotated(root: Path) -> list[dict[str, Any]]:
    return json.loads((root / VERSION / "sample_annotation.json").read_text())


def by_hand(root: Path) -> dict[str, float]:
    """Along x, written out for the times and places above; the world moves 1 m a keyframe under both."""
    x = {(i, n): 500.0 + n + WHERE[i][n] for i in (CAR, BUS) for n in range(6)}

    def between(instance: int, first: int, last: int) -> float:
        return (x[instance, last] - x[instance, first]) / (SECONDS[last] - SECONDS[first])

    return {
        f"{SCENE}-0{CAR}": between(CAR, 0, 1),  # none before
        f"{SCENE}-1{CAR}": between(CAR, 0, 2),  # over 1.2 s
        f"{SCENE}-2{CAR}": between(CAR, 1, 3),  # over 2.4 s, as both neighbors are there
        f"{SCENE}-3{CAR}": math.nan,  # over 3.8 s
        f"{SCENE}-4{CAR}": math.nan,  # over 3.6 s
        f"{SCENE}-5{CAR}": between(CAR, 4, 5),  # none after; over 1.5 s
        f"{SCENE}-0{BUS}": between(BUS, 0, 2),
        f"{SCENE}-2{BUS}": between(BUS, 0, 3),  # over 2.9 s
        f"{SCENE}-3{BUS}": math.nan,
        f"{SCENE}-4{BUS}": math.nan,
        f"{SCENE}-5{BUS}": between(BUS, 4, 5),
        f"{SCENE}-0{STROLLER}": math.nan,  # annotated once
    }


def test_velocities_are_those_written_out(moving: Path) -> None:
    records, expected = annotated(moving), by_hand(moving)
    assert {record["token"] for record in records} == expected.keys()
    found = box_velocities(Tables(moving), records)
    np.testing.assert_allclose(found[:, 0], [expected[record["token"]] for record in records], rtol=1e-6)
    few = [record for record in records if record["token"] in (f"{SCENE}-2{CAR}", f"{SCENE}-5{BUS}")]
    alone = box_velocities(Tables(moving), few)  # the neighbors are read from the table
    np.testing.assert_array_equal(alone, found[[records.index(record) for record in few]])
    assert box_velocities(Tables(moving), []).shape == (0, 2)


def test_velocities_are_those_of_the_devkit(moving: Path) -> None:
    needed = "nuscenes-devkit pyquaternion cachetools opencv-python-headless"
    pytest.importorskip("nuscenes", reason=f"needs nuscenes-devkit: pip install --no-deps {needed}")
    kit = import_module("nuscenes.nuscenes").NuScenes
    records = annotated(moving)
    samples = json.loads((moving / VERSION / "sample.json").read_text())
    held = {
        "sample_annotation": {one["token"]: one for one in records},
        "sample": {one["token"]: one for one in samples},
    }
    stand_in = SimpleNamespace(get=lambda table, token: held[table][token])
    theirs = [kit.box_velocity(stand_in, record["token"])[:2] for record in records]
    np.testing.assert_allclose(box_velocities(Tables(moving), records), theirs, rtol=1e-12)


def test_frames_have_them_in_the_lidars_own_axes(moving: Path) -> None:
    """The way back into the world is exact; and a car that follows the vehicle's heading moves along x."""
    dataset, expected = NuScenes(moving, boxes=True, **SWEEPS), by_hand(moving)
    instances = {BOX_CLASSES.index("car"): CAR, BOX_CLASSES.index("bus"): BUS}
    for number, frame in enumerate(dataset):
        boxes = boxes_of(frame)
        assert boxes.velocities is not None and boxes.velocities.shape == (len(boxes.labels), 2)
        tokens = [f"{SCENE}-{number}{instances[label]}" for label in boxes.labels.tolist()]
        _, world = to_world(boxes.geometry, boxes.velocities, frame.pose)
        np.testing.assert_allclose(world[:, 0], [expected[token] for token in tokens], rtol=1e-6, atol=1e-9)
    _, speed = to_world(np.zeros((1, 7)), [[3.0, 0.0]], dataset[0].pose)
    heading = math.radians(37)
    np.testing.assert_allclose(speed, [[3 * math.cos(heading), 3 * math.sin(heading)]], atol=1e-12)


def test_a_lost_neighbor_is_said(tmp_path: Path) -> None:
    root = write_moving(tmp_path)
    kept = [record for record in annotated(root) if record["token"] != f"{SCENE}-3{CAR}"]
    (root / VERSION / "sample_annotation.json").write_text(json.dumps(kept))
    with pytest.raises(ValueError, match=rf"found no record {SCENE}-30 in .*sample_annotation.json"):
        NuScenes(root, boxes=True, **SWEEPS)


VOXELS = VoxelConfig("cartesian", 0.5, extent=(-40, -40, -4, 40, 40, 4), features="xyz_intensity", average=True)


def along(geometry: torch.Tensor, velocities: torch.Tensor) -> torch.Tensor:
    """Velocities along the boxes' own axes, in box lengths a second: what neither turn nor scale changes."""
    cos, sin = geometry[:, 6].cos(), geometry[:, 6].sin()
    x, y = velocities.unbind(dim=1)
    return torch.stack([cos * x + sin * y, cos * y - sin * x], dim=1) / geometry[:, 3:4]


def test_batches_of_workers_have_the_velocities_of_augmented_and_pasted_boxes(moving: Path) -> None:
    """A mirror changes the sign alone of speeds along and across a box, and a scale both in one way."""
    settings = {"augmentation": BoxAugmentation(0.5, 0.5, 45.0), "sampling": ObjectSampling({"car": 3}, 1)}
    dataset = NuScenes(moving, boxes=True, **SWEEPS)
    frames, plain = BoxedFrames(dataset, VOXELS, **settings), BoxedFrames(dataset, VOXELS)
    loader = DataLoader(
        frames,
        batch_size=3,
        sampler=[(i, seed) for seed in range(2) for i in range(6)],
        num_workers=1,
        collate_fn=frames.collate,
    )
    known = {label: [] for label in range(len(BOX_CLASSES))}
    for boxes in plain.boxes():
        assert boxes.velocities is not None
        for row, label in zip(along(boxes.geometry, boxes.velocities), boxes.labels.tolist(), strict=True):
            known[label].append(row.abs())
    seen = 0
    for batch in loader:
        for boxes in batch.boxes:
            for row, label in zip(along(boxes.geometry, boxes.velocities), boxes.labels.tolist(), strict=True):
                gaps = [
                    torch.isclose(row.abs(), one, rtol=1e-9, atol=1e-9, equal_nan=True).all() for one in known[label]
                ]
                assert any(gaps)
                seen += 1
    assert seen > 22  # pasted ones are among them


def test_a_cut_keeps_rows_together(moving: Path) -> None:
    for frame in NuScenes(moving, boxes=True, **SWEEPS):
        one = boxes_of(frame)
        flags = one.labels == BOX_CLASSES.index("car")
        kept = one.keep(flags)
        torch.testing.assert_close(kept.velocities, one.velocities[flags], rtol=0, atol=0, equal_nan=True)
        assert torch.equal(kept.geometry, one.geometry[flags]) and torch.equal(kept.labels, one.labels[flags])
