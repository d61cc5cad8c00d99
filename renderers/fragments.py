"""Fragments, which a renderer knows before any color: the face that a pixel sees, the place on it, its distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from crosspoint.renderers.cameras import Cameras


@dataclass(frozen=True, eq=False)
class Fragments:
    """The surface behind every pixel center of V views of one mesh.

    `barycentric[v, y, x]` are the weights of the three corners of `face[v, y, x]`, in the order of the mesh's own
    `faces` row, so `(weights[:, None] * mesh.triangles[face]).sum(0)` is the 3D point the pixel sees.
    """

    face: Tensor  # (V, H, W) int32, -1 where the pixel sees the background
    barycentric: Tensor  # (V, H, W, 3) float32, 0 in the background
    depth: Tensor  # (V, H, W) float32, z in the camera's frame, inf in the background

    @property
    def mask(self) -> Tensor:
        """Silhouette (V, H, W) bool."""
        return self.face >= 0


class Tracer(Protocol):
    """A backend that holds one mesh."""

    def __call__(self, cameras: Cameras) -> Fragments:
        """Fragments of all pixel centers."""
        ...

    def at(self, camera: Cameras, rows: Tensor, columns: Tensor) -> Fragments:
        """Fragments of some pixels of one camera, of shape (1, P, S) for rows and columns (P, S) int64."""
        ...
