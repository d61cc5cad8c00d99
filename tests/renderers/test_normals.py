from __future__ import annotations

import numpy as np
import trimesh

from crosspoint.renderers.normals import corner_normals


def test_a_fine_sphere_gets_its_own_normals_whichever_way_it_is_wound() -> None:
    ball = trimesh.creation.icosphere(4)
    corners = np.asarray(ball.vertices)[ball.faces]
    flipped = np.random.default_rng(0).random(len(corners)) < 0.5
    corners[flipped] = corners[flipped][:, ::-1]
    normals = corner_normals(corners)
    normals[flipped] *= -1  # along the winding of the own face
    np.testing.assert_allclose(normals, corners, atol=0.01)


def test_edges_of_a_box_stay_sharp_with_shared_and_with_split_vertices() -> None:
    box = trimesh.creation.box()
    for corners in (np.asarray(box.vertices)[box.faces], box.triangles + 1e-9):
        np.testing.assert_allclose(corner_normals(corners), np.repeat(box.face_normals[:, None], 3, axis=1), atol=1e-6)


def test_the_side_of_a_cylinder_is_smooth_up_to_its_sharp_rim() -> None:
    can = trimesh.creation.cylinder(radius=1.0, height=2.0, sections=64)
    corners = np.asarray(can.vertices)[can.faces]
    side = np.abs(can.face_normals[:, 2]) < 0.5
    radial = corners[side] * [1, 1, 0]
    np.testing.assert_allclose(corner_normals(corners)[side], radial, atol=0.03)
    np.testing.assert_allclose(np.abs(corner_normals(corners)[~side][..., 2]), 1.0, atol=1e-6)


def test_the_crease_decides_and_slivers_do_no_harm() -> None:
    roof = np.array([[[0, 0, 0], [1, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 1], [-1, -0.5, 0]]], dtype=float)  # 27° off
    smooth, sharp = corner_normals(roof, crease=30), corner_normals(roof, crease=20)
    np.testing.assert_allclose(smooth[0, 0], smooth[1, 0])
    assert np.abs(sharp[0, 0] - sharp[1, 0]).max() > 0.1
    sliver = np.array([[[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 0, 0], [1, 0, 0], [0, 1, 0]]], dtype=float)
    assert np.isfinite(corner_normals(sliver)).all()
    np.testing.assert_allclose(corner_normals(sliver)[1], [[0, 0, 1]] * 3)


def test_large_fans_keep_the_normals_of_their_faces() -> None:
    cone = trimesh.creation.cone(1.0, 0.2, sections=200)
    corners = np.asarray(cone.vertices)[cone.faces]
    tip = corners[..., 2] > 0.15
    own = np.repeat(cone.face_normals[:, None], 3, axis=1)
    np.testing.assert_allclose(corner_normals(corners)[tip], own[tip], atol=1e-6)
