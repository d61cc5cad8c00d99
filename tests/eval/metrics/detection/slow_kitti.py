"""KITTI's rules read literally, object after object, with shapely for overlaps: the oracle of `kitti_scores`."""

from __future__ import annotations

import math

import numpy as np
from shapely import Polygon, box

from crosspoint.scene.datasets.kitti_labels import KittiLabels

HEIGHT, OCCLUSION, TRUNCATION = [40, 25, 25], [0, 1, 2], [0.15, 0.3, 0.5]


def footprint(frame: KittiLabels, place: int) -> Polygon:
    """In the camera's x and z; a turn about y, which points down, goes from x to −z."""
    _, width, length = frame.sizes[place]
    x, _, z = frame.positions[place]
    cos, sin = math.cos(frame.rotation_y[place]), math.sin(frame.rotation_y[place])
    around = [(length / 2, width / 2), (length / 2, -width / 2), (-length / 2, -width / 2), (-length / 2, width / 2)]
    return Polygon([(x + cos * u + sin * v, z - sin * u + cos * v) for u, v in around])


def overlap(metric: str, truth: KittiLabels, t: int, found: KittiLabels, f: int) -> float:
    if truth.names[t] == "DontCare":
        return 0.0
    if metric == "2d":
        one, other = box(*truth.image_boxes[t]), box(*found.image_boxes[f])
        return one.intersection(other).area / one.union(other).area
    one, other = footprint(truth, t), footprint(found, f)
    area = one.intersection(other).area
    if metric == "bev":
        return area / (one.area + other.area - area)
    bottom, other_bottom = truth.positions[t][1], found.positions[f][1]  # y points down
    height = min(bottom, other_bottom) - max(bottom - truth.sizes[t][0], other_bottom - found.sizes[f][0])
    volume = area * max(height, 0.0)
    return volume / (np.prod(truth.sizes[t]) + np.prod(found.sizes[f]) - volume)


def states(truth: KittiLabels, found: KittiLabels, name: str, d: int) -> tuple[list[int], list[int]]:
    neighbor = {"car": "van", "pedestrian": "person_sitting"}.get(name)
    truths, founds = [], []
    for t, kind in enumerate(truth.names):
        tall = truth.image_boxes[t][3] - truth.image_boxes[t][1]
        easy = tall > HEIGHT[d] and truth.occlusion[t] <= OCCLUSION[d] and truth.truncation[t] <= TRUNCATION[d]
        if kind.lower() == name:
            truths.append(0 if easy else 1)
        else:
            truths.append(1 if kind.lower() == neighbor else -1)
    for f, kind in enumerate(found.names):
        tall = found.image_boxes[f][3] - found.image_boxes[f][1]
        founds.append(1 if tall < HEIGHT[d] else 0 if kind.lower() == name else -1)
    return truths, founds


def one_frame(metric, truth, found, overlaps, truths, founds, least, threshold=None):
    """Scores of those found, or at a threshold their number, mistakes and similarity of orientation."""
    used, scores, similarity = set(), [], 0.0
    for t, state in enumerate(truths):
        if state == -1:
            continue
        best, best_key = None, None
        for f, other in enumerate(founds):
            if other == -1 or f in used or (threshold is not None and found.scores[f] < threshold):
                continue
            if overlaps[t, f] > least:
                key = found.scores[f] if threshold is None else (other == 0, overlaps[t, f] if other == 0 else 0)
                if best is None or key > best_key:
                    best, best_key = f, key
        if best is None:
            continue
        used.add(best)
        if state == 0 and founds[best] == 0:
            scores.append(found.scores[best])
            similarity += (1 + math.cos(found.alpha[best] - truth.alpha[t])) / 2
    if threshold is None:
        return scores
    mistakes = 0
    for f, state in enumerate(founds):
        if state == 0 and f not in used and found.scores[f] >= threshold:
            mine = box(*found.image_boxes[f])
            regions = [box(*truth.image_boxes[t]) for t, kind in enumerate(truth.names) if kind == "DontCare"]
            excused = metric == "2d" and any(mine.intersection(each).area / mine.area > least for each in regions)
            mistakes += not excused
    return len(scores), mistakes, similarity


def tables(truth: list[KittiLabels], found: list[KittiLabels], metric: str) -> list[dict[tuple[int, int], float]]:
    """The overlap of each labeled object with each detection, by frame."""
    return [
        {(t, f): overlap(metric, labels, t, answers, f) for t in range(len(labels)) for f in range(len(answers))}
        for labels, answers in zip(truth, found, strict=True)
    ]


def curves(
    truth: list[KittiLabels], found: list[KittiLabels], overlaps: list, metric: str, name: str, d: int, least: float
):
    """Precision and similarity (41,) of a class, in lower case, at a difficulty."""
    frames = [
        (metric, labels, answers, table, *states(labels, answers, name, d), least)
        for labels, answers, table in zip(truth, found, overlaps, strict=True)
    ]
    count = sum(states.count(0) for _, _, _, _, states, _, _ in frames)
    scores = sorted((score for frame in frames for score in one_frame(*frame)), reverse=True)
    thresholds, recall = [], 0.0
    for place, score in enumerate(scores):
        left, right = (place + 1) / count, (place + 2) / count
        if place == len(scores) - 1:
            right = left
        elif right - recall < recall - left:
            continue
        thresholds.append(score)
        recall += 1 / 40
    precision, similarity = np.zeros(41), np.zeros(41)
    for place, threshold in enumerate(thresholds):
        right, wrong, alike = np.sum([one_frame(*frame, threshold) for frame in frames], axis=0)
        if right + wrong > 0:
            precision[place], similarity[place] = right / (right + wrong), alike / (right + wrong)
    return np.array([precision[i:].max() for i in range(41)]), np.array([similarity[i:].max() for i in range(41)])
