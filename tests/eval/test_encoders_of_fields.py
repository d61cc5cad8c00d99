"""Encoders of normals and colors under `embed`, `evaluate`, fine-tuning and export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from crosspoint import DGCNN, Inputs, PointNet, load_encoder, load_pretrained, save_encoder
from crosspoint.cli.main import main
from crosspoint.datasets.labeled import labeled_clouds
from crosspoint.eval import Result, extract_features
from crosspoint.eval.embedding import embed
from crosspoint.eval.embedding.sources import FileSource, RenderedSource
from crosspoint.eval.protocols.knn import Knn
from crosspoint.eval.protocols.linear_svm import linear_svm
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.study.study import study_data
from crosspoint.eval.study.table_rows import methods
from crosspoint.eval.supervised.classification import fine_tune
from crosspoint.eval.supervised.config import FinetuneConfig, Resources
from crosspoint.eval.supervised.part_segmentation import segment_parts
from crosspoint.fields import Fields
from crosspoint.renderers import render_folder

BOTH: Fields = ("normals", "colors")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Colored boxes and balls in a rendered set, and an encoder that takes normals and colors of them."""
    root = tmp_path_factory.mktemp("fields")
    generator = np.random.default_rng(0)
    for name in ("box", "ball"):
        for split, count in (("train", 4), ("test", 3)):
            (root / "meshes" / name / split).mkdir(parents=True)
            for number in range(count):
                mesh = trimesh.creation.box() if name == "box" else trimesh.creation.icosphere(1)
                mesh.vertices *= generator.uniform(1, 2, 3)
                mesh.visual.face_colors = generator.integers(0, 256, (len(mesh.faces), 4)).astype(np.uint8)
                mesh.export(root / "meshes" / name / split / f"{number}.ply")
    render_folder(root / "meshes", root / "views", views=1, size=16, points=64, jobs=1)
    torch.manual_seed(0)
    encoder = DGCNN(k=5, channels=[8, 8], embedding=16, fields=BOTH)
    save_encoder(encoder, root / "encoder.safetensors", Inputs(points=48, k=5))
    return root


def test_evaluation_reads_what_the_encoder_takes(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    checkpoint = ["--checkpoint", str(place / "encoder.safetensors"), "--variant", "paper", "--device", "cpu"]
    words = ["--dataset", "rendered", "--root", str(place / "views"), "--out", str(out)]
    assert main(["evaluate", "linear", *checkpoint, *words]) == 0
    train, test = (
        labeled_clouds("rendered", place / "views", split, points=48, fields=BOTH) for split in ("train", "test")
    )
    assert train.points.shape == (8, 48, 9)
    features = [extract_features(load_encoder(place / "encoder.safetensors"), each.points) for each in (train, test)]
    expected = linear_svm(features[0], train.labels, features[1], test.labels, protocol="paper")
    assert Result.load(out).metrics["accuracy"] == expected.metrics["accuracy"]


def test_embeddings_are_those_of_the_transformed_cloud(place: Path) -> None:
    checkpoint = place / "encoder.safetensors"
    found = embed(RenderedSource(place / "views", "test", BOTH), checkpoint)
    pretrained = load_pretrained(checkpoint)
    clouds = labeled_clouds("rendered", place / "views", "test", points=64, normalize=False, fields=BOTH)
    with torch.no_grad():
        expected = np.concatenate([pretrained.encoder(pretrained.transform(cloud)).numpy() for cloud in clouds.points])
    assert np.allclose(found.features, expected, atol=1e-5)
    files = embed(FileSource(place / "meshes", 48, BOTH), checkpoint)
    assert files.features.shape == (14, 32)


def test_commands_follow_the_checkpoint(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = ["--checkpoint", str(place / "encoder.safetensors"), "--device", "cpu"]
    assert main(["embed", str(place / "views"), str(tmp_path / "a.npz"), *checkpoint, "--jobs", "1"]) == 0
    with np.load(tmp_path / "a.npz") as file:
        assert file["features"].shape == (14, 32)
    gray = tmp_path / "gray"
    gray.mkdir()
    trimesh.creation.box((1, 2, 3)).export(gray / "a.off")
    assert main(["embed", str(gray), str(tmp_path / "b.npz"), *checkpoint, "--jobs", "1"]) == 2
    assert "found no colors in" in capsys.readouterr().err
    data = ["--dataset", "rendered", "--root", str(place / "views"), "--points", "64"]
    assert main(["evaluate", "robustness", *checkpoint, *data]) == 2
    assert "an encoder of x y z, normals, colors, while corruptions are of x y z alone" in capsys.readouterr().err
    assert (
        main(["export", str(place / "encoder.safetensors"), str(tmp_path / "e.pt2"), "--format", "torch-export"]) == 0
    )
    capsys.readouterr()


def test_fine_tuning_and_parts_see_fields(place: Path) -> None:
    train, test = (
        labeled_clouds("rendered", place / "views", split, points=48, fields=BOTH) for split in ("train", "test")
    )
    recipe = FinetuneConfig(epochs=2, batch_size=4)
    result = fine_tune(
        load_encoder(place / "encoder.safetensors"),
        train,
        test,
        recipe=recipe,
        validation=0,
        resources=Resources("cpu"),
    )
    assert 0 <= result.metrics["accuracy"] <= 100
    halves = [(each.points[..., 3] > 0).astype(np.int64) + 2 * each.labels[:, None] for each in (train, test)]
    parted = [replace(each, parts=parts) for each, parts in zip((train, test), halves, strict=True)]
    torch.manual_seed(0)
    segmenter = PointNet(embedding=16, fields=BOTH)
    recipe, resources = replace(recipe, optimizer="adam"), Resources("cpu")
    result = segment_parts(segmenter, *parted, recipe=recipe, validation=0, votes=2, resources=resources)
    assert 0 <= result.metrics["instance_miou_voted"] <= 100
    plain = labeled_clouds("rendered", place / "views", "test", points=48)
    with pytest.raises(ValueError, match=r"found clouds of x y z, normals, colors in rendered .* and of x y z in"):
        fine_tune(load_encoder(place / "encoder.safetensors"), train, plain, recipe=recipe, validation=0)
    with pytest.raises(ValueError, match=r"found points of shape \(6, 48, 3\), expected \(n, N, 9\) \(x y z, normals"):
        extract_features(load_encoder(place / "encoder.safetensors"), plain.points)


def test_rows_of_a_study_share_their_clouds(place: Path, tmp_path: Path) -> None:
    save_encoder(PointNet(embedding=16), tmp_path / "plain.safetensors")
    rows = methods([str(place / "encoder.safetensors"), str(tmp_path / "plain.safetensors")], False, None)
    config = StudyConfig([], "rendered", tmp_path / "study", root=place / "views", protocols=(Knn(),))
    with pytest.raises(ValueError, match="found encoders of x y z and of x y z, normals, colors, expected one kind"):
        study_data(config, rows)
