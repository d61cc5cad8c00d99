"""Objects of other frames pasted into a frame, so that each one has many: ground-truth sampling.

Yan et al., SECOND, 2018, https://doi.org/10.3390/s18103337, as in OpenPCDet. Two things of that code are left out, as
frames here do not say them: KITTI's difficulty, and the road plane to which it moves objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from crosspoint.scene.data.sample import Boxes, LidarSample
from crosspoint.scene.detection.points_in_boxes import points_in_boxes
from crosspoint.scene.ops.rotated_boxes import rotated_iou

CARS, PEOPLE = 20, 15  # SECOND's on KITTI


def _kitti() -> dict[str, int]:
    return {"Car": CARS, "Pedestrian": PEOPLE, "Cyclist": PEOPLE}


@dataclass(frozen=True)
class ObjectSampling:
    """How many objects a training frame is filled up to; the defaults are SECOND's on KITTI.

    Args:
        counts: objects of each class, by its name, that a frame has afterwards, where they find room; classes that are
            not named get none
        least_points: points that an object of the bank has at least
    """

    counts: dict[str, int] = field(default_factory=_kitti)
    least_points: int = 5

    def __post_init__(self) -> None:
        if self.least_points < 1 or any(count < 0 for count in self.counts.values()):
            raise ValueError(
                f"found counts {self.counts} and least_points {self.least_points}, expected none below 0, and 1 point"
            )

    def of(self, names: Sequence[str]) -> list[int]:
        """The counts in the order of a dataset's classes.

        Raises:
            ValueError: if a name is none of them.
        """
        unknown = [name for name in self.counts if name not in names]
        if unknown:
            raise ValueError(
                f"found sampling of the class {unknown[0]}, expected some of {', '.join(names)}: set "
                "the counts of recipe.sampling, or recipe.sampling to null"
            )
        return [self.counts.get(name, 0) for name in names]


class BankedObject(NamedTuple):
    """An object cut out of its frame, where it stood."""

    points: Tensor  # (k, 3) float32
    fields: Mapping[str, Tensor]  # (k, …) each
    box: Tensor  # (7,) float64
    velocity: Tensor  # (2,) float64, m/s, NaN where it is not known


class ObjectBank:
    """The objects of some frames, by class; kept in memory.

    Args:
        frames: with boxes.
        classes: how many there are.
        least_points: objects with fewer points are left out.
    """

    def __init__(self, frames: Iterable[LidarSample], classes: int, least_points: int = 5) -> None:
        self.objects: list[list[BankedObject]] = [[] for _ in range(classes)]
        for frame in frames:
            if frame.boxes is None:
                continue
            geometry, labels = frame.boxes.geometry, frame.boxes.labels
            velocities = frame.boxes.velocities
            if velocities is None:
                velocities = geometry.new_full((len(labels), 2), torch.nan)
            inside = points_in_boxes(frame.points, geometry)
            for row, label in enumerate(labels.tolist()):
                rows = inside[:, row].nonzero().squeeze(1)
                if len(rows) >= least_points:
                    fields = {name: values[rows] for name, values in frame.point_fields.items()}
                    cut = BankedObject(frame.points[rows], fields, geometry[row], velocities[row])
                    self.objects[label].append(cut)

    def draw(self, label: int, count: int, generator: Generator) -> list[BankedObject]:
        """Up to `count` different objects of a class, all equally likely."""
        there = self.objects[label]
        order = torch.randperm(len(there), generator=generator)[: max(0, count)]
        return [there[place] for place in order.tolist()]


def paste_objects(sample: LidarSample, bank: ObjectBank, counts: Sequence[int], generator: Generator) -> LidarSample:
    """Fill a frame up with objects of the bank.

    Class by class as many are drawn as are missing. One that overlaps a box of the frame, or another one that was
    drawn, is left out, seen from above. Points of the frame within the boxes of the others make room for theirs.

    Args:
        sample: with boxes, without pairs.
        bank: of the training frames.
        counts: of each class.
        generator: of the draws.
    """
    assert sample.boxes is not None
    geometry, labels, velocities = sample.boxes
    added: list[BankedObject] = []
    for label, count in enumerate(counts):
        drawn = bank.draw(label, count - int((labels == label).sum()), generator)
        if not drawn:
            continue
        boxes = torch.stack([one.box for one in drawn])
        among = rotated_iou(boxes, boxes).fill_diagonal_(0)
        free = (torch.cat([rotated_iou(boxes, geometry), among], dim=1) == 0).all(dim=1)
        added += [one for one, is_free in zip(drawn, free.tolist(), strict=True) if is_free]
        geometry = torch.cat([geometry, boxes[free]])
        labels = torch.cat([labels, torch.full((int(free.sum()),), label)])
    if not added:
        return sample
    kept = sample.keep_points(~points_in_boxes(sample.points, torch.stack([one.box for one in added])).any(dim=1))
    fields = {
        name: torch.cat([values, *(one.fields[name] for one in added)])
        for name, values in kept.point_fields.items()
        if all(name in one.fields for one in added)
    }
    points = torch.cat([kept.points, *(one.points for one in added)])
    if velocities is not None:
        velocities = torch.cat([velocities, torch.stack([one.velocity for one in added])])
    return replace(kept, points=points, point_fields=fields, boxes=Boxes(geometry, labels, velocities))
