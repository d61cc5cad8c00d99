"""Fragments by ray casting on the CPU: Embree (Wald et al. 2014, https://www.embree.org) through embreex."""

from __future__ import annotations

import numpy as np
import torch
import trimesh
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from torch import Tensor

from crosspoint.renderers.cameras import Cameras
from crosspoint.renderers.fragments import Fragments


class Raycast:
    """A `Tracer`: one ray through every pixel center, faces seen from both sides.

    The hierarchy over the faces is built once. Views are cast one at a time, so that their rays stay in the cache,
    and only in the rectangle that the projected vertices span.
    """

    def __init__(self, mesh: trimesh.Trimesh):
        self.vertices = torch.from_numpy(np.asarray(mesh.vertices)[np.unique(mesh.faces)])
        self.scene = EmbreeScene(robust=True)  # robust: no ray slips through between two faces
        triangles = np.asarray(mesh.faces, dtype=np.int32)
        self.geometry = TriangleMesh(self.scene, np.asarray(mesh.vertices, dtype=np.float32), triangles)

    def __call__(self, cameras: Cameras) -> Fragments:
        """Cast one ray through every pixel center."""
        shape = (len(cameras), *cameras.size)
        face = np.full(shape, -1, dtype=np.int32)
        barycentric = np.zeros((*shape, 3), dtype=np.float32)
        depth = np.full(shape, np.inf, dtype=np.float32)
        for view, (rows, columns) in enumerate(_spans(cameras, self.vertices)):
            x = np.arange(columns.start, columns.stop)[None, :, None] + 0.5
            y = np.arange(rows.start, rows.stop)[:, None, None] + 0.5
            found, *hits = self._cast(cameras[view], x, y)
            row, column = np.divmod(found, max(columns.stop - columns.start, 1))
            at = (row + rows.start) * cameras.size[1] + column + columns.start
            face[view].reshape(-1)[at], barycentric[view].reshape(-1, 3)[at], depth[view].reshape(-1)[at] = hits
        return Fragments(torch.from_numpy(face), torch.from_numpy(barycentric), torch.from_numpy(depth))

    def at(self, camera: Cameras, rows: Tensor, columns: Tensor) -> Fragments:
        """Cast the rays of some pixels of one camera."""
        count = rows.numel()
        face = np.full(count, -1, dtype=np.int32)
        barycentric = np.zeros((count, 3), dtype=np.float32)
        depth = np.full(count, np.inf, dtype=np.float32)
        x, y = (index.reshape(-1, 1).numpy() + 0.5 for index in (columns, rows))
        found, *hits = self._cast(camera, x, y)
        face[found], barycentric[found], depth[found] = hits
        shape = (1, *rows.shape)
        return Fragments(
            torch.from_numpy(face.reshape(shape)),
            torch.from_numpy(barycentric.reshape(*shape, 3)),
            torch.from_numpy(depth.reshape(shape)),
        )

    def _cast(self, camera: Cameras, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
        """Cast rays through image points x, y that broadcast to (…, 1); returns which hit, and face, weights, depth."""
        # Directions with z_cam = 1, so that the distance Embree reports is the depth.
        to_world = (camera.R[0].T @ torch.linalg.inv(camera.K[0])).numpy()
        across = (x * to_world[:, 0]).astype(np.float32)
        down = (y * to_world[:, 1] + to_world[:, 2]).astype(np.float32)
        directions = (down + across).reshape(-1, 3)
        origins = np.empty_like(directions)
        origins[:] = camera.centers[0].numpy()
        hits = self.scene.run(origins, directions, output=1)
        found = (hits["primID"] >= 0).nonzero()[0]
        u, v = hits["u"][found], hits["v"][found]
        return found, hits["primID"][found], np.stack([1.0 - u - v, u, v], axis=1), hits["tfar"][found]


def _spans(cameras: Cameras, vertices: Tensor) -> list[tuple[slice, slice]]:
    """Rows and columns, for each view, outside of which no ray can hit: the bounding rectangle of the projection."""
    height, width = cameras.size
    pixels, depth = cameras.project(vertices)
    spans = []
    for view in range(len(cameras)):
        if bool((depth[view] <= 0).any()):  # partly behind the camera: the projection bounds nothing
            spans.append((slice(0, height), slice(0, width)))
            continue
        low, high = pixels[view].min(dim=0).values, pixels[view].max(dim=0).values
        x0, y0 = (int(c) for c in (low.floor() - 1).clamp(min=0))
        x1, y1 = (int(c) for c in high.ceil() + 1)
        spans.append((slice(min(y0, height), max(0, min(y1, height))), slice(min(x0, width), max(0, min(x1, width)))))
    return spans
