"""Ranges of settings: both limits are inside, NaN is outside of all."""

from __future__ import annotations

import math

import pytest

from crosspoint.renderers.ranges import all_in_range, in_range


@pytest.mark.parametrize("value", [1, 2, 3, 1.5, None])
def test_limits_are_inside(value: float | None) -> None:
    in_range("k", value, 1, 3)


@pytest.mark.parametrize("value", [0, 4, -1, 0.999, 3.001, math.nan, math.inf, -math.inf])
def test_what_is_outside_is_named_with_its_range(value: float) -> None:
    kind = "a whole number" if isinstance(value, int) else "a number"
    with pytest.raises(ValueError, match=rf"^found k {value}, expected {kind} from 1 to 3$"):
        in_range("k", value, 1, 3)


def test_of_several_values_each_is_checked() -> None:
    all_in_range("channels", (8, 16), 1, 1000)
    with pytest.raises(ValueError, match=r"found channels 0, expected a whole number from 1 to 1,000"):
        all_in_range("channels", (8, 0), 1, 1000)
    with pytest.raises(ValueError, match="found no channels, expected one or more"):
        all_in_range("channels", [], 1, 1000)
