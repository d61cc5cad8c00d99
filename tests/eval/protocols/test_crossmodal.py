from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from crosspoint import CrossPoint
from crosspoint.checkpoints.dual_encoder import load_dual_encoder
from crosspoint.checkpoints.pretrained import load_pretrained
from crosspoint.cli.main import main
from crosspoint.datasets.embedded.pairs import EmbeddedPairs
from crosspoint.datasets.embedded.view_facts import camera_facts
from crosspoint.datasets.embedded.writing import embed_views
from crosspoint.datasets.labeled import labeled_clouds
from crosspoint.eval.protocols.modality_retrieval import retrieve_modalities, retrieve_predictions
from crosspoint.methods.crossjepa import CrossJEPA
from crosspoint.models.pointnet import PointNet
from crosspoint.renderers import RenderedSet

POINTS = 40  # of every shape of `views`


def test_views_and_shapes_seek_each_other(
    tmp_path: Path, views: Path, write_checkpoint: Callable[..., CrossPoint]
) -> None:
    method = write_checkpoint(tmp_path / "last.ckpt")
    clouds, rendered = labeled_clouds("rendered", views, "test", points=POINTS), RenderedSet(views, "test")
    result, projected = retrieve_modalities(load_dual_encoder(tmp_path / "last.ckpt"), clouds, rendered)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    assert method.image_encoder is not None and method.image_head is not None
    branch = torch.nn.Sequential(method.image_encoder, method.image_head)
    ranks = []
    with torch.inference_mode():
        shapes = torch.nn.functional.normalize(method.head(method.encoder(torch.from_numpy(clouds.points))))
        for index in range(len(clouds)):
            for view in range(2):
                image = (rendered.images(index, [view]).float() / 255).permute(0, 2, 3, 1)
                image = ((image - mean) / deviation).permute(0, 3, 1, 2)
                projection = branch(image)[0]
                np.testing.assert_allclose(projected.images[2 * index + view], projection, rtol=1e-3, atol=1e-4)
                asked = torch.nn.functional.normalize(projection, dim=0)
                cosines = shapes @ asked
                ranks.append(1 + int((cosines > cosines[index]).sum()))
    assert result.metrics["image_to_shape_object_mAP"] == pytest.approx(100 * np.mean([1 / rank for rank in ranks]))
    assert (result.constants["views"], result.constants["image_size"], result.constants["images"]) == (2, 24, 24)
    one, _ = retrieve_modalities(load_dual_encoder(tmp_path / "last.ckpt"), clouds, rendered, views=1, image_size=16)
    assert (one.constants["images"], one.constants["image_size"]) == (12, 16)
    with pytest.raises(ValueError, match="found 3 views, expected 1 to 2"):
        retrieve_modalities(load_dual_encoder(tmp_path / "last.ckpt"), clouds, rendered, views=3)
    with pytest.raises(ValueError, match=r"found 12 clouds of rendered \(test\), expected the 12 of .* \(train\)"):
        retrieve_modalities(load_dual_encoder(tmp_path / "last.ckpt"), clouds, RenderedSet(views, "train"))


def test_views_are_projected_on_one_thread_whatever_there_are(
    tmp_path: Path, views: Path, write_checkpoint: Callable[..., CrossPoint]
) -> None:
    write_checkpoint(tmp_path / "last.ckpt")
    branches, seen = load_dual_encoder(tmp_path / "last.ckpt"), []
    branches.images.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    clouds, rendered = labeled_clouds("rendered", views, "test", points=POINTS), RenderedSet(views, "test")
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        retrieve_modalities(branches, clouds, rendered)
        assert (seen, torch.get_num_threads()) == ([1] * len(rendered), 2)
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def embedded(views: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rendered toys, embedded by a network of random weights."""
    root = tmp_path_factory.mktemp("embedded") / "toys"
    shutil.copytree(views, root)
    embed_views(root, network="mobilenetv3_small_050", weights="none", jobs=1)
    return root


def jepa(root: Path, embedding: int) -> CrossJEPA:
    """Random weights, with the moments of the set, as training takes them."""
    torch.manual_seed(0)
    method = CrossJEPA(PointNet(embedding=8), embedding=embedding, hidden=16)
    if embedding == EmbeddedPairs(root, "train").stored.teacher.feature_dim:
        method.training_samples(EmbeddedPairs(root, "train"))
    return method.eval()


def test_predictions_and_views_meet_in_the_space_of_the_teacher(embedded: Path) -> None:
    pairs = EmbeddedPairs(embedded, "test", views=2)
    method = jepa(embedded, pairs.stored.teacher.feature_dim)
    clouds, rendered = labeled_clouds("rendered", embedded, "test", points=POINTS), RenderedSet(embedded, "test")
    result, projected = retrieve_predictions(method, clouds, rendered)
    colors = torch.stack([pairs.stored.colors(index, [0, 1]) for index in range(12)]).mean(dim=(0, 1))
    ranks, shapes = [], []
    with torch.inference_mode():
        for index in range(12):
            feature = method.encoder(torch.from_numpy(clouds.points[index : index + 1]))[0]
            seen = camera_facts(rendered.cameras(index))
            made = [method.predictor(feature[None], torch.cat([camera, colors])[None, None])[0, 0] for camera in seen]
            shapes.append((made[0] + made[1]) / 2)
        np.testing.assert_allclose(projected.shapes, torch.stack(shapes), rtol=1e-3, atol=1e-4)
        unit = torch.nn.functional.normalize(torch.stack(shapes))
        for index in range(12):
            for view in range(2):
                embedding = pairs.stored.embeddings(index, [view])[0]
                target = (embedding - method.mean) / method.deviation
                np.testing.assert_allclose(projected.images[2 * index + view], target, rtol=1e-4, atol=1e-4)
                cosines = unit @ torch.nn.functional.normalize(target, dim=0)
                ranks.append(1 + int((cosines > cosines[index]).sum()))
    assert result.metrics["image_to_shape_object_mAP"] == pytest.approx(100 * np.mean([1 / rank for rank in ranks]))
    others = [np.arange(12) != index for index in range(12)]
    same = [clouds.labels[other] == clouds.labels[index] for index, other in enumerate(others)]
    cosines = unit @ unit.T
    precisions = [
        average_precision_score(wanted, cosines[index][other])
        for index, (wanted, other) in enumerate(zip(same, others, strict=True))
    ]
    assert result.metrics["shape_to_shape_class_mAP"] == pytest.approx(100 * np.mean(precisions), rel=1e-4)
    assert result.constants["views"] == 2
    one, _ = retrieve_predictions(method, clouds, rendered, views=1)
    assert one.constants["images"] == 12


def test_shapes_that_are_alone_in_their_class_seek_no_others(
    tmp_path: Path, views: Path, write_checkpoint: Callable[..., CrossPoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_checkpoint(tmp_path / "last.ckpt")
    rendered = RenderedSet(views, "test")
    alone = np.arange(len(rendered))
    monkeypatch.setattr(rendered, "labels", alone)
    clouds = labeled_clouds("rendered", views, "test", points=POINTS)
    clouds = replace(clouds, labels=alone, classes=[str(label) for label in alone])
    result, _ = retrieve_modalities(load_dual_encoder(tmp_path / "last.ckpt"), clouds, rendered)
    assert "image_to_shape_class_mAP" in result.metrics and "shape_to_shape_class_mAP" not in result.metrics


def test_embeddings_of_another_kind_are_told(embedded: Path, views: Path) -> None:
    clouds, rendered = labeled_clouds("rendered", embedded, "test", points=POINTS), RenderedSet(embedded, "test")
    with pytest.raises(ValueError, match=r"method.embedding"):
        retrieve_predictions(jepa(embedded, 7), clouds, rendered)
    clouds, bare = labeled_clouds("rendered", views, "test", points=POINTS), RenderedSet(views, "test")
    with pytest.raises(FileNotFoundError, match=r"found no embeddings in .* crosspoint embed-views"):
        retrieve_predictions(jepa(embedded, 7), clouds, bare)


def test_a_checkpoint_without_an_image_branch_is_measured_by_its_predictions(embedded: Path, tmp_path: Path) -> None:
    dim = EmbeddedPairs(embedded, "train").stored.teacher.feature_dim
    flags = ["--encoder", "pointnet", "--encoder.embedding", "8", "--method", "crossjepa"]
    flags += ["--method.embedding", str(dim)]
    flags += ["--data.dataset", "embedded", "--data.dataset.root", str(embedded), "--data.dataset.split", "train"]
    flags += ["--training.epochs", "1", "--training.batch_size", "4", "--compute.accelerator", "cpu"]
    assert main(["pretrain", *flags, "--probe.holdout", "0", "--out", str(tmp_path / "run")]) == 0
    evaluate = ["evaluate", "crossmodal", "--checkpoint", str(tmp_path / "run" / "last.ckpt"), "--dataset", "rendered"]
    evaluate += ["--root", str(embedded), "--points", str(POINTS), "--device", "cpu"]
    assert main([*evaluate, "--out", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["constants"]["images"] == 24
    assert main([*evaluate, "--image_size", "16"]) == 2
    assert isinstance(load_pretrained(tmp_path / "run" / "last.ckpt").load_method(), CrossJEPA)
