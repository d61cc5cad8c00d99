"""Fields of points beside x y z: normals and colors, as further channels of a cloud.

A cloud (…, N, 3) with fields is (…, N, 3 + 3 F): x y z first, then each field, normals before colors. Normals have
length 1 and turn with the cloud; colors are from 0 to 1 and do not. An encoder says which fields it takes, and all that
hands clouds to it follows: datasets, augmentations, commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Field = Literal["normals", "colors"]
Fields = tuple[Field, ...]
FIELDS: Fields = get_args(Field)


def checked_fields(fields: Sequence[str] | None) -> Fields:
    """Names of fields as a tuple; none for None.

    Raises:
        ValueError: if one is unknown, there twice, or they stand in another order than `FIELDS`.
    """
    given = tuple(fields or ())
    known: Fields = tuple(field for field in FIELDS if field in given)
    if given != known:
        raise ValueError(
            f"found the fields {', '.join(map(str, given))}, expected some of {', '.join(FIELDS)}, so ordered"
        )
    return known


def channels_of(fields: Sequence[Field]) -> int:
    """How many numbers a point has."""
    return 3 + 3 * len(fields)


def described(fields: Sequence[Field]) -> str:
    """What a point has, in words: "x y z" or "x y z, normals"."""
    return ", ".join(["x y z", *fields])


def check_channels(points: Tensor, fields: Sequence[Field]) -> None:
    """Refuse clouds (…, N, C) of another width than fields give them.

    Raises:
        ValueError: if C is another number.
    """
    wanted = channels_of(fields)
    if points.shape[-1] != wanted:
        raise ValueError(
            f"found clouds of {points.shape[-1]} channels, expected {wanted} ({described(fields)}): give clouds with "
            "the fields that the encoder takes"
        )


def turn_cloud(points: Tensor, turn: Tensor, fields: Sequence[Field] = ()) -> Tensor:
    """Turn clouds and their normals.

    Args:
        points: (B, N, 3 + 3 F).
        turn: rotation of all clouds (3, 3), or of each (B, 3, 3).
        fields: what stands behind x y z.

    Returns:
        (B, N, 3 + 3 F): x y z and normals times the transposed rotation, colors as they were.
    """
    check_channels(points, fields)
    turned = points[..., :3] @ turn.mT
    return turned if not fields else torch.cat([turned, turn_fields(points[..., 3:], turn, fields)], dim=-1)


def turn_fields(values: Tensor, turn: Tensor, fields: Sequence[Field]) -> Tensor:
    """Fields (B, N, 3 F) of clouds that are turned by (3, 3) or (B, 3, 3)."""
    if "normals" not in fields:
        return values
    return torch.cat([values[..., :3] @ turn.mT, values[..., 3:]], dim=-1)


def stretch_fields(values: Tensor, factors: Tensor, fields: Sequence[Field]) -> Tensor:
    """Fields of clouds whose axes are stretched: a normal takes the inverse factors, and length 1 again.

    Args:
        values: (B, N, 3 F).
        factors: (B, 1, 3), of x y z.
        fields: which they are.
    """
    if "normals" not in fields:
        return values
    return torch.cat([F.normalize(values[..., :3] / factors, dim=-1), values[..., 3:]], dim=-1)
