"""The width of a row of numbers in a headless binary file, as far as the numbers themselves tell it.

A file of float32 rows does not say how long they are, and a size that divides by one width often divides by another.
But the numbers of a column are alike, and those of different columns are not: coordinates, heights, intensities and
ring numbers differ in size, in sign, and in being whole. So what a number looks like depends on its place modulo the
true width, and hardly on its place modulo a width that is wrong.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

WIDTHS = tuple(range(3, 11))  # numbers in a row: x y z alone, up to those of an Ouster with all its fields
_BLOCK = 2520  # numbers looked at together; every width divides it, so each block begins with the same column
_BLOCKS = 8  # spread over the file
_ENOUGH = 200  # numbers; fewer prove nothing
_MARGIN = 0.1  # share of the variance that another width must explain beyond the expected one
_APART = 20.0  # factor between the sizes of two columns that cannot be the same one of neighboring returns


def check_width(numbers: np.ndarray, columns: int, path: Path) -> None:
    """Refuse a file whose numbers show another width than the expected one.

    A file that is too short to tell is taken as it is expected.

    Args:
        numbers: (n,) float32, all of the file; `columns` divides n.
        columns: numbers that a row should have.
        path: of the file, for the error.

    Raises:
        ValueError: if rows of another width explain the numbers far better.
    """
    better = shown_widths(numbers, columns)
    if better:
        raise ValueError(
            f"found numbers that repeat every {_either(better)} in {path}, expected rows of {columns} float32: "
            f"give {_either(better)} as `columns` if rows begin with x y z intensity (3: x y z), or convert the file"
        )


def possible_widths(count: int) -> list[int]:
    """The widths that divide so many numbers."""
    return [width for width in WIDTHS if count and count % width == 0]


def shown_widths(numbers: np.ndarray, columns: int) -> list[int]:
    """The width that the numbers show in place of `columns`, if any; several where two explain them alike."""
    if len(numbers) < _ENOUGH or columns not in WIDTHS:
        return []
    sampled = _sampled(numbers)
    met = _met(sampled, columns)
    if int(met.sum()) < _ENOUGH:
        return []
    kinds = _kinds(sampled)
    kinds = kinds[kinds[:, met].var(axis=1) > 1e-6]
    if not len(kinds):
        return []
    expected = _explained(kinds, met, columns)
    found: dict[int, float] = {}
    for width in possible_widths(len(numbers)):
        gain = _explained(kinds, met, width) - expected
        if width % columns == 0:
            if width > columns and _differ(numbers, columns, width):
                found[width] = float(gain.sum()) + 1.0
        elif float(gain.max()) > _MARGIN and float(gain.sum()) > _MARGIN:
            found[width] = float(gain.sum())
    if not found:
        return []
    best = max(found.values())
    near = [width for width, gain in found.items() if gain > 0.9 * best]
    return [width for width in near if not any(width > other and width % other == 0 for other in near)]


def _sampled(numbers: np.ndarray) -> np.ndarray:
    """Some blocks of the file, or all of a short one."""
    if len(numbers) <= _BLOCK * _BLOCKS:
        return numbers
    starts = np.linspace(0, len(numbers) // _BLOCK - 1, _BLOCKS).astype(int) * _BLOCK
    return np.concatenate([numbers[start : start + _BLOCK] for start in starts])


def _kinds(numbers: np.ndarray) -> np.ndarray:
    """What each number looks like (5, n): its size, sign, and whether it is whole, zero, or within 1."""
    values = np.where(np.isfinite(numbers), numbers, 0).astype(np.float64)
    size = np.abs(values)
    zero = size == 0
    whole = (values == np.round(values)) & ~zero
    return np.stack([np.log(np.clip(size, 1e-3, 1e6)), np.sign(values), whole, zero, size <= 1])


def _met(numbers: np.ndarray, columns: int) -> np.ndarray:
    """Which numbers (n,) stand in rows that have a position: the lost ones may have a rhythm of their own."""
    rows = numbers[: len(numbers) // columns * columns].reshape(-1, columns)[:, :3]
    kept = np.repeat(np.isfinite(rows).all(axis=1) & (rows != 0).any(axis=1), columns)
    return np.concatenate([kept, np.zeros(len(numbers) - len(kept), dtype=bool)])


def _explained(kinds: np.ndarray, met: np.ndarray, width: int) -> np.ndarray:
    """The share of each kind's variance that lies between the columns of a width, chance taken off.

    Args:
        kinds: (K, n), none of them constant.
        met: (n,) bool, which are counted.
        width: of a row.
    """
    whole = kinds.shape[1] // width * width
    counted = met[:whole].reshape(-1, width)
    counts = counted.sum(axis=0)
    sums = (kinds[:, :whole].reshape(len(kinds), -1, width) * counted).sum(axis=1)
    used = kinds[:, met]
    middle = used.mean(axis=1)
    apart = (sums / np.maximum(counts, 1) - middle[:, None]) ** 2 @ counts
    share: np.ndarray = apart / (used.var(axis=1) * met.sum()) - (width - 1) / met.sum()
    return share


def _differ(numbers: np.ndarray, columns: int, width: int) -> bool:
    """Whether a multiple of the expected width holds other things where x and y of the next returns should be.

    Neighboring returns may differ by their beam, so only what no beam explains counts: another size altogether, or
    whole numbers, zeros or none of them.
    """
    rows = _sampled(numbers)
    rows = rows[: len(rows) // width * width].reshape(-1, width)
    rows = rows[np.isfinite(rows).all(axis=1) & (rows[:, :3] != 0).any(axis=1)]
    if len(rows) < _ENOUGH // width:
        return False
    size = np.maximum(np.median(np.abs(rows), axis=0), 1e-6)
    whole = (rows == np.round(rows)).mean(axis=0)
    for other in range(columns, width, columns):
        for place in (0, 1):
            ratio = size[place] / size[place + other]
            if max(ratio, 1 / ratio) > _APART or abs(whole[place] - whole[place + other]) > 0.9:
                return True
    return False


def _either(widths: list[int]) -> str:
    return " or ".join(map(str, widths))
