"""Ranges of settings, checked where a setting is declared."""

from __future__ import annotations

from collections.abc import Iterable

PIXELS = (1, 8192)  # of the side of an image
POINTS = (1, 10_000_000)  # of a cloud
VIEWS = (1, 1000)  # of an object
CHANNELS = (1, 65_536)  # of a layer
TEMPERATURE = (1e-3, 1e3)  # of a contrastive loss, whose float32 exponentials are of cosines divided by it


def in_range(name: str, value: float | None, low: float, high: float) -> None:
    """Refuse a setting outside of [low, high]; NaN is outside of every range, None is a setting that is left open.

    Args:
        name: of the setting, as users give it.
        value: of the setting.
        low: least value.
        high: greatest value.

    Raises:
        ValueError: if it is outside.
    """
    if value is not None and not low <= value <= high:
        kind = "a whole number" if isinstance(value, int) and isinstance(low, int) else "a number"
        raise ValueError(f"found {name} {value}, expected {kind} from {_written(low)} to {_written(high)}")


def all_in_range(name: str, values: Iterable[float], low: float, high: float) -> None:
    """`in_range` of each of several values, of which there must be one.

    Raises:
        ValueError: if one is outside, or there is none.
    """
    values = list(values)
    if not values:
        raise ValueError(f"found no {name}, expected one or more")
    for value in values:
        in_range(name, value, low, high)


def _written(limit: float) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"
