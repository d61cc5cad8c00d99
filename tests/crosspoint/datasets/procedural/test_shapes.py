import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from crosspoint.datasets.procedural.shapes import (
    FAMILIES,
    PART_NAMES,
    make_shape,
    shape_seed,
    shapes_clouds,
    write_shapes,
)
from crosspoint.renderers.meshes import load_mesh


def digest(family: str, seed: int) -> str:
    shape = make_shape(family, seed)
    parts = (shape.mesh.vertices, shape.mesh.faces, shape.parts, shape.mesh.visual.vertex_colors)
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_shape_is_sound(family: str) -> None:
    used: set[int] = set()
    outlines, materials = set(), set()
    for seed in range(40):
        shape = make_shape(family, seed)
        mesh = shape.mesh
        assert np.isfinite(mesh.vertices).all()
        assert (mesh.area_faces > 0).all()
        assert mesh.vertices[:, 1].min() == pytest.approx(0, abs=1e-9)
        np.testing.assert_allclose(mesh.bounds[:, [0, 2]].sum(axis=0), 0, atol=1e-9)
        assert 0.02 < mesh.extents.max() < 50
        assert shape.parts.shape == (len(mesh.faces),) and shape.parts.dtype == np.int64
        materials.add(tuple(mesh.visual.vertex_colors[0]))
        used |= set(np.unique(shape.parts).tolist())
        outlines.add(tuple((mesh.extents / mesh.extents.max()).round(2)))
    assert used == set(range(len(shape.part_names)))  # no name without a face
    assert len(materials) > 5
    assert len(outlines) > 30  # proportions differ from one object to the next


@pytest.mark.parametrize("family", FAMILIES)
def test_every_solid_of_a_shape_is_closed_and_outward(family: str) -> None:
    for seed in range(3):
        whole = make_shape(family, seed).mesh
        merged = trimesh.Trimesh(whole.vertices, whole.faces, process=False)
        for piece in merged.split(only_watertight=False, repair=False):
            piece.merge_vertices()
            piece.update_faces(piece.nondegenerate_faces())
            assert piece.is_watertight
            assert piece.volume > 0


def test_more_than_sixteen_families_of_differing_topology() -> None:
    assert len(FAMILIES) >= 16
    assert len(set(PART_NAMES)) == len(PART_NAMES)
    for family in FAMILIES:
        assert len({len(make_shape(family, seed).parts) for seed in range(20)}) >= 4


def test_same_shape_in_another_process() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import importlib.util as u;"
        "s = u.spec_from_file_location('t', sys.argv[2]); m = u.module_from_spec(s); s.loader.exec_module(m);"
        "print(*[m.digest(f, 7) for f in m.FAMILIES])"
    )
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", code, str(root), __file__], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.split() == [digest(family, 7) for family in FAMILIES]


def test_other_seeds_give_other_shapes() -> None:
    for family in FAMILIES:
        assert len({digest(family, seed) for seed in range(10)}) == 10


def test_seeds_of_splits_are_disjoint() -> None:
    seeds = [shape_seed(seed, split, i) for seed in (0, 1, 2) for split in ("train", "test") for i in range(500)]
    assert len(set(seeds)) == len(seeds)


def test_written_tree_reads_back(tmp_path: Path) -> None:
    assert write_shapes(tmp_path, train=2, test=1, seed=3) == 3 * len(FAMILIES)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.ply"))
    numbers = (("test", 3), ("train", 1), ("train", 2))
    assert files == sorted(f"{family}/{split}/{family}_{n:04d}.ply" for family in FAMILIES for split, n in numbers)
    for family in FAMILIES:
        expected = make_shape(family, shape_seed(3, "test", 0)).mesh
        read = load_mesh(tmp_path / family / "test" / f"{family}_0003.ply")
        np.testing.assert_allclose(read.vertices, expected.vertices, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(read.faces, expected.faces)
        np.testing.assert_array_equal(read.visual.vertex_colors, expected.visual.vertex_colors)


def test_stopped_writing_goes_on(tmp_path: Path) -> None:
    write_shapes(tmp_path, train=1, test=1)
    gone = tmp_path / "mug" / "train" / "mug_0001.ply"
    before = gone.read_bytes()
    gone.unlink()
    assert write_shapes(tmp_path, train=1, test=1) == 1
    assert gone.read_bytes() == before
    with pytest.raises(ValueError, match=r"found shapes made with .*give a new folder"):
        write_shapes(tmp_path, train=1, test=1, seed=1)


def test_cloud_lies_on_its_mesh_and_knows_its_parts() -> None:
    clouds = shapes_clouds("train", 1, 200, seed=5, yaw=0.0, families=("chair", "airplane"))
    for label, family in enumerate(clouds.classes):
        shape = make_shape(family, shape_seed(5, "train", 0))
        center = shape.mesh.bounds.mean(axis=0)
        radius = np.linalg.norm(shape.mesh.vertices - center, axis=1).max()
        points = clouds.points[label].astype(np.float64) * radius + center
        corners = shape.mesh.triangles
        triangles, cloud = np.tile(corners, (len(points), 1, 1)), np.repeat(points, len(corners), axis=0)
        nearest = trimesh.triangles.closest_point(triangles, cloud)
        distance = np.linalg.norm(nearest - cloud, axis=1).reshape(len(points), len(corners))
        named = np.array([PART_NAMES.index(f"{family}/{name}") for name in shape.part_names])[shape.parts]
        assert clouds.parts is not None
        for row, part in zip(distance, clouds.parts[label], strict=True):
            assert row[named == part].min() < 1e-5 * radius


def test_yaw_turns_about_the_vertical_only() -> None:
    still, turned = (shapes_clouds("test", 1, 64, seed=2, yaw=yaw) for yaw in (0.0, 180.0))
    np.testing.assert_array_equal(still.points[..., 1], turned.points[..., 1])
    of_still, of_turned = (np.hypot(clouds.points[..., 0], clouds.points[..., 2]) for clouds in (still, turned))
    np.testing.assert_allclose(of_still, of_turned, atol=1e-6)
    assert (np.abs(still.points[..., 0] - turned.points[..., 0]).max(axis=1) > 0.01).sum() > len(FAMILIES) // 2
    np.testing.assert_array_equal(still.parts, turned.parts)


def test_clouds_are_labeled_and_repeatable() -> None:
    first, again = (shapes_clouds("train", 2, 32) for _ in range(2))
    np.testing.assert_array_equal(first.points, again.points)
    np.testing.assert_array_equal(first.labels, np.repeat(np.arange(len(FAMILIES)), 2))
    assert first.part_names == list(PART_NAMES)
    assert first.parts is not None
    for label, parts in zip(first.labels, first.parts, strict=True):
        assert {PART_NAMES[part].split("/")[0] for part in parts} == {FAMILIES[label]}
    assert np.linalg.norm(first.points, axis=2).max() <= 1 + 1e-5


def test_bad_requests_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found the family 'teapot', expected one of: chair"):
        make_shape("teapot", 0)
    with pytest.raises(ValueError, match="found the seed -1"):
        make_shape("chair", -1)
    with pytest.raises(ValueError, match="found the split 'val'"):
        shapes_clouds("val", 1)
    with pytest.raises(ValueError, match="0 shapes a class"):
        shapes_clouds("train", 0)
    with pytest.raises(ValueError, match="teapot"):
        shapes_clouds("train", 1, families=("teapot",))
    with pytest.raises(ValueError, match="0 train and 0 test"):
        write_shapes(tmp_path, 0, 0)
    assert not list(tmp_path.iterdir())
