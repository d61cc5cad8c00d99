"""Corruptions of clouds and LiDAR frames: pure functions of a cloud, a severity and a generator.

Those of `SUITES` map points (N, 3) to points (N', 3), those of `ROBO3D` a frame to a frame; the input stays as it is.
"""

from crosspoint.eval.corruptions.robo3d import ROBO3D, corrupt_frame
from crosspoint.eval.corruptions.suites import SUITES, Corruption, Suite, corrupt

__all__ = ["ROBO3D", "SUITES", "Corruption", "Suite", "corrupt", "corrupt_frame"]
