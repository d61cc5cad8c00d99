from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from crosspoint import DGCNN, CrossPoint, load_encoder, save_encoder
from crosspoint.datasets.labeled import labeled_clouds
from crosspoint.eval import extract_features, few_shot, knn_classify, linear_svm, retrieve_within
from crosspoint.eval.checkpoint import Checkpoint
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.crossmodal import Crossmodal
from crosspoint.eval.protocols.finetune import Finetune
from crosspoint.eval.protocols.folds import Folds
from crosspoint.eval.protocols.named import named_protocols
from crosspoint.eval.protocols.partseg import PartSegmentation
from crosspoint.eval.report.curves import pretraining_curves
from crosspoint.eval.report.report_model import Report
from crosspoint.eval.results import Result
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.study.embedding_map import embed
from crosspoint.eval.study.study import report_study, study_data
from crosspoint.eval.study.table_rows import methods
from crosspoint.eval.supervised.classification import CLASSIFICATION
from crosspoint.eval.supervised.part_segmentation import PARTS

CLASSES = ["ball", "plate", "rod"]  # of `study`
TEST = 5  # clouds of each class


def test_figures_are_those_of_the_protocols(
    study: StudyConfig, drawn: list[Report], place: Path, results: Callable[[StudyConfig], dict[str, Any]]
) -> None:
    assert report_study(study) == 0
    train, test = (
        labeled_clouds("modelnet40_hdf5", place / "clouds", split, points=study.points) for split in ("train", "test")
    )
    expected: dict[str, list[list[float]]] = {}
    random = "random initialization (DGCNN)"
    for row, seed, name in (
        ("DGCNN", 5, "a0"),
        ("DGCNN", 6, "a1"),
        ("b", 5, "b"),
        (random, 5, None),
        (random, 6, None),
    ):
        if name is None:
            torch.manual_seed(seed)
            encoder = DGCNN(k=4, channels=[8, 8], embedding=8).eval()
        else:
            encoder = load_encoder(place / f"{name}.safetensors")
        x, held = (extract_features(encoder, clouds.points, batch_size=1) for clouds in (train, test))
        figures = [
            linear_svm(x, train.labels, held, test.labels, seed=seed).metrics["accuracy"],
            knn_classify(x, train.labels, held, test.labels, protocol="validated", seed=seed).metrics["accuracy"],
            retrieve_within(held, test.labels).metrics["mAP"],
            *(
                few_shot(x, train.labels, ways=ways, shots=2, queries=4, runs=3, seed=seed).metrics["accuracy"]
                for ways in (2, 3)
            ),
        ]
        expected.setdefault(row, []).append(figures)
    rows = {row["name"]: row for row in results(study)["table"]}
    assert list(rows) == ["DGCNN", "b", "random initialization (DGCNN)", "random initialization (PointNet)"]
    titles = ["linear SVM", "kNN", "retrieval mAP", "few-shot 2-way 2-shot", "few-shot 3-way 2-shot"]
    for name, figures in expected.items():
        cells = rows[name]["cells"]
        assert list(cells) == [f"{title}, clouds" for title in titles]
        seeds = np.array(figures)
        np.testing.assert_allclose([cell["mean"] for cell in cells.values()], seeds.mean(axis=0), rtol=1e-12)
        if len(seeds) > 1:
            np.testing.assert_allclose([cell["deviation"] for cell in cells.values()], seeds.std(axis=0), rtol=1e-12)
            assert {cell["runs"] for cell in cells.values()} == {2}
    of_one_seed = rows["b"]["cells"]
    assert of_one_seed["linear SVM, clouds"]["deviation"] is None
    tasks = few_shot(x, train.labels, ways=2, shots=2, queries=4, runs=3, seed=5)  # of another network: has a deviation
    assert (of_one_seed["few-shot 2-way 2-shot, clouds"]["deviation"] is None) == ("accuracy_std" not in tasks.metrics)
    kept = Result.load(study.out / "runs/DGCNN/seed-6/linear.json")
    assert kept.metrics["accuracy"] == expected["DGCNN"][1][0]
    assert kept.constants["checkpoint"] == str(place / "a1.safetensors")
    table = (study.out / "table.md").read_text()
    assert table.count("\n| ") == len(rows) + 1  # the rule below the titles, too
    assert f"{rows['b']['cells']['kNN, clouds']['mean']:.1f}" in table
    assert "random initialization (PointNet)" in (study.out / "table.tex").read_text()


def test_the_same_bytes_twice_however_many_threads(study: StudyConfig, drawn: list[Report], tmp_path: Path) -> None:
    assert report_study(study) == 0
    other = replace(study, out=tmp_path / "other", jobs=2, cache=tmp_path / "cache")
    assert report_study(other) == 0
    written = (study.out / "results.json").read_bytes()
    assert (other.out / "results.json").read_bytes() == written
    assert str(tmp_path).encode() not in written.replace(str(study.root.parent).encode(), b"")


@pytest.mark.parametrize("kind", ["dgcnn", "pointnet", "parts"])
def test_features_depend_on_neither_other_clouds_nor_threads(
    kind: str, study: StudyConfig, tmp_path: Path, network: Callable[[str, int], torch.nn.Module]
) -> None:
    save_encoder(network(kind, 7), tmp_path / "one.safetensors")
    data = study_data(study, methods(study.checkpoint, random_init=False, k=None))
    points = data.clouds("test").points

    def features(points: np.ndarray) -> np.ndarray:
        return EvaluationRun(Checkpoint.read(tmp_path / "one.safetensors"), data, device="cpu").extract(points)

    together = features(points)
    for index in (3, 0, 7):
        np.testing.assert_array_equal(together[index], features(points[index : index + 1])[0])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2 if threads == 1 else 1)
        np.testing.assert_array_equal(features(points[:3]), together[:3])
    finally:
        torch.set_num_threads(threads)


def test_what_the_report_shows(study: StudyConfig, drawn: list[Report], tmp_path: Path, place: Path) -> None:
    run = tmp_path / "run"
    for version, rows in ((0, "0,9,4.0,\n1,19,3.0,\n1,19,,50.0\n"), (10, "3,39,1.5,\n"), (2, "1,19,3.5,\n2,29,nan,\n")):
        folder = run / "csv" / f"version_{version}"
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text("epoch,step,train/loss,probe/accuracy\n" + rows)
    shutil.copy(place / "a0.safetensors", run / "best.safetensors")
    test = study_data(study, []).clouds("test")
    assert (
        report_study(
            replace(study, checkpoint=[str(run / "best.safetensors")], protocols=named_protocols("linear,retrieval"))
        )
        == 0
    )
    (report,) = drawn
    assert report.classes == CLASSES
    assert [section.name for section in report.sections] == ["run", "random initialization (DGCNN)"]
    first, other = report.sections
    assert first.embedding is not None and other.embedding is not None
    assert first.embedding.positions.shape == (len(CLASSES) * TEST, 2)
    np.testing.assert_array_equal(first.embedding.labels, test.labels)
    accuracy = 100 * np.mean(first.embedding.labels == first.embedding.predicted)
    assert accuracy == pytest.approx(report.rows[0].cells["linear SVM, clouds"].mean)
    assert not np.array_equal(first.embedding.positions, other.embedding.positions)
    assert all(picture.startswith(b"\x89PNG") for picture in first.embedding.pictures)
    assert len({*first.embedding.pictures}) == len(first.embedding.pictures)
    pictures = [*first.embedding.pictures]
    features = extract_features(load_encoder(run / "best.safetensors"), test.points, batch_size=1)
    cosines = np.corrcoef(features)  # of centered features: only a shape to fill below
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    assert len(first.retrieved) == 12
    for strip in first.retrieved:
        query = pictures.index(strip.query)
        assert strip.label == CLASSES[test.labels[query]]
        assert [pictures.index(picture) for picture, _ in strip.found] == np.argsort(-cosines[query])[:5].tolist()
    curves = {curve.name: (list(curve.epochs), list(curve.values)) for curve in first.curves}
    assert curves == {"pre-training: loss": ([0, 1, 3], [4.0, 3.5, 1.5]), "pre-training: probe/accuracy": ([1], [50.0])}
    assert not other.curves
    assert pretraining_curves(tmp_path / "nowhere") == []
    (run / "csv" / "version_2" / "metrics.csv").write_bytes(b"epoch,notes\n1,hello\nx,2\n3,4,5\n")  # somebody else's
    assert {curve.name: list(curve.values) for curve in pretraining_curves(run)}["pre-training: notes"] == [4.0]


def test_a_map_keeps_groups_together() -> None:
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 20)
    features = np.eye(8)[groups] + 0.05 * generator.normal(size=(60, 8))
    positions = embed(features, seed=0)
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (groups[distances.argmin(axis=1)] == groups).all()
    np.testing.assert_array_equal(positions, embed(features, seed=0))
    assert embed(features[:3], seed=0).shape == (3, 2)


def test_strips_go_across_modalities_where_they_can(
    study: StudyConfig,
    drawn: list[Report],
    tmp_path: Path,
    views: Path,
    place: Path,
    write_checkpoint: Callable[..., CrossPoint],
    results: Callable[[StudyConfig], dict[str, Any]],
) -> None:
    write_checkpoint(tmp_path / "ours" / "last.ckpt")
    study = replace(
        study,
        checkpoint=[str(tmp_path / "ours" / "last.ckpt"), str(place / "a0.safetensors")],
        dataset="rendered",
        root=views,
        random_init=False,
        protocols=named_protocols("linear,crossmodal"),
    )
    assert report_study(study) == 0
    found = results(study)
    assert found["left_out"] == [
        {"method": "a0", "protocol": "crossmodal", "reason": "no image branch in the checkpoint"}
    ]
    rows = {row["name"]: row["cells"] for row in found["table"]}
    assert list(rows["a0"]) == ["linear SVM, toys"]
    assert {"image → its shape R@1, toys", "shape → shape mAP in that space, toys"} <= {*rows["ours"]}
    across, within = drawn[0].sections
    assert across.embedding is not None and within.embedding is not None
    assert list(across.embedding.pictures) == list(within.embedding.pictures)  # views, drawn once
    assert {strip.query for strip in across.retrieved} <= {*across.embedding.pictures}
    assert not {picture for strip in across.retrieved for picture, _ in strip.found} & {*across.embedding.pictures}
    assert {picture for strip in within.retrieved for picture, _ in strip.found} <= {*within.embedding.pictures}
    with pytest.raises(ValueError, match="crossmodal: found no image branch in the checkpoint, expected at least one"):
        report_study(replace(study, checkpoint=study.checkpoint[1:], protocols=[Crossmodal()], out=tmp_path / "none"))


def write_parts(root: Path) -> None:
    """Two categories whose parts are the upper and the lower half."""
    root.mkdir()
    generator = np.random.default_rng(1)
    for split, count in (("train", 2), ("val", 1), ("test", 1)):
        labels = np.repeat(np.arange(2), count)
        data = generator.normal(size=(len(labels), 2048, 3)).astype(np.float32)
        with h5py.File(root / f"ply_data_{split}0.h5", "w") as file:
            file["data"], file["label"] = data, labels[:, None]
            file["pid"] = (data[..., 1] > 0) + 2 * labels[:, None]
    described = {"categories": ["cup", "hat"], "parts": {"cup": [0, 1], "hat": [2, 3]}}
    (root / "categories.json").write_text(json.dumps(described))


def test_trained_protocols_and_stored_folds(
    study: StudyConfig,
    drawn: list[Report],
    tmp_path: Path,
    place: Path,
    results: Callable[[StudyConfig], dict[str, Any]],
) -> None:
    write_parts(tmp_path / "halves")
    generator = np.random.default_rng(2)
    for fold in range(10):
        parts = {
            split: [
                ((generator.normal(size=(study.points, 6)) * (1 + 4 * way) / 16).astype(np.float32), way, way)
                for way in range(2)
                for _ in range(count)
            ]
            for split, count in (("train", 2), ("test", 3))
        }
        path = tmp_path / "folds" / "2way_2shot" / f"{fold}.pkl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(parts))
    study = replace(
        study,
        checkpoint=[str(place / "a0.safetensors"), str(place / "parts.safetensors")],
        random_init=False,
        protocols=[
            Folds(folds=tmp_path / "folds"),
            Finetune(recipe=replace(CLASSIFICATION, epochs=1)),
            PartSegmentation(parts=tmp_path / "halves", recipe=replace(PARTS, epochs=1)),
        ],
        k=4,
        normalize=False,
    )
    stale = study.out / "runs" / "parts" / "seed-5" / "partseg"
    assert report_study(study) == 0
    assert (stale / "network.safetensors").is_file()
    rows = {row["name"]: row["cells"] for row in results(study)["table"]}
    assert list(rows["a0"])[:2] == ["folds, SVM 2-way 2-shot, ModelNet40", "fine-tuned, clouds"]
    assert list(rows["a0"])[2:] == list(rows["parts"])[2:]
    assert rows["a0"]["folds, SVM 2-way 2-shot, ModelNet40"]["deviation"] is not None
    assert list(rows["parts"])[2:] == ["parts, instance mIoU, halves", "parts, category mIoU, halves"]
    assert results(study)["left_out"] == []
    shown = drawn[0].sections[1]
    assert [cloud.category for cloud in shown.segmented] == ["cup", "hat"]
    assert shown.segmented[0].points.shape == (2048, 3)
    np.testing.assert_array_equal(shown.segmented[1].truth, (shown.segmented[1].points[:, 1] > 0) + 2)
    names = {curve.name for curve in shown.curves}
    assert {"part segmentation: validation instance miou", "fine-tuning: train loss"} <= names
    assert all(len(curve.values) == 1 for curve in shown.curves)
    first = (study.out / "results.json").read_bytes()
    (stale.parent / "partseg.json").unlink()  # a kill between the network and the result
    assert report_study(replace(study)) == 0
    assert (study.out / "results.json").read_bytes() == first
