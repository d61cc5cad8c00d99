"""Occlusion and lidar of ModelNet40-C: looks at a mesh without a display."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from crosspoint.eval.corruptions import SUITES, BoxedMesh, corrupt
from crosspoint.eval.corruptions.mesh_views import LIDAR_POINTS, POINTS, ROW, _camera, _heading, lidar, occlusion

EYE = {"occlusion": 3.0, "lidar": 5.0}


def ball(radius: float = 7.0) -> BoxedMesh:
    """A sphere anywhere, whose box has sides of 2 in the benchmark's frame."""
    mesh = trimesh.creation.icosphere(5, radius)
    mesh.vertices += [3.0, -2.0, 40.0]
    return BoxedMesh(mesh)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_camera_sees_the_near_cap_of_a_sphere() -> None:
    mesh, camera = ball(), _camera(3.0, 45.0, 100.0)
    points = mesh.seen(camera, 2000, generator())
    eye = camera.centers[0].numpy()
    assert np.allclose(
        eye, 3 * np.array([np.sin(np.deg2rad(100)), 1, np.cos(np.deg2rad(100))]) * [2**-0.5, 2**-0.5, 2**-0.5]
    )
    assert np.allclose(np.linalg.norm(points, axis=1), 1, atol=2e-3)
    cosine = points @ eye / 3  # the cap that a point at distance d sees ends where cos α = 1 / d
    assert cosine.min() > 1 / 3 - 0.02 and cosine.min() < 1 / 3 + 0.05
    assert len(np.unique(points, axis=0)) == 2000  # no pixel twice while there are enough
    # Pixels are even in the image, not on the surface: each sees the ray to it, and all project to pixel centers.
    pixels = camera.project(torch.from_numpy(points))[0][0].numpy()
    assert np.allclose(pixels % 1, 0.5, atol=1e-3)


@pytest.mark.parametrize("severity", range(1, 6))
def test_occlusion_hides_what_faces_away(severity: int) -> None:
    points = occlusion(ball(), severity, generator(severity))
    assert points.shape == (POINTS, 3)
    low, high = points.min(axis=0), points.max(axis=0)
    assert np.allclose(low + high, 0, atol=1e-9) and np.isclose((high - low).max(), 2)
    same = occlusion(ball(), severity, generator(severity))
    assert np.array_equal(points, same) and not np.array_equal(points, occlusion(ball(), severity, generator(9)))


def test_occlusion_looks_from_above_in_the_sector_of_its_severity() -> None:
    headings = np.array([[_heading(severity, generator(seed)) for seed in range(40)] for severity in range(1, 6)])
    assert np.allclose(headings.mean(axis=1), [72, 144, 216, 288, 360], atol=12)
    assert (abs(headings - 72 * np.arange(1, 6)[:, None]) <= 36).all()
    # Of a box only the top and sides toward the camera are seen, never the bottom.
    box = BoxedMesh(trimesh.creation.box((2, 2, 2)))
    for severity in range(1, 6):
        points = occlusion(box, severity, generator(severity))
        assert (points[:, 1] > points[:, 1].min() + 1e-6).mean() > 0.9
        top = np.isclose(points[:, 1], points[:, 1].max(), atol=1e-6)
        assert 0.2 < top.mean() < 0.9


def test_lidar_snaps_points_to_rows_of_one_degree() -> None:
    for severity in (1, 4):
        points = lidar(ball(), severity, generator(severity))
        assert points.shape == (LIDAR_POINTS, 3)
        random = generator(severity)
        eye = _camera(5.0, 22.5, _heading(severity, random)).centers[0].numpy()
        rays = points - eye
        polar = np.arccos(rays[:, 1] / np.linalg.norm(rays, axis=1))
        rows = (polar - polar.min()) / ROW
        assert np.allclose(rows, rows.round(), atol=1e-6) and 15 < len(np.unique(rows.round())) < 25
        # Ranges and azimuths are those of the surface; a quarter of a degree at a range of 5 moves a point by 0.022.
        assert np.allclose(np.linalg.norm(points, axis=1), 1, atol=0.13)
        # The same points as the camera's, in the middle half of a row.
        seen = ball().seen(_camera(5.0, 22.5, _heading(severity, random := generator(severity))), POINTS, random)
        ranges = np.linalg.norm(seen - eye, axis=1)
        assert np.isin(np.linalg.norm(rays, axis=1).round(6), ranges.round(6)).all()
        assert 0.3 < len(np.unique(points, axis=0)) / POINTS < 0.6


def test_a_corrupted_cloud_lies_where_the_clean_one_does() -> None:
    clean = trimesh.creation.icosphere(4, 1.0).vertices.view(np.ndarray) * 0.25 + [5.0, 1.0, -3.0]
    for name in SUITES["modelnet40_c"].of_meshes:
        found = corrupt(clean, "modelnet40_c", name, 2, generator(), ball())
        assert found.dtype == np.float32
        assert np.allclose(found.mean(axis=0), [5.0, 1.0, -3.0], atol=0.25)
        assert (np.abs(found - [5.0, 1.0, -3.0]).max(axis=0) < 0.26).all()


def test_what_is_missing_is_named() -> None:
    with pytest.raises(
        ValueError, match="found a cloud alone for lidar, expected its mesh, too: lidar looks at the mesh"
    ):
        corrupt(np.zeros((1024, 3)), "modelnet40_c", "lidar", 1, generator())
    with pytest.raises(ValueError, match="found severity 6, expected 1 to 5"):
        corrupt(np.zeros((1024, 3)), "modelnet40_c", "occlusion", 6, generator(), ball())
    empty = BoxedMesh(
        trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]], process=False)
    )
    with pytest.raises(ValueError, match="found a mesh of which a camera sees no face"):
        occlusion(empty, 1, generator())
