"""The direction from which clouds are drawn."""

from __future__ import annotations

import numpy as np

TURN, RISE = np.deg2rad(35), np.deg2rad(25)


def three_quarter(points: np.ndarray) -> np.ndarray:
    """Points (N, 3), y up, for a viewer 35° to the right of the front (+z) and 25° above.

    Returns:
        (N, 3): right, up, and towards the viewer.
    """
    towards = np.array([np.cos(RISE) * np.sin(TURN), np.sin(RISE), np.cos(RISE) * np.cos(TURN)])
    right = np.array([np.cos(TURN), 0.0, -np.sin(TURN)])
    return points @ np.stack([right, np.cross(towards, right), towards], axis=1)
