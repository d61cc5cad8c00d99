import os
from pathlib import Path

import numpy as np
import pytest
import trimesh

from crosspoint.datasets.modelnet import modelnet_clouds

DATA = Path(__file__).parents[4] / "shared" / "data" / "objects40"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Bars of extents (1, 2, 3) and (2, 3, 1), somewhere, and flat discs."""
    root = tmp_path / "tree"
    for name, mesh in (
        ("bar/train/bar_0001", trimesh.creation.box((1, 2, 3))),
        ("bar/test/bar_0002", trimesh.creation.box((2, 3, 1))),
        ("disc/train/disc_0001", trimesh.creation.cylinder(5, 0.1)),
    ):
        path = root / f"{name}.off"
        path.parent.mkdir(parents=True)
        mesh.apply_translation([10, 20, 30])
        mesh.export(path)
    return root


def test_clouds_lie_on_the_turned_and_scaled_mesh(tree: Path) -> None:
    clouds = modelnet_clouds(tree, "train", 400, jobs=1)
    assert clouds.classes == ["bar", "disc"]
    np.testing.assert_array_equal(clouds.labels, [0, 1])
    bar = np.abs(clouds.points[0].astype(np.float64)) * np.sqrt(14) / 2  # z up: the long side stands
    np.testing.assert_allclose((bar / [0.5, 1.5, 1.0]).max(axis=1), 1.0, atol=1e-5)
    share = (np.abs(bar[:, 1] - 1.5) < 1e-4).mean()  # of the two ends, 2 × 2 of an area of 22
    assert share == pytest.approx(4 / 22, abs=0.06)
    upright = modelnet_clouds(tree, "train", 400, up_axis="y", jobs=1)
    turned = clouds.points[0][:, [0, 2, 1]] * [1, -1, 1]
    np.testing.assert_allclose(upright.points[0], turned, atol=1e-6)


def test_points_depend_on_seed_and_path_alone(tree: Path) -> None:
    first = modelnet_clouds(tree, "train", 50, seed=3, jobs=1)
    np.testing.assert_array_equal(first.points, modelnet_clouds(tree, "train", 50, seed=3, jobs=2).points)
    assert not np.array_equal(first.points, modelnet_clouds(tree, "train", 50, seed=4, jobs=1).points)
    extra = tree / "arc" / "train" / "arc_0001.off"
    extra.parent.mkdir(parents=True)
    trimesh.creation.icosphere().export(extra)
    more = modelnet_clouds(tree, "train", 50, seed=3, jobs=1)
    np.testing.assert_array_equal(more.points[1:], first.points)


def test_cache_is_used_until_something_changes(tree: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = modelnet_clouds(tree, "train", 50, cache=cache, jobs=1)
    (stored,) = cache.iterdir()
    marked = first.points + 1
    np.savez(stored, points=marked, kept=np.ones(2, bool))
    np.testing.assert_array_equal(modelnet_clouds(tree, "train", 50, cache=cache, jobs=1).points, marked)
    stored.write_bytes(b"damaged")
    np.testing.assert_array_equal(modelnet_clouds(tree, "train", 50, cache=cache, jobs=1).points, first.points)
    modelnet_clouds(tree, "train", 60, cache=cache, jobs=1)
    modelnet_clouds(tree, "train", 50, seed=1, cache=cache, jobs=1)
    modelnet_clouds(tree, "train", 50, up_axis="y", cache=cache, jobs=1)
    modelnet_clouds(tree, "test", 50, cache=cache, jobs=1)
    assert len(list(cache.iterdir())) == 5
    os.utime(tree / "bar" / "train" / "bar_0001.off", ns=(1, 1))
    modelnet_clouds(tree, "train", 50, cache=cache, jobs=1)
    assert len(list(cache.iterdir())) == 6


def test_broken_meshes_are_named_or_left_out(tree: Path, tmp_path: Path) -> None:
    (tree / "bar" / "train" / "bar_0000.off").write_text("OFF\n3 1 0\n0 0 0\n0 0 0\n0 0 0\n3 0 1 2\n")
    (tree / "disc" / "train" / "disc_0009.off").write_text("no mesh")
    with pytest.raises(ValueError, match=r"found 2 of 4 meshes .*\(the first: bar/train/bar_0000\.off: .*zero surface"):
        modelnet_clouds(tree, "train", 50, cache=tmp_path / "cache", jobs=1)
    assert not (tmp_path / "cache").exists()
    for _ in range(2):  # drawn, then from the cache
        clouds = modelnet_clouds(tree, "train", 50, cache=tmp_path / "cache", jobs=1, skip_broken=True)
        np.testing.assert_array_equal(clouds.labels, [0, 1])


def test_bad_input_is_named(tree: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        modelnet_clouds(tree / "absent", "train")
    with pytest.raises(ValueError, match=r"found the splits test, train in .*, expected one named 'val'"):
        modelnet_clouds(tree, "val")
    with pytest.raises(ValueError, match=r"found one class alone in .*bar, .*give .*, the folder of the classes"):
        modelnet_clouds(tree / "bar", "train")
    with pytest.raises(ValueError, match="found 0 points"):
        modelnet_clouds(tree, "train", 0)
    with pytest.raises(ValueError, match="found the up axis 'w'"):
        modelnet_clouds(tree, "train", up_axis="w")  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore")  # torch-geometric's import is not free of them
def test_download_unpacks_and_leaves_the_reading_to_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_geometric.datasets import ModelNet

    def unpack(self: ModelNet) -> None:
        for split in ("train", "test"):
            for name in self.raw_file_names:
                path = Path(self.raw_dir, name, split, f"{name}_0001.off")
                path.parent.mkdir(parents=True, exist_ok=True)
                trimesh.creation.box((1, 2, 3)).export(path)

    monkeypatch.setattr(ModelNet, "download", unpack)
    clouds = modelnet_clouds(tmp_path, "test", 20, jobs=1, download="10")
    assert clouds.points.shape == (10, 20, 3) and len(clouds.classes) == 10
    monkeypatch.setattr(ModelNet, "download", None)  # a second call fetches nothing
    np.testing.assert_array_equal(modelnet_clouds(tmp_path, "test", 20, jobs=1, download="10").points, clouds.points)


def test_real_tree(tmp_path: Path) -> None:
    if not DATA.is_dir():
        pytest.skip("no real meshes beside the repository")
    for name in ("mug", "vase"):
        (tmp_path / name).symlink_to(DATA / name)
    clouds = modelnet_clouds(tmp_path, "test", 128, jobs=1)
    assert set(clouds.labels) == {0, 1}
    radius = np.linalg.norm(clouds.points, axis=2).max(axis=1)
    assert (radius <= 1 + 1e-5).all() and (radius > 0.5).all()
