"""Losses of the instance branch: the error of the heat map, and of the ways to the centers.

Panoptic-PolarNet's code (Zhou et al., 2021, https://arxiv.org/abs/2103.14962, network/loss.py), which CSC took over,
averages over all cells and multiplies the average by a mask, which then changes nothing: cells without any point are
pulled to an offset of 0, and objects, which fill few cells, hardly count. Masks meant to choose cells do so here;
`published` is what was run.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from crosspoint.eval.panoptic.targets import LOWEST, PanopticTargets

Masking = Literal["intended", "published"]
MASKINGS: tuple[Masking, ...] = get_args(Masking)


def center_loss(heat: Tensor, targets: PanopticTargets, masking: Masking = "intended") -> Tensor:
    """Mean squared error of heat maps (B, H, W): of cells with a hill or a labeled point, or of all.

    0 where no cell counts.
    """
    chosen = (targets.heat > LOWEST) | targets.labeled
    return _mean((heat.float() - targets.heat).square(), chosen, masking)


def offset_loss(offset: Tensor, targets: PanopticTargets, masking: Masking = "intended") -> Tensor:
    """Mean absolute error of offsets (B, 2, H, W) in cells: of cells of objects, or of all.

    0 where no cell counts.
    """
    chosen = targets.object[:, None].expand_as(offset)
    return _mean((offset.float() - targets.offset).abs(), chosen, masking)


def _mean(error: Tensor, chosen: Tensor, masking: Masking) -> Tensor:
    if masking == "published":
        return error.mean() * chosen.any()
    return (error * chosen).sum() / chosen.sum().clamp(min=1)
