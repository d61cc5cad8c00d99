"""Frames of KITTI for tests: single objects ahead of the camera, and random ones with random detections."""

from __future__ import annotations

import numpy as np

from crosspoint.scene.datasets.kitti_labels import KittiLabels

SIZES = {"Car": (1.5, 1.6, 3.9), "Van": (2.2, 1.9, 5.0), "Pedestrian": (1.75, 0.6, 0.8), "Cyclist": (1.7, 0.6, 1.8)}
FOCAL = 700.0


def objects(rows: list[tuple], scored: bool = False) -> KittiLabels:
    """Rows: class, x, z, turn, and by keyword in a last dict truncation, occlusion, alpha, height (pixels), score."""
    names, table, scores = [], [], []
    for name, x, z, turn, *further in rows:
        given = further[0] if further else {}
        h, w, length = SIZES.get(name, (1.6, 0.7, 1.5))
        middle, tall = FOCAL * x / z + 600, given.get("height", 45.0)
        wide = FOCAL * w / z
        box = given.get("box", [middle - wide / 2, 180 - tall, middle + wide / 2, 180])
        state = [given.get("truncation", 0.0), given.get("occlusion", 0)]
        alpha = given.get("alpha", turn - np.arctan2(x, z))
        names.append(name)
        table.append([*state, alpha, *box, h, w, length, x, given.get("y", 1.7), z, turn])
        scores.append(given.get("score", 0.5))
    array = np.array(table, dtype=np.float64).reshape(-1, 14)
    return KittiLabels(
        names, *array[:, :3].T, array[:, 3:7], array[:, 7:10], array[:, 10:13], array[:, 13],
        np.array(scores) if scored else None,
    )  # fmt: skip


def random_frames(
    count: int, seed: int, labeled: int = 8, further: int = 4
) -> tuple[list[KittiLabels], list[KittiLabels]]:
    """Labels, and detections that lie near some of them or anywhere; scores are few, so that many are equal."""
    generator = np.random.default_rng(seed)
    kinds = ["Car", "Car", "Car", "Van", "Pedestrian", "Pedestrian", "Person_sitting", "Cyclist", "Truck", "DontCare"]
    frames, answers = [], []
    for _ in range(count):
        truth, found = [], []
        for _ in range(int(generator.integers(labeled + 1))):
            name, x, z, turn = str(generator.choice(kinds)), *generator.uniform([-6, 5, -3], [6, 20, 3])
            about = {
                "truncation": float(generator.choice([0, 0, 0.2, 0.4, 0.6])),
                "occlusion": int(generator.choice([0, 0, 0, 1, 2, 3])),
                "height": float(generator.choice([20, 25, 26, 39, 40, 41, 60, 90])),
                "y": 1.7 + generator.normal(scale=0.1),
            }
            if name == "DontCare":
                left, top = generator.uniform([300, 100], [700, 150])
                about = {"box": [left, top, left + 150, top + 80]}
            truth.append((name, x, z, turn, about))
            for _ in range(int(generator.choice([0, 1, 1, 2]))):
                near = generator.normal(scale=[0.15, 0.2, 0.05])
                other = name if name not in ("Van", "Truck", "DontCare") or generator.random() < 0.3 else "Car"
                other = other if other != "DontCare" else "Car"
                height = about.get("height", 50) + float(generator.normal(scale=2))
                found.append((other, x + near[0], z + near[1], turn + near[2] + np.pi * (generator.random() < 0.2),
                              {"height": height, "score": float(generator.integers(1, 30)) / 30}))  # fmt: skip
        for _ in range(int(generator.integers(further + 1))):
            x, z, turn = generator.uniform([-6, 5, -3], [6, 20, 3])
            about = {"height": generator.uniform(20, 80), "score": generator.integers(1, 20) / 30}
            found.append((str(generator.choice(["Car", "Pedestrian", "Cyclist"])), x, z, turn, about))
        frames.append(objects(truth))
        answers.append(objects(found, scored=True))
    return frames, answers
