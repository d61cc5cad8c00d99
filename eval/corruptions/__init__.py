"""Corruptions of clouds and LiDAR frames: pure functions of a cloud, a severity and a generator.

Those of `SUITES` map points (N, 3) to points (N', 3), two of them by a look at the mesh; those of `ROBO3D` map a frame
to a frame. The input stays as it is.
"""

from crosspoint.eval.corruptions.mesh_views import BoxedMesh
from crosspoint.eval.corruptions.robo3d import ROBO3D, corrupt_frame
from crosspoint.eval.corruptions.suites import SUITES, Corruption, Suite, corrupt

__all__ = ["ROBO3D", "SUITES", "BoxedMesh", "Corruption", "Suite", "corrupt", "corrupt_frame"]
