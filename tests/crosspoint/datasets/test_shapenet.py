import pickle
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from crosspoint.datasets.shapenet import ShapeNetPairs, read_image

MODELS = ("02691156/aaa", "02691156/bbb", "03001627/ccc", "99999999/ddd")


def color(model: int, view: int) -> tuple[int, int, int]:
    return 10 * model, 20 * view, 200


def write_model(root: Path, number: int, points: int = 32, views: int = 3, size: int = 8) -> np.ndarray:
    name = MODELS[number]
    cloud = np.random.default_rng(number).normal(size=(points, 3)).astype(np.float32)
    path = root / "ShapeNet" / f"{name}.ply"
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.PointCloud(cloud).export(path)
    folder = root / "ShapeNetRendering" / name / "rendering"
    folder.mkdir(parents=True)
    (folder / "rendering_metadata.txt").write_text("0 0 0 0 25\n")
    for view in range(views):
        Image.new("RGBA", (size, size), (*color(number, view), 255)).save(folder / f"{view:02d}.png")
    return cloud


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for number in range(len(MODELS)):
        write_model(root, number)
    return root


def test_each_cloud_comes_with_its_own_images(tree: Path) -> None:
    pairs = ShapeNetPairs(tree, views=2, image_size=None)
    assert len(pairs) == 4
    assert pairs.classes == ["airplane", "chair", "99999999"]
    np.testing.assert_array_equal(pairs.labels, [0, 0, 1, 2])
    for index in range(4):
        pair = pairs[index, 5]
        cloud = np.random.default_rng(index).normal(size=(32, 3)).astype(np.float32)
        np.testing.assert_array_equal(pair.points.numpy(), cloud)
        np.testing.assert_array_equal(pairs.read_points(index), cloud)
        assert pair.images.shape == (2, 3, 8, 8)
        shown = {tuple(image[:, 4, 4].tolist()) for image in pair.images}
        assert len(shown) == 2 and shown <= {color(index, view) for view in range(3)}
        assert pair.label == pairs.labels[index]


def test_seed_decides_the_views(tree: Path) -> None:
    pairs = ShapeNetPairs(tree, views=1)
    views = [pairs[1, seed].images[0, 1, 0, 0].item() for seed in range(60)]
    assert views == [pairs[1, seed].images[0, 1, 0, 0].item() for seed in range(60)]
    counts = [views.count(20 * view) for view in range(3)]
    assert sum(counts) == 60 and min(counts) > 8  # each of the three is drawn


def test_images_are_resized_and_clouds_cut(tree: Path) -> None:
    pairs = ShapeNetPairs(tree, image_size=20, points=10)
    pair = pairs[2, 0]
    assert pair.images.shape == (1, 3, 20, 20) and pair.points.shape == (10, 3)


def test_transparent_background_is_discarded_or_white(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[..., 0] = 90
    pixels[:2, :, 3] = 255
    pixels[2, :, 3] = 51  # a fifth
    path = tmp_path / "view.png"
    Image.fromarray(pixels).save(path)
    np.testing.assert_array_equal(read_image(path, None, "discard")[0].numpy(), np.full((4, 4), 90))
    white = read_image(path, None, "white").permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(white[:2], np.broadcast_to([90, 0, 0], (2, 4, 3)))
    np.testing.assert_array_equal(white[3], np.full((4, 3), 255))
    np.testing.assert_allclose(white[2], np.broadcast_to([0.2 * 90 + 0.8 * 255, 204, 204], (4, 3)), atol=1)


def test_meshes_give_their_vertices(tree: Path) -> None:
    mesh = trimesh.creation.icosphere(2)
    mesh.export(tree / "ShapeNet" / f"{MODELS[0]}.ply")
    pair = ShapeNetPairs(tree, points=32)[0, 0]
    np.testing.assert_allclose(pair.points.numpy(), mesh.vertices[:32], atol=1e-6)


def test_index_travels_to_workers_without_objects(tree: Path) -> None:
    pairs = ShapeNetPairs(tree)
    again = pickle.loads(pickle.dumps(pairs))
    np.testing.assert_array_equal(again[3, 1].images.numpy(), pairs[3, 1].images.numpy())
    arrays = vars(pairs._index).values()
    assert all(isinstance(value, np.ndarray) and not value.dtype.hasobject for value in arrays)


def test_truncated_image_is_named(tree: Path) -> None:
    for view in range(3):
        path = tree / "ShapeNetRendering" / MODELS[1] / "rendering" / f"{view:02d}.png"
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:4000])
    pairs = ShapeNetPairs(tree)
    with pytest.raises(ValueError, match=r"bbb/rendering/0\d\.png that cannot be read whole"):
        pairs[1, 0]
    for view in range(3):
        (tree / "ShapeNetRendering" / MODELS[1] / "rendering" / f"{view:02d}.png").write_text("404")
    with pytest.raises(ValueError, match=r"bbb/rendering/0\d\.png that cannot be read whole"):
        pairs[1, 0]


def test_models_without_images_are_named_or_left_out(tree: Path) -> None:
    for number in (0, 2):
        for path in (tree / "ShapeNetRendering" / MODELS[number] / "rendering").glob("*.png"):
            path.unlink()
    with pytest.raises(ValueError, match=r"found 2 of 4 models without an image \(02691156/aaa, 03001627/ccc\)"):
        ShapeNetPairs(tree)
    pairs = ShapeNetPairs(tree, skip_missing=True)
    assert pairs.classes == ["airplane", "99999999"]
    assert pairs[0, 0].images[0, 0, 0, 0] == color(1, 0)[0]
    assert pairs[1, 0].images[0, 0, 0, 0] == color(3, 0)[0]


def test_bad_clouds_are_named(tree: Path) -> None:
    path = tree / "ShapeNet" / f"{MODELS[1]}.ply"
    trimesh.PointCloud(np.zeros((5, 3))).export(path)
    pairs = ShapeNetPairs(tree)
    with pytest.raises(ValueError, match=r"found 5 points in .*bbb\.ply, expected at least 32"):
        pairs[1, 0]
    trimesh.PointCloud(np.full((32, 3), np.nan)).export(path)
    with pytest.raises(ValueError, match=r"NaN coordinates in .*bbb\.ply"):
        pairs[1, 0]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"bbb\.ply that cannot be read as PLY"):
        pairs[1, 0]
    with pytest.raises(ValueError, match=r"found 32 points in .*aaa\.ply, expected at least 100"):
        ShapeNetPairs(tree, points=100)


def test_other_layouts_are_recognized(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="found no folder"):
        ShapeNetPairs(tmp_path / "absent")
    with pytest.raises(ValueError, match=rf"a level too deep, give {tree}$"):
        ShapeNetPairs(tree / "ShapeNet")
    with pytest.raises(ValueError, match=rf"a level too deep, give {tree}$"):
        ShapeNetPairs(tree / "ShapeNetRendering" / "02691156")
    with pytest.raises(ValueError, match=rf"a level too high, give {tree}$"):
        ShapeNetPairs(tmp_path)
    (tree / "ShapeNet").rename(tree / "x")
    with pytest.raises(ValueError, match=r"found no ShapeNet in .*: unpack shapenet\.tar\.gz"):
        ShapeNetPairs(tree)
    (tree / "ShapeNetRendering").rename(tree / "ShapeNet")
    (tree / "x").rename(tree / "ShapeNetRendering")
    with pytest.raises(ValueError, match="are swapped, rename them"):
        ShapeNetPairs(tree)


def test_other_formats_are_recognized(tree: Path) -> None:
    for path in list((tree / "ShapeNet").rglob("*.ply")):
        path.rename(path.with_suffix(".npy"))
    with pytest.raises(ValueError, match=r"found no \.ply file .*ShapeNet holds 4 files \*\.npy elsewhere"):
        ShapeNetPairs(tree)


def test_arguments_out_of_range_are_named(tree: Path) -> None:
    with pytest.raises(ValueError, match="found views 0"):
        ShapeNetPairs(tree, views=0)
    with pytest.raises(ValueError, match="found alpha 'black'"):
        ShapeNetPairs(tree, alpha="black")  # type: ignore[arg-type]
    write = tree / "ShapeNetRendering" / MODELS[0] / "rendering" / "00.png"
    Image.new("RGB", (9, 9)).save(write)
    with pytest.raises(ValueError, match="found images of several sizes"):
        ShapeNetPairs(tree, views=3, image_size=None)[0, 0]
