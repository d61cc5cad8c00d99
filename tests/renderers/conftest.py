from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from torch import Tensor
from trimesh.visual.texture import TextureVisuals

from crosspoint.renderers import Cameras, Fragments, normalize

OBJECTS40 = Path(__file__).parents[3] / "shared" / "data" / "objects40"


class BruteForce:
    """The reference tracer: every ray against every face in float64 (Möller and Trumbore 1997)."""

    def __init__(self, mesh: trimesh.Trimesh):
        self.corners = np.asarray(mesh.vertices, dtype=np.float64)[mesh.faces]

    def __call__(self, cameras: Cameras) -> Fragments:
        height, width = cameras.size
        rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
        parts = [
            self.at(cameras[view], torch.from_numpy(rows), torch.from_numpy(columns)) for view in range(len(cameras))
        ]
        return Fragments(*(torch.cat([getattr(p, name) for p in parts]) for name in ("face", "barycentric", "depth")))

    def at(self, camera: Cameras, rows: Tensor, columns: Tensor) -> Fragments:
        K, R, eye = camera.K[0].numpy(), camera.R[0].numpy(), camera.centers[0].numpy()
        pixels = np.stack([columns.numpy().ravel() + 0.5, rows.numpy().ravel() + 0.5, np.ones(rows.numel())], axis=1)
        directions = pixels @ np.linalg.inv(K).T @ R
        face, weights, depth = zip(*(self._hit(eye, direction) for direction in directions), strict=True)
        return Fragments(
            torch.tensor(face, dtype=torch.int32).reshape(1, *rows.shape),
            torch.tensor(np.array(weights), dtype=torch.float32).reshape(1, *rows.shape, 3),
            torch.tensor(depth, dtype=torch.float32).reshape(1, *rows.shape),
        )

    def _hit(self, eye: np.ndarray, direction: np.ndarray) -> tuple[int, np.ndarray, float]:
        a, b, c = self.corners[:, 0], self.corners[:, 1], self.corners[:, 2]
        p = np.cross(direction, c - a)
        determinant = ((b - a) * p).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = ((eye - a) * p).sum(axis=1) / determinant
            q = np.cross(eye - a, b - a)
            v = (q @ direction) / determinant
            t = ((c - a) * q).sum(axis=1) / determinant
            inside = (np.abs(determinant) > 1e-14) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
        if not inside.any():
            return -1, np.zeros(3), np.inf
        nearest = int(np.where(inside, t, np.inf).argmin())
        return nearest, np.array([1 - u[nearest] - v[nearest], u[nearest], v[nearest]]), float(t[nearest])


def textured_box() -> trimesh.Trimesh:
    """A box, each face of which shows the whole of one texture: 16×16 random colors."""
    box = trimesh.creation.box(extents=(1.0, 0.8, 1.2))
    vertices, faces = box.vertices[box.faces.reshape(-1)], np.arange(len(box.faces) * 3).reshape(-1, 3)
    uv = np.tile([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], (len(box.faces), 1))
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    return trimesh.Trimesh(vertices, faces, visual=TextureVisuals(uv=uv, image=Image.fromarray(pixels)), process=False)


def open_fan() -> trimesh.Trimesh:
    """Half a sphere without lid, seen from both sides."""
    ball = trimesh.creation.icosphere(2, radius=0.9)
    return trimesh.Trimesh(ball.vertices, ball.faces[ball.triangles_center[:, 1] < 0.1], process=False)


def non_manifold() -> trimesh.Trimesh:
    """Three sheets that share one edge, wound this way and that, and a box that pierces them."""
    vertices = [[0, -0.7, 0], [0, 0.7, 0], [0.8, 0, 0.1], [-0.5, 0.1, 0.6], [-0.4, 0, -0.6]]
    sheets = trimesh.Trimesh(vertices, [[0, 1, 2], [1, 0, 3], [0, 1, 4]], process=False)
    joined = trimesh.util.concatenate([sheets, trimesh.creation.box(extents=(0.3, 0.9, 0.4))])
    assert isinstance(joined, trimesh.Trimesh)
    return joined


@pytest.fixture(scope="session")
def brute_force() -> type[BruteForce]:
    return BruteForce


@pytest.fixture(scope="session")
def meshes() -> dict[str, trimesh.Trimesh]:
    made = {
        "sphere": trimesh.creation.icosphere(3),
        "box": textured_box(),
        "open": open_fan(),
        "non-manifold": non_manifold(),
    }
    return {name: normalize(mesh) for name, mesh in made.items()}


@pytest.fixture(scope="session")
def objects40() -> Path:
    if not OBJECTS40.is_dir():
        pytest.skip(f"needs real meshes in {OBJECTS40}")
    return OBJECTS40
