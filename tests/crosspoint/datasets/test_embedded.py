from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from crosspoint.cli.main import main
from crosspoint.datasets.embedded.pairs import EmbeddedPairs, stack_embedded
from crosspoint.datasets.embedded.view_embeddings import ViewEmbeddings
from crosspoint.datasets.embedded.view_facts import camera_facts, color_shares, turn_cameras
from crosspoint.datasets.embedded.writing import embed_views
from crosspoint.datasets.pairs import draw_views
from crosspoint.models.timm_encoder import TimmEncoder
from crosspoint.renderers import RenderedSet, orbit, render_folder

NETWORK = "resnet10t"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(TimmEncoder(NETWORK).model.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    root = tmp_path_factory.mktemp("embedded")
    for split in ("train", "test"):
        for name, mesh in {"ball": trimesh.creation.icosphere(1), "box": trimesh.creation.box((1, 2, 3))}.items():
            (root / "source" / split / name).mkdir(parents=True)
            for number in range(2):
                mesh.export(root / "source" / split / name / f"{number}.ply")
    render_folder(root / "source", root / "set", views=3, size=32, points=64, shard_size=3, jobs=1, progress=False)
    embed_views(root / "set", network=NETWORK, weights=str(weights), jobs=1)
    return root / "set"


def expected(made: Path, weights: Path, split: str, side: int = 32) -> torch.Tensor:
    """Every view by itself, through the network as it is."""
    network = TimmEncoder(NETWORK, weights=str(weights), frozen=True).eval()
    objects = RenderedSet(made, split)
    rows = [torch.stack([network.embed(view[None])[0] for view in objects.images(i)]) for i in range(len(objects))]
    return torch.stack(rows)


@pytest.mark.parametrize("split", ["train", "test"])
def test_embeddings_are_those_of_each_view_by_itself(made: Path, weights: Path, split: str) -> None:
    objects = RenderedSet(made, split)
    stored, wanted = ViewEmbeddings(objects), expected(made, weights, split)
    assert stored.teacher.feature_dim == wanted.shape[2] == 512
    for index in range(len(objects)):
        assert torch.allclose(stored.embeddings(index, [2, 0]), wanted[index, [2, 0]], atol=1e-3, rtol=1e-3)
        assert torch.allclose(stored.colors(index, [1]), color_shares(objects.images(index, [1])), atol=1e-3)
    mean, deviation = stored.moments()
    rows = torch.stack([stored.embeddings(i, [0, 1, 2]) for i in range(len(objects))]).flatten(0, 1)
    assert torch.allclose(mean, rows.mean(dim=0), atol=1e-6)
    assert torch.allclose(deviation, rows.std(dim=0, correction=0), atol=1e-5)


def test_the_same_bytes_on_any_number_of_jobs_and_after_a_stop(made: Path, weights: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "set")
    folder = tmp_path / "set" / "embeddings" / NETWORK
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for path in [*folder.glob("train-000000.*"), *folder.glob("test-000001.emb*")]:  # as a kill leaves them
        path.unlink()
    with pytest.raises(ValueError, match="run crosspoint embed-views again to finish"):
        EmbeddedPairs(tmp_path / "set", "train")
    embed_views(tmp_path / "set", network=NETWORK, weights=str(weights), jobs=2)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_pairs_hold_the_views_that_the_seed_draws(made: Path) -> None:
    pairs = EmbeddedPairs(made, "train", views=2)
    cached = pickle.loads(pickle.dumps(EmbeddedPairs(made, "train", views=2, cache=True)))
    for index in range(4):
        views = draw_views(3, 2, seed=index + 5)
        pair = pairs[index, index + 5]
        assert torch.equal(pair.embeddings, pairs.stored.embeddings(index, views))
        assert torch.equal(pair.cameras, camera_facts(pairs.set.cameras(index))[views])
        assert torch.equal(pair.points, torch.from_numpy(pairs.set.points(index)))
        for one, other in zip(pair, cached[index, index + 5], strict=True):
            assert torch.equal(one, other)
    batch = stack_embedded([pairs[0, 0], pairs[1, 1]])
    assert [tuple(field.shape) for field in batch] == [(2, 64, 3), (2, 2, 512), (2, 2, 16), (2, 2, 64), (2,)]


def test_facts_of_a_camera_are_its_numbers() -> None:
    cameras = orbit(4, (20, 30), seed=2)
    facts = camera_facts(cameras)
    assert torch.allclose(facts[:, :9].view(4, 3, 3), cameras.R.float())
    assert torch.allclose(facts[:, 9:12], cameras.t.float())
    assert torch.allclose(
        facts[:, 12:] * torch.tensor([30, 20, 30, 20]), cameras.K[:, [0, 1, 0, 1], [0, 1, 2, 2]].float()
    )


def test_turned_cameras_see_turned_points_where_they_were() -> None:
    cameras = orbit(3, 24, seed=1)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).double()).Q
    points = torch.randn(7, 3, generator=torch.Generator().manual_seed(1)).double()
    before, _ = cameras.project(points)
    turned = turn_cameras(camera_facts(cameras)[None].double(), turn[None])[0]
    rotation, translation = turned[:, :9].view(3, 3, 3), turned[:, 9:12]
    after = type(cameras)(cameras.K, rotation, translation, cameras.size).project(points @ turn.T)[0]
    assert torch.allclose(before, after, atol=1e-3)


def test_shares_of_colors_count_pixels() -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (2, 3, 5, 7), dtype=np.uint8)
    shares = color_shares(torch.from_numpy(images))
    for image, found in zip(images, shares, strict=True):
        counts, _ = np.histogramdd(image.reshape(3, -1).T, bins=[np.arange(0, 257, 64)] * 3)
        assert np.allclose(found.numpy(), counts.ravel() / 35)


def test_embeddings_of_another_teacher_size_or_set_are_refused(made: Path, weights: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    torch.save(TimmEncoder(NETWORK).model.state_dict(), tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"found embeddings in .* with weights .* expected the same teacher"):
        embed_views(made, network=NETWORK, weights=str(tmp_path / "other.pth"), jobs=1)
    with pytest.raises(ValueError, match="with image_size 32 instead of 64"):
        embed_views(made, network=NETWORK, weights=str(weights), image_size=64, jobs=1)
    copy = tmp_path / "set"
    shutil.copytree(made, copy)
    content = json.loads((copy / "set.json").read_bytes())
    (copy / "set.json").write_text(json.dumps({**content, "made_with": {}}))
    with pytest.raises(ValueError, match="found embeddings of another set"):
        EmbeddedPairs(copy, "train")


def test_weights_of_a_file_that_was_written_anew_are_read_anew(made: Path, weights: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "set")
    file = tmp_path / "teacher.pth"
    file.write_bytes(weights.read_bytes())
    first = embed_views(tmp_path / "set", network=NETWORK, weights=str(file), name="first", jobs=1)
    torch.manual_seed(1)
    torch.save(TimmEncoder(NETWORK).model.state_dict(), file)
    second = embed_views(tmp_path / "set", network=NETWORK, weights=str(file), name="second", jobs=1)
    found = [np.load(folder / "train-000000.embeddings.npy") for folder in (first, second)]
    assert not np.array_equal(*found)


def test_random_weights_are_the_same_in_every_process(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "set")
    folders = [
        embed_views(tmp_path / "set", network=NETWORK, weights="none", name=str(jobs), jobs=jobs) for jobs in (1, 2)
    ]
    one, two = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert one == two


def test_missing_several_and_damaged_embeddings_are_told(made: Path, weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "set"
    shutil.copytree(made, copy)
    embed_views(copy, network=NETWORK, weights=str(weights), name="second", image_size=16, jobs=1)
    with pytest.raises(ValueError, match=f"found embeddings {NETWORK}, second .* expected a choice"):
        EmbeddedPairs(copy, "train")
    assert EmbeddedPairs(copy, "train", embeddings="second").stored.teacher.image_size == 16
    with pytest.raises(FileNotFoundError, match="expected third: make them with crosspoint embed-views"):
        EmbeddedPairs(copy, "train", embeddings="third")
    path = copy / "embeddings" / "second" / "train-000000.colors.npy"
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(ValueError, match=r"found a damaged .*train-000000"):
        EmbeddedPairs(copy, "train", embeddings="second")
    np.save(path, np.zeros((3, 3, 9)))
    with pytest.raises(ValueError, match=r"found float64 of shape \(3, 3, 9\)"):
        EmbeddedPairs(copy, "train", embeddings="second")
    (path.parent / "manifest.json").write_text('{"format": 1')
    with pytest.raises(ValueError, match=r"found no JSON in .*manifest\.json"):
        EmbeddedPairs(copy, "train", embeddings="second")


def test_the_command_says_what_is_wrong_on_one_line(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        ([str(made), "--network", "resnet10x"], "found the network 'resnet10x'"),
        ([str(made / "none"), "--network", NETWORK, "--weights", "none"], "found no folder"),
        ([str(made), "--network", "vit_tiny_patch16_224", "--weights", "none", "--image_size", "40"], "patches of 16"),
        ([str(made), "--network", NETWORK, "--weights", "missing.pth"], "found no file missing.pth"),
    ):
        assert main(["embed-views", *words, "--device", "cpu", "--jobs", "1"]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
