from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from trimesh.visual.material import MultiMaterial, PBRMaterial
from trimesh.visual.texture import TextureVisuals

from crosspoint.renderers import load_mesh, normalize, sample_surface
from crosspoint.renderers.meshes import check, normalizing_transform

TETRAHEDRON = "4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"


@pytest.mark.parametrize("header", ["OFF\n", "OFF", "# made by hand\nOFF\n"])
def test_off_headers_of_modelnet_are_read(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.off").write_text(header + TETRAHEDRON)
    mesh = load_mesh(tmp_path / "a.off")
    assert mesh.vertices.shape == (4, 3) and mesh.faces.tolist()[3] == [1, 2, 3]


@pytest.mark.parametrize("ending", ["off", "obj", "ply", "stl", "glb"])
def test_formats_keep_the_surface(tmp_path: Path, ending: str) -> None:
    mesh = trimesh.creation.icosphere(2)
    mesh.export(tmp_path / f"ball.{ending}")
    loaded = load_mesh(tmp_path / f"ball.{ending}")
    np.testing.assert_allclose(np.sort(loaded.area_faces), np.sort(mesh.area_faces), rtol=1e-4)
    assert loaded.faces.shape == mesh.faces.shape


def test_a_scene_is_flattened_with_its_poses_and_materials(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    image = Image.fromarray(np.full((4, 4, 3), 200, dtype=np.uint8))
    for number, material in enumerate(
        [PBRMaterial(baseColorFactor=[255, 0, 0, 255]), PBRMaterial(baseColorTexture=image)]
    ):
        box = trimesh.creation.box()
        box.visual = TextureVisuals(uv=np.zeros((8, 2)), material=material)
        scene.add_geometry(box, transform=trimesh.transformations.translation_matrix([3.0 * number, 0, 0]))
    scene.export(tmp_path / "two.glb")
    mesh = load_mesh(tmp_path / "two.glb")
    assert isinstance(mesh.visual, TextureVisuals) and isinstance(mesh.visual.material, MultiMaterial)
    np.testing.assert_allclose(mesh.bounds, [[-0.5, -0.5, -0.5], [3.5, 0.5, 0.5]], atol=1e-6)
    surface = sample_surface(mesh, 400)
    assert surface.colors is not None
    red = surface.points[:, 0] < 1
    assert (surface.colors[red] == [255, 0, 0]).all() and (surface.colors[~red] == 200).all()


MODEL = """mtllib model.mtl
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 3 0 0
v 4 0 0
v 4 1 0
v 6 0 0
v 7 0 0
v 7 1 0
vt 0.25 0.25
vt 0.75 0.25
usemtl skin
f 1/1 2/1 3/1
f 1/2 3/2 4/2
usemtl paint
f 5 6 7
usemtl nothing
f 8 9 10
"""


def test_obj_files_keep_textures_beside_plain_materials(tmp_path: Path) -> None:
    (tmp_path / "model.obj").write_text(MODEL)
    (tmp_path / "model.mtl").write_text(
        "newmtl skin\nKd 0 0 0\nmap_Kd skin.png\nnewmtl paint\nKd 0 1 0\nnewmtl nothing\nNs 10\n"
    )
    Image.fromarray(np.array([[[10, 20, 30], [200, 0, 90]]] * 2, dtype=np.uint8)).save(tmp_path / "skin.png")
    mesh = load_mesh(tmp_path / "model.obj")
    assert len(mesh.faces) == 4
    surface = sample_surface(mesh, 500)
    assert surface.colors is not None
    of_face = {tuple(np.sort(mesh.triangles[f], axis=0).ravel()): surface.colors[surface.faces == f] for f in range(4)}
    by_place = [of_face[key] for key in sorted(of_face)]  # the two halves of the square, then to the right
    assert {tuple(colors[0]) for colors in by_place[:2]} == {(10, 20, 30), (200, 0, 90)}
    assert (by_place[2] == [0, 255, 0]).all()
    assert (by_place[3][:, 0] == by_place[3][:, 1]).all()  # gray


def test_an_obj_whose_materials_are_missing_is_a_plain_mesh(tmp_path: Path) -> None:
    (tmp_path / "model.obj").write_text(MODEL)
    with pytest.warns(UserWarning, match=r"found no model\.mtl"):
        mesh = load_mesh(tmp_path / "model.obj")
    assert sample_surface(mesh, 10).colors is None


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        ([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [], "no triangle"),
        ([[0, 0, 0], [1, 0, 0], [0, np.nan, 0]], [[0, 1, 2]], "NaN or infinite"),
        ([[0, 0, 0], [1, 0, 0], [0, np.inf, 0]], [[0, 1, 2]], "NaN or infinite"),
        ([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]], "zero surface area"),
        ([[1, 1, 1], [1, 1, 1], [1, 1, 1]], [[0, 1, 2]], "zero surface area"),
        ([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 7]], "missing vertices"),
    ],
)
def test_unusable_meshes_are_refused_with_the_reason(vertices: list, faces: list, message: str) -> None:
    mesh = trimesh.Trimesh(np.array(vertices, dtype=float), np.array(faces).reshape(-1, 3), process=False)
    with pytest.raises(ValueError, match=message):
        check(mesh)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_small_and_large_units_are_meshes_too(scale: float) -> None:
    mesh = trimesh.creation.icosphere(1)
    mesh.apply_scale(scale)
    check(mesh)
    assert np.linalg.norm(normalize(mesh).vertices, axis=1).max() == pytest.approx(1.0)


def test_files_without_a_mesh_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"found no file .*expected a mesh"):
        load_mesh(tmp_path / "missing.off")
    (tmp_path / "points.obj").write_text("v 0 0 0\nv 1 0 0\n")
    with pytest.raises(ValueError, match="no triangle"):
        load_mesh(tmp_path / "points.obj")


@pytest.mark.parametrize(("axis", "up"), [("x", [1, 0, 0]), ("y", [0, 1, 0]), ("z", [0, 0, 1])])
def test_normalize_turns_up_to_y_without_mirroring(axis: str, up: list[int]) -> None:
    mesh = trimesh.creation.icosphere(1, radius=0.1)
    mesh.apply_translation([7.0, -3.0, 2.0])
    tip = np.array([7.0, -3.0, 2.0]) + 5 * np.array(up)
    mesh = trimesh.Trimesh(np.vstack([mesh.vertices, tip]), np.vstack([mesh.faces, [[0, 1, 42]]]), process=False)
    moved = normalize(mesh, axis)  # type: ignore[arg-type]
    assert moved.vertices[42].argmax() == 1
    np.testing.assert_allclose(moved.bounds.sum(axis=0), 0, atol=1e-12)
    assert np.linalg.norm(moved.vertices, axis=1).max() == pytest.approx(1.0)
    transform = normalizing_transform(mesh, axis)  # type: ignore[arg-type]
    np.testing.assert_allclose(trimesh.transform_points(mesh.vertices, transform), moved.vertices, atol=1e-12)
    assert np.linalg.det(transform) > 0


def test_vertices_that_no_face_uses_do_not_move_the_frame() -> None:
    ball = trimesh.creation.icosphere(1)
    stray = trimesh.Trimesh(np.vstack([ball.vertices, [[50, 50, np.nan]]]), ball.faces, process=False)
    np.testing.assert_allclose(normalize(stray).vertices[:-1], normalize(ball).vertices)


def test_an_unknown_axis_is_refused() -> None:
    with pytest.raises(ValueError, match="up axis 'w'"):
        normalize(trimesh.creation.box(), "w")  # type: ignore[arg-type]


def test_samples_lie_on_their_faces_and_follow_area() -> None:
    mesh = trimesh.creation.cone(0.5, 1.5)
    surface = sample_surface(mesh, 20_000, seed=2)
    triangles = mesh.triangles[surface.faces]
    weights = trimesh.triangles.points_to_barycentric(triangles, surface.points.astype(float))
    assert weights.min() > -1e-5
    np.testing.assert_allclose(trimesh.triangles.barycentric_to_points(triangles, weights), surface.points, atol=1e-6)
    np.testing.assert_allclose(surface.normals, mesh.face_normals[surface.faces], atol=1e-5)
    expected = mesh.area_faces / mesh.area
    observed = np.bincount(surface.faces, minlength=len(mesh.faces)) / 20_000
    assert np.abs(observed - expected).max() < 5 * np.sqrt(expected.max() / 20_000)  # five standard deviations
    # The mean over a triangle of its barycentric weights is 1/3 each, their second moment 1/6.
    np.testing.assert_allclose(weights.mean(axis=0), 1 / 3, atol=0.01)
    np.testing.assert_allclose((weights**2).mean(axis=0), 1 / 6, atol=0.01)


def test_samples_follow_the_seed() -> None:
    mesh = trimesh.creation.box()
    assert np.array_equal(sample_surface(mesh, 50, 4).points, sample_surface(mesh, 50, 4).points)
    assert not np.array_equal(sample_surface(mesh, 50, 4).points, sample_surface(mesh, 50, 5).points)
    with pytest.raises(ValueError, match="0 points"):
        sample_surface(mesh, 0)


def test_degenerate_faces_are_never_sampled() -> None:
    vertices = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0]]
    mesh = trimesh.Trimesh(vertices, [[0, 1, 3], [0, 1, 2], [1, 1, 2]], process=False)
    surface = sample_surface(mesh, 1000)
    assert (surface.faces == 1).all() and np.isfinite(surface.normals).all() and surface.colors is None
