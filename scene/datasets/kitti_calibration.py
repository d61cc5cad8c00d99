"""The calibration files of KITTI and what was made from it: lines of a key, a colon and numbers.

KITTI's images are rectified: all cameras look along the first one's rectified axes, and camera i sees a point x of its
frame at P_i x, P_i = K_i [1 | t_i] (Geiger et al. 2013, Vision meets Robotics: The KITTI Dataset, section IV,
https://www.cvlibs.net/publications/Geiger2013IJRR.pdf).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crosspoint.scene.data.calibration import rigid
from crosspoint.scene.datasets.readers import read_lines


class KittiCalibration:
    """The numbers of one file.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        pairs = (line.partition(":") for line in read_lines(path, "a calibration: lines of a key, a colon and numbers"))
        self._lines = {key.strip(): text for key, _, text in pairs}

    def matrix(self, key: str, shape: tuple[int, ...]) -> np.ndarray:
        """The numbers of a key, float64 of a shape.

        Raises:
            ValueError: if the key is missing or its numbers are not as many or not finite.
        """
        if key not in self._lines:
            there = ", ".join(
                name if len(name) < 30 else f"{name.split()[0]} (without a colon)" for name in self._lines
            )
            source = ", fetch KITTI's data_odometry_calib.zip" if key == "Tr" else ""
            raise ValueError(
                f"found no {key} in {self.path}, expected it beside {there or 'nothing'}: "
                f"the file is cut off or of another dataset{source}"
            )
        try:
            numbers = np.array([float(word) for word in self._lines[key].split()])
        except ValueError:
            numbers = np.zeros(0)
        if len(numbers) != np.prod(shape) or not np.isfinite(numbers).all():
            raise ValueError(f"found {key}:{self._lines[key]} in {self.path}, expected {np.prod(shape)} finite numbers")
        return numbers.reshape(shape)

    def transform(self, rotation: str, translation: str | None = None) -> np.ndarray:
        """The rigid transform (4, 4) of two keys, R (3, 3) and T (3,), or of one, [R | T] (3, 4).

        Raises:
            ValueError: if a key is missing or broken, or they make no rigid transform.
        """
        if translation is None:
            whole = self.matrix(rotation, (3, 4))
            R, T = whole[:, :3], whole[:, 3]
        else:
            R, T = self.matrix(rotation, (3, 3)), self.matrix(translation, (3,))
        try:
            return rigid(R, T)
        except ValueError as error:
            raise ValueError(f"{rotation} in {self.path}: {error}") from None

    def rotation(self, key: str) -> np.ndarray:
        """The rotation R (3, 3) of a key as a transform (4, 4); errors as of `transform`."""
        R = self.matrix(key, (3, 3))
        try:
            return rigid(R, np.zeros(3))
        except ValueError as error:
            raise ValueError(f"{key} in {self.path}: {error}") from None

    def camera(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Intrinsics K (3, 3), and the shift (4, 4) from the first camera's rectified frame to this one's, from P."""
        P = self.matrix(key, (3, 4))
        K, shift = P[:, :3], np.eye(4)
        if K[2].tolist() != [0, 0, 1] or abs(np.linalg.det(K)) < 1e-9:
            raise ValueError(f"found {key} in {self.path} with intrinsics {K.tolist()}, expected focal lengths > 0")
        shift[:3, 3] = np.linalg.solve(K, P[:, 3])
        return K, shift
