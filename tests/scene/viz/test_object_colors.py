from __future__ import annotations

import numpy as np

from crosspoint.scene.viz import colors
from crosspoint.scene.viz.object_colors import by_object


def test_every_object_of_twenty_has_a_color_of_its_own_and_none_is_gray() -> None:
    made = by_object("objects", np.array([0, *range(1, 22), 0, 5]))
    assert made.title == "objects" and made.of_points.shape == (24, 3) and made.of_points.dtype == np.uint8
    rows = [tuple(row) for row in made.of_points.tolist()]
    assert rows[0] == rows[22] == colors.UNKNOWN and rows[23] == rows[5] and rows[21] == rows[1]
    assert len({*rows}) == 21
