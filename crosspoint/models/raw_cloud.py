"""Raw clouds in the form that encoders take: checked, turned upright, on the encoder's device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crosspoint.checkpoints.record import Inputs
from crosspoint.fields import Field, channels_of, described, turn_fields
from crosspoint.renderers.meshes import TO_Y_UP
from crosspoint.transforms import turn_up


def read_cloud(
    cloud: np.ndarray | Tensor,
    network: nn.Module,
    inputs: Inputs,
    *,
    columns: int,
    up_axis: str | None,
    exact: bool = False,
    fields: Sequence[Field] = (),
) -> Tensor:
    """A cloud as a batch, on the device of a network's weights.

    Args:
        cloud: (N, columns) or (B, N, columns): x y z, then what is known of each point, such as the intensity.
        network: that takes it.
        inputs: what the network was trained on.
        columns: that the cloud must have.
        up_axis: of the cloud; None where it is that of training.
        exact: keep float64, without which a map's coordinates lose their digits before they are centered.
        fields: what stands behind x y z of an object; normals are turned with it.

    Returns:
        (B, N, columns) float32, or float64 where `exact` keeps it.

    Raises:
        ValueError: if the cloud has another shape, or a number that is not finite.
    """
    points = _as_tensor(cloud)
    weight = next(network.parameters(), None)
    device = torch.device("cpu") if weight is None else weight.device
    if not exact or points.dtype != torch.float64 or device.type == "mps":  # which has no float64
        points = points.float()
    if points.ndim not in (2, 3) or points.shape[-1] != columns or points.numel() == 0:
        beyond = f": {described(fields)}" if fields else ": x y z, then the intensity" if columns > 3 else ""
        raise ValueError(
            f"found a cloud of shape {tuple(points.shape)}, expected (N, {columns}) or (B, N, {columns}){beyond}"
        )
    if not bool(points.isfinite().all()):
        raise ValueError("found NaN or infinite numbers in a cloud, expected finite ones: remove those points")
    points = points.reshape(-1, *points.shape[-2:]).to(device)
    if up_axis is None or up_axis == inputs.up_axis:
        return points
    values = points[..., 3:]
    if fields:
        turn = TO_Y_UP[inputs.up_axis].T @ TO_Y_UP[up_axis]
        values = turn_fields(values, torch.from_numpy(turn).to(values), fields)
    return torch.cat([turn_up(points[..., :3], up_axis, inputs.up_axis), values], dim=2)


def drawn_points(count: int, most: int | None) -> Tensor:
    """Which points of a cloud an encoder sees: (min(count, most),) int64, ascending, always the same ones.

    Args:
        count: of the cloud.
        most: that the encoder saw in training; None takes all.
    """
    if most is None or count <= most:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:most].sort().values


def as_clouds(points: np.ndarray | Tensor, network: nn.Module, fields: Sequence[Field] = ()) -> Tensor:
    """Clouds (N, C) or (B, N, C) of any type as a batch (B, N, C) of the network's type, on its device.

    C is 3, and 3 more for each of the fields that the network takes.

    Raises:
        ValueError: if they have another shape.
    """
    points = _as_tensor(points)
    wanted = channels_of(fields)
    if points.ndim not in (2, 3) or points.shape[-1] != wanted:
        alone = points.ndim in (2, 3) and points.shape[-1] > 3 == wanted
        beyond = f": {described(fields)}" if fields else ": give xyz alone, points[..., :3]" if alone else ""
        raise ValueError(
            f"found clouds of shape {tuple(points.shape)}, expected (N, {wanted}) or (B, N, {wanted}){beyond}"
        )
    if points.ndim == 2:
        points = points[None]
    weight = next(network.parameters(), None)
    if weight is None:
        return points if points.dtype in (torch.float32, torch.float16, torch.bfloat16) else points.float()
    return points.to(weight)


def _as_tensor(cloud: np.ndarray | Tensor | Sequence[Any]) -> Tensor:
    if isinstance(cloud, Tensor):
        return cloud
    try:
        array = np.asarray(cloud)
        return torch.from_numpy(array if array.dtype == np.float64 else array.astype(np.float32))
    except (ValueError, TypeError):
        raise ValueError(
            f"found a {type(cloud).__name__} that is no array, expected clouds (B, N, 3) of one size: pass clouds of "
            "different sizes one by one"
        ) from None
