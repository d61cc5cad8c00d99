from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from crosspoint.datasets.pairs import draw_views, stack_pairs
from crosspoint.datasets.rendered import RenderedPairs, rendered_clouds
from crosspoint.renderers import RenderedSet, render_folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pairs")
    for name, mesh in {"ball": trimesh.creation.icosphere(2), "box": trimesh.creation.box((1, 2, 3))}.items():
        (root / "source" / name).mkdir(parents=True)
        for number in range(2):
            mesh.export(root / "source" / name / f"{number}.ply")
    mesh.export(root / "alone.ply")
    render_folder(root / "source", root / "set", views=4, size=48, points=64, jobs=1, progress=False)
    (root / "flat").mkdir()
    (root / "alone.ply").rename(root / "flat" / "alone.ply")
    render_folder(root / "flat", root / "flat set", views=1, size=16, points=16, jobs=1, progress=False)
    return root


def test_pairs_hold_the_views_that_the_seed_draws(made: Path) -> None:
    pairs, objects = RenderedPairs(made / "set", views=2), RenderedSet(made / "set")
    assert pairs.classes == ["ball", "box"] and len(pairs) == 4 and sorted(pairs.labels) == [0, 0, 1, 1]
    for index in range(4):
        for seed in (0, 1, 7):
            pair = pairs[index, seed]
            assert torch.equal(pair.images, objects.images(index, draw_views(4, 2, seed)))
            assert torch.equal(pair.points, torch.from_numpy(objects.points(index)))
            assert pair.label == pairs.labels[index] and pair.label.dtype == torch.int64
    batch = stack_pairs([pairs[0, 0], pairs[1, 1]])
    assert batch.images.shape == (2, 2, 3, 48, 48) and batch.points.shape == (2, 64, 3)


def test_images_are_resized_with_antialias(made: Path) -> None:
    small, large = (
        RenderedPairs(made / "set", image_size=12)[1, 3].images[0],
        RenderedPairs(made / "set")[1, 3].images[0],
    )
    assert small.shape == (3, 12, 12) and small.dtype == torch.uint8
    pillow = Image.fromarray(large.permute(1, 2, 0).numpy()).resize((12, 12), Image.Resampling.BILINEAR)
    assert (small.permute(1, 2, 0).int() - torch.from_numpy(np.array(pillow)).int()).abs().max() <= 1


def test_the_cache_holds_the_same_pairs(made: Path) -> None:
    plain, cached = (RenderedPairs(made / "set", views=3, image_size=20, cache=cache) for cache in (False, True))
    for index in range(4):
        for one, other in zip(plain[index, index], cached[index, index], strict=True):
            assert torch.equal(one, other)
    (shard,) = (made / "set").glob("*.tar")
    content = shard.read_bytes()
    shard.write_bytes(b"")
    try:
        assert cached[0, 5].images.shape == (3, 3, 20, 20)  # no file is read any more
    finally:
        shard.write_bytes(content)


def test_clouds_are_the_first_points(made: Path) -> None:
    clouds, objects = rendered_clouds(made / "set", "all", 40), RenderedSet(made / "set")
    assert clouds.points.shape == (4, 40, 3) and clouds.points.dtype == np.float32
    np.testing.assert_array_equal(clouds.points[2], objects.points(2)[:40])
    np.testing.assert_array_equal(clouds.labels, objects.labels)
    assert clouds.classes == ["ball", "box"] and clouds.split == "all"


def test_what_cannot_be_used_is_refused(made: Path) -> None:
    with pytest.raises(ValueError, match="found 64 points in a cloud, expected at least 65"):
        rendered_clouds(made / "set", "all", 65)
    with pytest.raises(ValueError, match="without classes"):
        rendered_clouds(made / "flat set", "all", 8)
    with pytest.raises(ValueError, match="found views 0"):
        RenderedPairs(made / "set", views=0)
    with pytest.raises(ValueError, match="no split 'train'"):
        RenderedPairs(made / "set", "train")
