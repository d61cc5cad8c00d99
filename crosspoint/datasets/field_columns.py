"""Normals and colors among the columns of a file, by their names or, without names, by what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from crosspoint.fields import Field, described

UNIT = 0.02  # how far from 1 the length of a normal may be that was written with few digits
MOST = 0.99  # share of normals that must have this length: a few of length 0 are usual
NAMES: Mapping[Field, Sequence[tuple[str, str, str]]] = {
    "normals": (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z")),
    "colors": (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue")),
}
PACKED = ("rgb", "rgba")  # four bytes of a PCD, blue first, in one number


def unnamed_fields(columns: np.ndarray, fields: Sequence[Field], where: object) -> np.ndarray:
    """Fields among the columns behind x y z, three for each, in whatever order they stand.

    Normals are the columns of length 1; colors are the others, from 0 to 1 or from 0 to 255.

    Args:
        columns: (…, 3 m) behind x y z.
        fields: wanted.
        where: the file, for messages.

    Returns:
        (…, 3 F) float32, in the order of the fields.

    Raises:
        ValueError: if there are no such columns.
    """
    triples = [columns[..., start : start + 3] for start in range(0, columns.shape[-1] - 2, 3)]
    unit = [_of_length_one(triple) for triple in triples]
    found = []
    for field in fields:
        fit = [
            triple
            for triple, normal in zip(triples, unit, strict=True)
            if (normal if field == "normals" else not normal and _like_colors(triple))
        ]
        if not fit:
            raise ValueError(_missing(field, f"{3 + columns.shape[-1]} columns", where))
        found.append(fit[0] if field == "normals" else as_shares(fit[0]))
    return np.concatenate([*found], axis=-1).astype(np.float32)


def named_fields(columns: Mapping[str, np.ndarray], fields: Sequence[Field], where: object) -> np.ndarray:
    """Fields among named columns (M,), such as nx ny nz and red green blue, as PLY has them.

    Args:
        columns: by name, in any case.
        fields: wanted.
        where: the file, for messages.

    Returns:
        (M, 3 F) float32, in the order of the fields.

    Raises:
        ValueError: if a field is not there, or holds what it cannot be.
    """
    lower = {name.lower(): np.asarray(values).reshape(-1) for name, values in columns.items()}
    found = []
    for field in fields:
        names = next((names for names in NAMES[field] if lower.keys() >= {*names}), None)
        packed = next((lower[name] for name in PACKED if name in lower), None)
        if names is not None:
            values = np.stack([lower[name] for name in names], axis=-1)
        elif field == "colors" and packed is not None:
            values = _unpacked(packed)
        else:
            raise ValueError(_missing(field, f"the fields {', '.join(list(lower)[:12])}", where))
        if not (_of_length_one(values) if field == "normals" else _like_colors(values)):
            raise ValueError(
                _missing(field, f"numbers from {values.min():g} to {values.max():g} in their place", where)
            )
        found.append(values.astype(np.float32) if field == "normals" else as_shares(values))
    return np.concatenate(found, axis=-1).astype(np.float32)


def as_shares(colors: np.ndarray) -> np.ndarray:
    """Colors from 0 to 255, from 0 to 65,535, or from 0 to 1 already → from 0 to 1, float32."""
    if colors.dtype.kind in "iu":
        most = 65535 if colors.max(initial=0) > 255 else 255
    else:
        most = 255 if colors.max(initial=0) > 1 else 1
    return colors.astype(np.float32) / np.float32(most)


def missing_fields(fields: Sequence[Field], owner: object) -> ValueError:
    """The error of clouds that have no such fields."""
    return ValueError(
        f"found no {' or '.join(fields)} in {owner}, expected {described(fields)} as the encoder takes them: take data "
        "that has them, or an encoder without fields"
    )


def _missing(field: Field, found: str, where: object) -> str:
    looks = "three of length 1" if field == "normals" else "three from 0 to 1, 255 or 65,535"
    return (
        f"found {found} in {where}, expected {field} among them, {looks}: take an encoder without {field}, or other "
        "files"
    )


def _of_length_one(values: np.ndarray) -> bool:
    if values.dtype.kind != "f":
        return False
    return bool((np.abs(np.linalg.norm(values, axis=-1) - 1) < UNIT).mean() >= MOST)


def _like_colors(values: np.ndarray) -> bool:
    most = 255 if values.dtype.kind == "f" else 65535
    return bool(values.size > 0 and values.min() >= 0 and values.max() <= most)


def _unpacked(values: np.ndarray) -> np.ndarray:
    """Four bytes in one number each, a float by its bits → (M, 3) uint8."""
    whole = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32) if values.dtype.kind == "f" else values
    return np.stack([(whole.astype(np.uint32) >> shift) & 255 for shift in (16, 8, 0)], axis=-1).astype(np.uint8)
