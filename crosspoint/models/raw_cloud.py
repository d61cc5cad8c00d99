"""Raw clouds in the form that encoders take: checked, turned upright, on the encoder's device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from crosspoint.checkpoints.record import Inputs
from crosspoint.transforms import turn_up


def read_cloud(
    cloud: np.ndarray | Tensor, network: nn.Module, inputs: Inputs, *, columns: int, up_axis: str | None
) -> Tensor:
    """A cloud as a batch, on the device of a network's weights.

    Args:
        cloud: (N, columns) or (B, N, columns): x y z, then what is known of each point, such as the intensity.
        network: that takes it.
        inputs: what the network was trained on.
        columns: that the cloud must have.
        up_axis: of the cloud; None where it is that of training.

    Returns:
        (B, N, columns) float32.

    Raises:
        ValueError: if the cloud has another shape, or a number that is not finite.
    """
    points = torch.as_tensor(np.asarray(cloud) if not isinstance(cloud, Tensor) else cloud).float()
    if points.ndim not in (2, 3) or points.shape[-1] != columns or points.numel() == 0:
        beyond = ": x y z, then the intensity" if columns > 3 else ""
        raise ValueError(
            f"found a cloud of shape {tuple(points.shape)}, expected (N, {columns}) or (B, N, {columns}){beyond}"
        )
    if not bool(points.isfinite().all()):
        raise ValueError("found NaN or infinite numbers in a cloud, expected finite ones: remove those points")
    weight = next(network.parameters(), None)
    points = points.view(-1, *points.shape[-2:]).to("cpu" if weight is None else weight.device)
    if up_axis is None or up_axis == inputs.up_axis:
        return points
    return torch.cat([turn_up(points[..., :3], up_axis, inputs.up_axis), points[..., 3:]], dim=2)


def as_clouds(points: np.ndarray | Tensor, network: nn.Module) -> Tensor:
    """Clouds (N, 3) or (B, N, 3) of any type as a batch (B, N, 3) of floats; a batch of floats is returned as it is.

    Raises:
        ValueError: if they have another shape.
    """
    if not isinstance(points, Tensor):
        try:
            array = np.asarray(points, dtype=np.float32)
        except (ValueError, TypeError):
            raise ValueError(
                f"found {type(points).__name__} that is no array, expected clouds (B, N, 3) of one size: pass clouds "
                "of different sizes one by one"
            ) from None
        weight = next(network.parameters(), None)
        points = torch.from_numpy(array).to("cpu" if weight is None else weight.device)
    if points.ndim not in (2, 3) or points.shape[-1] != 3:
        beyond = ": give xyz alone, points[..., :3]" if points.ndim in (2, 3) and points.shape[-1] > 3 else ""
        raise ValueError(f"found clouds of shape {tuple(points.shape)}, expected (N, 3) or (B, N, 3){beyond}")
    if points.ndim == 2:
        points = points[None]
    return points if points.dtype in (torch.float32, torch.float16, torch.bfloat16) else points.float()
