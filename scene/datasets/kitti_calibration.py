"""The calibration files of KITTI and what was made from it: lines of a key, a colon and numbers.

The tracking benchmark's files leave some colons out and shorten some keys, which are read as the object benchmark's.

KITTI's images are rectified: all cameras look along the first one's rectified axes, and camera i sees a point x of its
frame at P_i x, P_i = K_i [1 | t_i] (Geiger et al. 2013, Vision meets Robotics: The KITTI Dataset, section IV,
https://www.cvlibs.net/publications/Geiger2013IJRR.pdf).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crosspoint.scene.data.calibration import rigid
from crosspoint.scene.datasets.readers import read_lines

TRACKING = {"R_rect": "R0_rect", "Tr_velo_cam": "Tr_velo_to_cam", "Tr_imu_velo": "Tr_imu_to_velo"}


class KittiCalibration:
    """The numbers of one file.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = {}
        for line in read_lines(path, "a calibration: lines of a key, a colon and numbers"):
            key, colon, numbers = line.partition(":")
            if not colon:
                key, _, numbers = line.partition(" ")
            key = key.strip()
            self._lines[TRACKING.get(key, key)] = numbers

    def matrix(self, key: str, shape: tuple[int, ...]) -> np.ndarray:
        """The numbers of a key, float64 of a shape.

        Raises:
            ValueError: if the key is missing or its numbers are not as many or not finite.
        """
        if key not in self._lines:
            there = ", ".join(self._lines)
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
