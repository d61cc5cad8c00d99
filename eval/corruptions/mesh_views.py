"""Two corruptions of ModelNet40-C that look at meshes: occlusion and lidar, by ray casting, without a display.

Sun et al., Benchmarking Robustness of 3D Point Cloud Recognition Against Common Corruptions, 2022,
https://arxiv.org/abs/2201.12296; constants follow its code, https://github.com/jiachens/ModelNet40-C
(data/occlusion.py, data/generate_c.py), which renders depth in a window of Open3D. There faces are seen from their
front alone; here they are seen from both sides, as the windings of ModelNet's meshes say nothing. A severity is a
sector of headings, not more or less of the corruption.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import trimesh
from numpy.random import Generator

from crosspoint.renderers.cameras import Cameras, look_at
from crosspoint.renderers.raycast import Raycast

POINTS = 1024  # that a camera sees
LIDAR_POINTS = 768
WINDOW = (720, 1080)  # pixels, H and W
FOCAL = 365.0  # pixels
ROW = np.deg2rad(1.0)  # between two rows of the lidar, of which the middle half of the points is kept
CHUNK = 4096  # rays that are cast at once, until there are enough points


class BoxedMesh:
    """A mesh in the frame of the benchmark: bounding box centered, its longest side 2, y up.

    Args:
        mesh: y up, of any size and place.
    """

    def __init__(self, mesh: trimesh.Trimesh) -> None:
        used = np.asarray(mesh.vertices)[np.unique(mesh.faces)]
        low, high = used.min(axis=0), used.max(axis=0)
        vertices = (np.asarray(mesh.vertices) - (low + high) / 2) * 2 / (high - low).max()
        self.mesh = trimesh.Trimesh(vertices, mesh.faces, process=False)
        self.used = torch.from_numpy(vertices[np.unique(mesh.faces)])
        self.tracer = Raycast(self.mesh)

    def seen(self, camera: Cameras, count: int, generator: Generator) -> np.ndarray:
        """Points (count, 3) of the surface at random pixels of a camera; with repeats only where it sees too few.

        Raises:
            ValueError: if it sees no face.
        """
        rows, columns = self._window(camera)
        pixels = generator.permutation(len(rows) * len(columns))
        found: list[np.ndarray] = []
        for start in range(0, len(pixels), CHUNK):
            row, column = np.divmod(pixels[start : start + CHUNK], len(columns))
            y, x = torch.from_numpy(rows[row]), torch.from_numpy(columns[column])
            depth = self.tracer.at(camera, y, x).depth[0]
            hit = depth.isfinite()
            centers = torch.stack([x, y], dim=1)[hit].double() + 0.5
            found.append(camera.unproject(centers[None], depth[hit][None])[0].numpy())
            if sum(map(len, found)) >= count:
                break
        points = np.concatenate([np.zeros((0, 3)), *found])
        if len(points) == 0:
            raise ValueError("found a mesh of which a camera sees no face, expected a surface: repair or remove it")
        return points[:count] if len(points) >= count else points[generator.choice(len(points), count)]

    def _window(self, camera: Cameras) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the pixels between which all vertices lie."""
        pixels = camera.project(self.used)[0][0].numpy()
        low = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 1, 0)
        high = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 1, WINDOW[::-1])
        return np.arange(low[1], high[1]), np.arange(low[0], high[0])


def occlusion(mesh: BoxedMesh, severity: int, generator: Generator) -> np.ndarray:
    """What one camera sees from 30° to 60° above, at a distance of 3, in the severity-th of five sectors of headings.

    Returns:
        (1024, 3), centered on their bounding box, whose longest side is 2.
    """
    elevation = generator.uniform(30.0, 60.0)
    points = mesh.seen(_camera(3.0, elevation, _heading(severity, generator)), POINTS, generator)
    low, high = points.min(axis=0), points.max(axis=0)
    return (points - (low + high) / 2) * 2 / max(float((high - low).max()), np.finfo(np.float64).tiny)


def lidar(mesh: BoxedMesh, severity: int, generator: Generator) -> np.ndarray:
    """What a lidar sees from 22.5° above, at a distance of 5, in rows of 1° of elevation; sectors as in occlusion.

    1,024 points are seen as by a camera. Those in the middle half of a row are moved to its middle, all others are
    lost, and 768 are drawn of what is left, with repeats.

    Returns:
        (768, 3) in the frame of the mesh.
    """
    camera = _camera(5.0, 22.5, _heading(severity, generator))
    eye = camera.centers[0].numpy()
    rays = mesh.seen(camera, POINTS, generator) - eye
    range_, level = np.linalg.norm(rays, axis=1), np.hypot(rays[:, 0], rays[:, 2])
    polar = np.arctan2(level, rays[:, 1])  # from above
    row, within = np.divmod(polar - polar.min(), ROW)
    kept = (within >= ROW / 4) & (within < 3 * ROW / 4)
    if not kept.any():  # all of it between two rows
        kept[:] = True
    middle = (row + 0.5) * ROW + polar.min()
    across = rays[:, [0, 2]] / level[:, None] * np.sin(middle)[:, None]
    snapped = eye + range_[:, None] * np.stack([across[:, 0], np.cos(middle), across[:, 1]], axis=1)
    return snapped[kept][generator.choice(int(kept.sum()), LIDAR_POINTS)]


MeshCorruption = Callable[[BoxedMesh, int, Generator], np.ndarray]


def _heading(severity: int, generator: Generator) -> float:
    """Degrees about y from +z, within ±36° of the sector's middle."""
    return float(generator.uniform(72.0 * severity - 36.0, 72.0 * severity + 36.0))


def _camera(distance: float, elevation: float, heading: float) -> Cameras:
    """One camera that looks at the origin."""
    up, about = np.deg2rad([elevation, heading])
    eye = distance * np.array([np.cos(up) * np.sin(about), np.sin(up), np.cos(up) * np.cos(about)])
    R, t = look_at(torch.from_numpy(eye)[None])
    K = torch.tensor([[FOCAL, 0, WINDOW[1] / 2], [0, FOCAL, WINDOW[0] / 2], [0, 0, 1]])
    return Cameras(K[None], R, t, WINDOW)
