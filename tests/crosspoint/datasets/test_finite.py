"""Clouds that are no clouds are named when they are read, and runs on them end with the name of the object."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from crosspoint.datasets.finite import FinitePairs, check_finite
from crosspoint.datasets.rendered import RenderedPairs
from crosspoint.renderers import render_folder
from crosspoint.training.probe import HoldOut
from crosspoint.transforms import unit_sphere
from tests.crosspoint.toys import ToyPairs, toy_run


@pytest.mark.parametrize(("value", "told"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf"), (1e38, "1e\\+38")])
def test_one_number_of_one_cloud_ends_a_run_and_names_it(value: float, told: str, tmp_path: Path) -> None:
    pairs = ToyPairs()
    pairs.points[17, 5, 1] = value
    message = rf"found {told} in 1 of 64 points of object 17 of ToyPairs, expected finite numbers below 1e\+18"
    with pytest.raises(ValueError, match=message):
        toy_run(tmp_path / "run", dataset=pairs)
    with pytest.raises(ValueError, match=message):
        HoldOut.of(pairs, np.arange(10), np.arange(10, 20), 48)


def test_what_passes_can_be_scaled() -> None:
    """The limit is where float32 can no longer square: a cloud of the largest numbers is scaled, the next is not."""
    generator = torch.Generator().manual_seed(0)
    for factor in (9e17, 1e-30, 0.0):
        cloud = factor * (2 * torch.rand(100, 3, generator=generator) - 1)
        check_finite(cloud, "points")
        assert torch.isfinite(unit_sphere(cloud[None])).all()
    cloud = torch.tensor([[1e38, 0, 0], [-1e38, 0, 0], [0, 0, 0]])
    assert float(unit_sphere(cloud[None]).norm(dim=2).max()) == 0  # squares overflow: a cloud that is one point
    with pytest.raises(ValueError, match=r"found 1e\+38 in 2 of 3 points, expected"):
        check_finite(cloud, "points")


def test_clean_pairs_are_as_they_were() -> None:
    pairs = ToyPairs()
    checked = FinitePairs(pairs)
    assert len(checked) == len(pairs) and checked.labels is pairs.labels and checked.classes == pairs.classes
    for one, other in zip(checked[3, 9], pairs[3, 9], strict=True):
        assert torch.equal(one, other)
    assert np.array_equal(checked.read_points(3), pairs.points[3])


def test_an_object_of_a_rendered_set_is_named_by_key_and_shard(tmp_path: Path) -> None:
    for name in ("box", "ball"):
        (tmp_path / "meshes" / name).mkdir(parents=True)
        mesh = trimesh.creation.box() if name == "box" else trimesh.creation.icosphere(subdivisions=1)
        mesh.export(tmp_path / "meshes" / name / f"{name}.ply")
    render_folder(tmp_path / "meshes", tmp_path / "views", views=1, size=8, points=16, jobs=1, progress=False)
    shard = tmp_path / "views" / "all-000000.tar"
    index = json.loads(shard.with_suffix(".json").read_text())
    place, size = index["samples"][1]["members"]["points.npy"]
    broken = np.load(io.BytesIO(shard.read_bytes()[place : place + size]))
    broken[3] = np.nan
    content = io.BytesIO()
    np.save(content, broken)
    assert len(content.getvalue()) == size and tarfile.is_tarfile(shard)
    shard.write_bytes(shard.read_bytes()[:place] + content.getvalue() + shard.read_bytes()[place + size :])
    key = index["samples"][1]["key"]
    with pytest.raises(ValueError, match=rf"found nan in 1 of 16 rows of points.npy of {key} in .*all-000000.tar"):
        FinitePairs(RenderedPairs(tmp_path / "views"))[1, 0]
