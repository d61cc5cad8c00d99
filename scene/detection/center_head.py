"""The head of CenterPoint: heat maps whose peaks are objects, and numbers of the object at each cell.

Yin et al., 2021, https://arxiv.org/abs/2006.11275; numbers as in OpenPCDet's cbgs_voxel01_res3d_centerpoint.yaml.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor, nn

from crosspoint.ops.precision import full_precision
from crosspoint.scene.data.sample import Boxes
from crosspoint.scene.detection.center_targets import CenterTargets, center_targets
from crosspoint.scene.detection.found_boxes import FoundBoxes, join_found, suppress
from crosspoint.scene.detection.head import DetectionHead
from crosspoint.scene.detection.losses import heat_focal

CODES = {"offset": 2, "height": 1, "size": 3, "heading": 2}  # in the order of `CenterTargets.codes`
VELOCITY = {"velocity": 2}  # m/s along x and y, after these
SAID = sum(CODES.values())
HEAT_BIAS = -2.19  # a score of 0.1 everywhere
BOX_WEIGHT, VELOCITY_WEIGHT = 0.25, 0.2  # loc_weight, and code_weights of the velocity
PEAKS, CANDIDATES, KEPT = 500, 1000, 83
BEYOND = 10.0  # meters beyond the extent where centers may still lie


class GroupSaid(NamedTuple):
    """What a head says of one group of classes."""

    heat: Tensor  # (B, K, H, W) logits
    codes: Tensor  # (B, 8, H, W), with velocities (B, 10, H, W)


class CenterHead(DetectionHead):
    """Boxes from centers. Classes stand in groups, each with layers of its own.

    The loss: of every group, the focal loss of its heat maps, and 0.25 · L1 of the codes at the cells of centers,
    summed over the codes and averaged over the objects of the batch; where velocities are said, likewise 0.05 · their
    L1, averaged over the objects whose velocity is known.

    With 512 channels of the map and the six groups of nuScenes it has 1,440,250 parameters, and with velocities
    1,669,510, as the public code.

    Args:
        in_channels: of the map.
        groups: labels of the classes of each group; each class is in one.
        extent: lowest and highest x y z in meters.
        size: H and W of the map.
        cell: meters along an edge of a cell.
        width: channels of the layers within.
        score: a detection's score is above it.
        overlap: IoU from above with a better detection of its group above which one goes.
        velocity: whether velocities are said, too; the boxes of training must have them.
    """

    def __init__(
        self,
        in_channels: int,
        groups: Sequence[Sequence[int]],
        extent: Sequence[float],
        size: tuple[int, int],
        cell: float,
        *,
        width: int = 64,
        score: float = 0.1,
        overlap: float = 0.2,
        velocity: bool = False,
    ) -> None:
        super().__init__()
        self.groups, self.extent, self.size = [list(group) for group in groups], tuple(extent), size
        self.cell, self.score, self.overlap, self.velocity = cell, score, overlap, velocity
        codes = CODES | VELOCITY if velocity else CODES
        self.shared = _layer(in_channels, width)
        self.heats = nn.ModuleList(_branch(width, len(group)) for group in groups)
        self.codes = nn.ModuleList(
            nn.ModuleDict({name: _branch(width, count) for name, count in codes.items()}) for _ in groups
        )
        for heat in self.heats:
            assert isinstance(heat, nn.Sequential) and isinstance(heat[-1].bias, Tensor)
            nn.init.constant_(heat[-1].bias, HEAT_BIAS)

    def forward(self, maps: Tensor) -> list[GroupSaid]:
        """Maps (B, C, H, W) → what is said of each group."""
        if tuple(maps.shape[2:]) != tuple(self.size):
            raise ValueError(f"found a map of {tuple(maps.shape[2:])} cells, expected {tuple(self.size)}")
        x = self.shared(maps)
        said = []
        for heat, codes in zip(self.heats, self.codes, strict=True):
            assert isinstance(codes, nn.ModuleDict)
            joined = torch.cat([full_precision(branch(x)) for branch in codes.values()], dim=1)
            said.append(GroupSaid(full_precision(heat(x)), joined))
        return said

    def targets(self, group: Sequence[int], boxes: Boxes) -> CenterTargets:
        """Of one frame and one group of classes, on the CPU.

        Raises:
            ValueError: if velocities are to be learned and the boxes have none.
        """
        if self.velocity and boxes.velocities is None:
            raise ValueError(
                "found boxes without velocities, expected them to learn velocities from: set detector.velocity to false"
            )
        place = torch.full((max(map(max, self.groups)) + 1,), -1)
        place[list(group)] = torch.arange(len(group))
        labels = place[boxes.labels.cpu()]
        own = labels >= 0
        corner = (self.extent[0], self.extent[1])
        speed = boxes.velocities.cpu()[own] if self.velocity and boxes.velocities is not None else None
        return center_targets(boxes.geometry.cpu()[own], labels[own], len(group), self.size, corner, self.cell, speed)

    def loss(self, said: list[GroupSaid], boxes: Sequence[Boxes]) -> dict[str, Tensor]:
        """See `DetectionHead.loss`: "heat", "boxes", and with velocities "velocities"."""
        heats, codes, speeds = [], [], []
        for group, one in zip(self.groups, said, strict=True):
            targets = [self.targets(group, frame) for frame in boxes]
            heat = torch.stack([target.heat for target in targets]).to(one.heat)
            heats.append(heat_focal(one.heat, heat))
            starts = accumulate((one.codes[0, 0].numel() for _ in targets[1:]), initial=0)
            cells = torch.cat([target.cells + start for target, start in zip(targets, starts, strict=True)])
            found = one.codes.permute(0, 2, 3, 1).flatten(0, 2)[cells.to(one.codes.device)]
            wanted = torch.cat([target.codes for target in targets]).to(found)
            codes.append(BOX_WEIGHT * (found[:, :SAID] - wanted).abs().sum() / max(1, len(wanted)))
            known = [target.velocities for target in targets if target.velocities is not None]
            if known:
                speeds.append(_velocity_loss(found[:, SAID:], torch.cat(known).to(found)))
        parts = {"heat": heats, "boxes": codes} | ({"velocities": speeds} if self.velocity else {})
        return {name: torch.stack(part).sum() for name, part in parts.items()}

    def detect(self, said: list[GroupSaid]) -> list[FoundBoxes]:
        """Of each frame and group the highest cells, as boxes, that no better one overlaps."""
        frames = range(len(said[0].heat))
        return [
            join_found([self._found(group, one, frame) for group, one in zip(self.groups, said, strict=True)])
            for frame in frames
        ]

    def _found(self, group: Sequence[int], said: GroupSaid, frame: int) -> FoundBoxes:
        heat = said.heat[frame].sigmoid().flatten(1)
        each, cells = heat.topk(min(PEAKS, heat.shape[1]), dim=1)  # of each class, then of all
        scores, best = each.flatten().topk(min(PEAKS, each.numel()))
        kind, cell = best.div(each.shape[1], rounding_mode="floor"), cells.flatten()[best]
        codes = said.codes[frame].flatten(1)[:, cell].T
        geometry = self._boxes(codes, cell)
        low, high = geometry.new_tensor(self.extent[:2]) - BEYOND, geometry.new_tensor(self.extent[3:5]) + BEYOND
        inside = ((geometry[:, :2] >= low) & (geometry[:, :2] <= high)).all(dim=1) & (geometry[:, 2].abs() <= BEYOND)
        good = inside & (scores > self.score)
        labels = torch.tensor(list(group), device=kind.device)[kind]
        found = FoundBoxes(geometry, labels, scores, codes[:, SAID:] if self.velocity else None)
        return suppress(found.keep(good), score=self.score, overlap=self.overlap, before=CANDIDATES, after=KEPT)

    def _boxes(self, codes: Tensor, cells: Tensor) -> Tensor:
        """Codes (n, 8 or more) at cells (n,) → boxes (n, 7)."""
        x = (cells % self.size[1] + codes[:, 0]) * self.cell + self.extent[0]
        y = (cells.div(self.size[1], rounding_mode="floor") + codes[:, 1]) * self.cell + self.extent[1]
        heading = torch.atan2(codes[:, 7], codes[:, 6])
        return torch.cat([torch.stack([x, y, codes[:, 2]], dim=1), codes[:, 3:6].exp(), heading.unsqueeze(1)], dim=1)


def _velocity_loss(said: Tensor, truth: Tensor) -> Tensor:
    """L1 of velocities (n, 2), of the objects whose true one is no NaN."""
    known = truth.isfinite().all(dim=1)
    gap = (said[known] - truth[known]).abs().sum() / max(1, int(known.sum()))
    return BOX_WEIGHT * VELOCITY_WEIGHT * gap


def _layer(in_channels: int, channels: int) -> nn.Sequential:
    """With a bias before the normalization, as in the configuration."""
    return nn.Sequential(nn.Conv2d(in_channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU())


def _branch(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(*_layer(width, width), nn.Conv2d(width, out, 3, padding=1))
