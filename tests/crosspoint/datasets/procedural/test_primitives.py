import numpy as np
import pytest
import trimesh

from crosspoint.datasets.procedural.primitives import (
    Solid,
    box,
    ellipsoid,
    frustum,
    hull,
    lathe,
    prism,
    rod,
    tube,
    vessel,
    wing,
)


def closed(solid: Solid) -> trimesh.Trimesh:
    """The solid with coincident vertices merged: only then can trimesh see that it is closed."""
    mesh = trimesh.Trimesh(solid.vertices, solid.faces, process=True)
    mesh.update_faces(mesh.nondegenerate_faces())
    assert mesh.is_watertight and mesh.is_winding_consistent
    return mesh


@pytest.mark.parametrize(
    ("solid", "volume", "tolerance"),
    [
        (box(2, 3, 4), 24, 1e-9),
        (box(2, 3, 4, top=0.0), 8, 1e-9),  # a pyramid
        (frustum(1, 1, 2, 64), 2 * np.pi, 0.01),
        (frustum(1, 0, 3, 64), np.pi, 0.01),
        (ellipsoid(2, 4, 6, sides=48), 8 * np.pi, 0.02),
        (ellipsoid(2, 2, 2, roundness=0.02, sides=24), 8, 0.15),  # nearly a cube
        (prism([(0, 0), (2, 0), (0, 2)], 3), 6, 1e-9),
        (rod((0, 0, 0), (3, 4, 0), 0.5).scaled(z=2), 5 * 2 * 8 / 2 * np.sin(np.pi / 4) * 0.25, 1e-9),  # octagonal
        (hull([(0, 1, 0, 2), (3, 1, 0, 2)], sides=64), 3 * np.pi, 0.01),
    ],
)
def test_volume_is_the_closed_form(solid: Solid, volume: float, tolerance: float) -> None:
    assert closed(solid).volume == pytest.approx(volume, rel=tolerance)


def test_ring_is_a_torus() -> None:
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    curve = np.stack([2 * np.cos(angle), 0 * angle, 2 * np.sin(angle)], 1)
    mesh = closed(tube(curve, 0.5, sides=64, loop=True))
    assert mesh.volume == pytest.approx(2 * np.pi**2 * 2 * 0.25, rel=0.01)
    assert mesh.euler_number == 0


def test_vessel_is_hollow() -> None:
    outer, wall = [(1.0, 0.0), (1.0, 2.0)], 0.1
    volume = np.pi * (2.0 - 0.9**2 * 1.9)
    assert closed(vessel(outer, wall, sides=96)).volume == pytest.approx(volume, rel=0.01)


def test_wing_is_closed_and_outward() -> None:
    mesh = closed(wing(2, 1, 5, sweep=1, rise=0.5))
    assert mesh.volume > 0
    np.testing.assert_allclose(mesh.bounds[:, 0], [0, 5])


def test_moves_are_those_of_trimesh() -> None:
    solid = lathe([(1, 0), (0.5, 1), (0.8, 2)])
    for axis, direction in zip("xyz", np.eye(3), strict=True):
        matrix = trimesh.transformations.rotation_matrix(np.deg2rad(37), direction)
        expected = trimesh.transform_points(solid.vertices, matrix) + np.array([1, 2, 3])
        np.testing.assert_allclose(solid.turned(axis, 37).at(1, 2, 3).vertices, expected, atol=1e-12)


def test_mirror_image_keeps_its_faces_outward() -> None:
    solid = wing(2, 1, 5)
    mirrored = closed(solid.scaled(x=-1))
    assert mirrored.volume == pytest.approx(closed(solid).volume)


def test_tube_keeps_its_radius_round_a_bend() -> None:
    t = np.linspace(0, 1, 40)
    curve = np.stack([np.cos(3 * t), np.sin(3 * t), 0.4 * t], 1)
    rings = tube(curve, 0.1).vertices[: 40 * 8].reshape(40, 8, 3)
    np.testing.assert_allclose(np.linalg.norm(rings - curve[:, None], axis=2), 0.1, rtol=1e-9)
    np.testing.assert_allclose(rings.mean(axis=1), curve, atol=1e-9)
