from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from crosspoint.renderers import RenderedSet, Style, normalize, render, render_folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("set")
    for split in ("train", "test"):
        (root / "source" / "box" / split).mkdir(parents=True)
    trimesh.creation.box((1, 2, 3)).export(root / "source" / "box" / "train" / "a.off")
    trimesh.creation.cone(1, 2).export(root / "source" / "box" / "train" / "b.off")
    trimesh.creation.icosphere(2).export(root / "source" / "box" / "test" / "c.off")
    render_folder(root / "source", root / "out", views=3, size=40, points=32, jobs=1, progress=False)
    return root


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "out", tmp_path / "copy"))


def test_objects_are_those_that_were_rendered(made: Path) -> None:
    objects = RenderedSet(made / "out", "train")
    assert len(objects) == 2 and len(RenderedSet(made / "out")) == 3
    for index in range(2):
        mesh = normalize(trimesh.load_mesh(made / "source" / objects.meta(index)["source"]), "z")
        again = render(mesh, objects.cameras(index), style=Style()).images
        assert torch.equal(objects.images(index), again)
        assert torch.equal(objects.images(index, [2, 0]), again[[2, 0]])
        assert objects.points(index).shape == objects.normals(index).shape == (32, 3)
        assert objects.points(index).dtype == np.float32 and objects.colors(index) is None
    with pytest.raises(IndexError, match="views 0…2"):
        objects.images(0, [3])


def test_pickles_are_small_and_equal(made: Path) -> None:
    objects = RenderedSet(made / "out")
    pickled = pickle.dumps(objects)
    assert len(pickled) < 5000
    assert torch.equal(pickle.loads(pickled).images(1), objects.images(1))


def test_a_folder_that_is_no_set_is_refused(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="found no folder"):
        RenderedSet(tmp_path / "missing")
    with pytest.raises(ValueError, match=r"no split 'val' .*expected one of test, train"):
        RenderedSet(copy, "val")
    about = json.loads((copy / "set.json").read_text())
    (copy / "set.json").write_text(json.dumps({**about, "format": 99}))
    with pytest.raises(ValueError, match="found format 99"):
        RenderedSet(copy)
    (copy / "set.json").write_text("{")
    with pytest.raises(ValueError, match=r"found no JSON in .*set\.json"):
        RenderedSet(copy)
    (copy / "set.json").unlink()
    with pytest.raises(ValueError, match=r"found no set\.json"):
        RenderedSet(copy)


def test_missing_and_cut_shards_are_refused(copy: Path) -> None:
    shard = copy / "train-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-512])
    with pytest.raises(ValueError, match=r"bytes in .*train-000000\.tar"):
        RenderedSet(copy)
    assert len(RenderedSet(copy, "test")) == 1
    shard.unlink()
    with pytest.raises(ValueError, match=r"found 0 bytes in .*train-000000\.tar"):
        RenderedSet(copy)
    (copy / "train-000000.json").unlink()
    with pytest.raises(ValueError, match=r"found no train-000000\.tar"):
        RenderedSet(copy)


@pytest.mark.parametrize("damage", ["cut", "noise"])
def test_a_damaged_image_is_named(copy: Path, damage: str) -> None:
    objects = RenderedSet(copy, "train")
    index = json.loads((copy / "train-000000.json").read_text())
    offset, size = index["samples"][1]["members"]["view01.png"]
    with (copy / "train-000000.tar").open("r+b") as file:
        file.seek(offset + size // 2 if damage == "cut" else offset)
        file.write(bytes(size - size // 2))
    objects.images(0)
    with pytest.raises(ValueError, match=rf"damaged image .*view 1 of {objects.keys[1]} in .*train-000000\.tar"):
        objects.images(1)
