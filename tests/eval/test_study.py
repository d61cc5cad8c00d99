from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import trimesh

from crosspoint import DGCNN, CrossPoint, PointNet, load_encoder, save_encoder
from crosspoint.branches import load_branches, trained_image_size
from crosspoint.checkpoints import ENCODER_KEY
from crosspoint.datasets.labelled import labelled_clouds
from crosspoint.encoders import encoder_config
from crosspoint.images import ImageEncoder
from crosspoint.partseg import PartSegDGCNN
from eval import extract_features, few_shot, knn_classify, linear_svm, retrieve_within
from eval.crossmodal import retrieve_modalities
from eval.report.contents import Report
from eval.results import Result
from eval.study import runs
from eval.study.methods import methods
from eval.study.scenery import embed
from eval.study.sections import pretraining_curves
from eval.study.settings import Study
from eval.study.study import report_study
from eval.study.subject import Subject
from renderers import RenderedSet, render_folder

CLASSES = ("ball", "plate", "rod")
TRAIN, TEST, POINTS = 8, 5, 40  # clouds of each class


def write_clouds(root: Path, **splits: int) -> None:
    """Ellipsoids of three proportions, turned at random, in ModelNet40's archive."""
    root.mkdir()
    generator = np.random.default_rng(0)
    axes = np.array([[1, 1, 1], [1, 0.25, 1], [0.3, 1, 0.5]])
    for split, count in splits.items():
        labels = np.repeat(np.arange(len(CLASSES)), count)
        clouds = generator.normal(size=(len(labels), POINTS, 3))
        clouds *= (axes[labels] * generator.uniform(0.5, 1.5, (len(labels), 3)))[:, None]
        order = generator.permutation(len(labels))
        with h5py.File(root / f"ply_data_{split}0.h5", "w") as file:
            file["data"], file["label"] = clouds[order].astype(np.float32), labels[order][:, None]
    (root / "shape_names.txt").write_text("\n".join(CLASSES))


def network(kind: str, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    made = {
        "dgcnn": lambda: DGCNN(k=4, channels=[8, 8], embedding=8),
        "pointnet": lambda: PointNet(embedding=16),
        "parts": lambda: PartSegDGCNN(k=4),
    }
    return made[kind]()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clouds, and exports of two DGCNNs, a PointNet and a part-segmentation network."""
    root = tmp_path_factory.mktemp("study")
    write_clouds(root / "clouds", train=TRAIN, test=TEST)
    for name, kind, seed in (("a0", "dgcnn", 0), ("a1", "dgcnn", 1), ("b", "pointnet", 2), ("parts", "parts", 3)):
        save_encoder(network(kind, seed), root / f"{name}.safetensors")
    return root


@pytest.fixture
def study(place: Path, tmp_path: Path) -> Study:
    """Two methods, one with two seeds, and all that needs no other data."""
    return Study(
        checkpoint=[
            f"DGCNN={place / 'a0.safetensors'}",
            f"DGCNN={place / 'a1.safetensors'}",
            f"{place / 'b'}.safetensors",
        ],
        dataset="modelnet40_hdf5",
        root=place / "clouds",
        out=tmp_path / "out",
        random_init=True,
        points=POINTS,
        ways=[2, 3],
        shots=[2],
        queries=4,
        runs=3,
        seed=5,
        device="cpu",
        jobs=1,
    )


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Report]:
    """Reports that would have been drawn: pictures have tests of their own."""
    reports: list[Report] = []
    monkeypatch.setattr("eval.report.page.write_page", lambda report, path: path.write_text(report.title))
    monkeypatch.setattr("eval.report.figures.save_figures", lambda report, folder: reports.append(report))
    return reports


def results(study: Study) -> dict[str, Any]:
    return json.loads((study.out / "results.json").read_text())


def test_figures_are_those_of_the_protocols(study: Study, drawn: list[Report], place: Path) -> None:
    assert report_study(study) == 0
    train, test = (
        labelled_clouds("modelnet40_hdf5", place / "clouds", split, points=POINTS) for split in ("train", "test")
    )
    expected: dict[str, list[list[float]]] = {}
    random = "random initialisation (DGCNN)"
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
    assert list(rows) == ["DGCNN", "b", "random initialisation (DGCNN)", "random initialisation (PointNet)"]
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
    kept = Result.load(study.out / "runs/1-dgcnn/seed-6/linear.json")
    assert kept.metrics["accuracy"] == expected["DGCNN"][1][0]
    assert kept.constants["checkpoint"] == str(place / "a1.safetensors")
    table = (study.out / "table.md").read_text()
    assert table.count("\n| ") == len(rows) + 1  # the rule below the titles, too
    assert f"{rows['b']['cells']['kNN, clouds']['mean']:.1f}" in table
    assert "random initialisation (PointNet)" in (study.out / "table.tex").read_text()


def test_the_same_bytes_twice_however_many_threads(study: Study, drawn: list[Report], tmp_path: Path) -> None:
    assert report_study(study) == 0
    other = replace(study, out=tmp_path / "other", jobs=2, cache=tmp_path / "cache")
    assert report_study(other) == 0
    written = (study.out / "results.json").read_bytes()
    assert (other.out / "results.json").read_bytes() == written
    assert str(tmp_path).encode() not in written.replace(str(study.root.parent).encode(), b"")


@pytest.mark.parametrize("kind", ["dgcnn", "pointnet", "parts"])
def test_features_depend_on_neither_other_clouds_nor_threads(kind: str, study: Study, tmp_path: Path) -> None:
    save_encoder(network(kind, 7), tmp_path / "one.safetensors")
    study = replace(study, checkpoint=[str(tmp_path / "one.safetensors")], random_init=False)
    points = study.clouds("test").points
    together = Subject(study, study.rows[0], 0).encode(points)
    for index in (3, 0, 7):
        alone = Subject(study, study.rows[0], 0).encode(points[index : index + 1])
        np.testing.assert_array_equal(together[index], alone[0])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2 if threads == 1 else 1)
        np.testing.assert_array_equal(Subject(study, study.rows[0], 0).encode(points[:3]), together[:3])
    finally:
        torch.set_num_threads(threads)


def interrupting(measure: Callable[[Subject], Any], calls: list[str], stop_at: int) -> Callable[[Subject], Any]:
    def measured(subject: Subject) -> Any:
        calls.append(f"{subject.method.name} {subject.seed}")
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        return measure(subject)

    return measured


def test_interrupted_and_resumed_is_as_uninterrupted(
    study: Study, drawn: list[Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = replace(study, out=tmp_path / "straight")
    assert report_study(straight) == 0
    calls: list[str] = []
    knn = runs.MEASURES["knn"]
    monkeypatch.setitem(runs.MEASURES, "knn", interrupting(knn, calls, stop_at=2))
    with pytest.raises(KeyboardInterrupt):
        report_study(study)
    assert not (study.out / "results.json").exists()
    kept = sorted(study.out.rglob("*.json"))
    first = ["fewshot", "knn", "linear", "retrieval"]
    assert [path.stem for path in kept] == [*first, "linear", "settings"]
    before = {path: path.read_bytes() for path in kept}
    for path in kept[:-1]:
        Result.load(path)
    calls.clear()
    monkeypatch.setitem(runs.MEASURES, "knn", interrupting(knn, calls, stop_at=0))
    assert report_study(replace(study)) == 0
    random = "random initialisation"
    assert calls == ["DGCNN 6", "b 5", f"{random} (DGCNN) 5", f"{random} (DGCNN) 6", f"{random} (PointNet) 5"]
    assert {path: path.read_bytes() for path in kept} == before
    for name in ("results.json", "table.md", "table.tex"):
        assert (study.out / name).read_bytes() == (straight.out / name).read_bytes()


def test_another_study_in_the_folder_is_refused(study: Study, drawn: list[Report], place: Path, tmp_path: Path) -> None:
    study = replace(study, protocols="retrieval", random_init=False)
    assert report_study(study) == 0
    before = {path: path.read_bytes() for path in study.out.rglob("*") if path.is_file()}
    for changed, message in (
        ({"points": 30}, "points: 40 then, 30 now"),
        ({"protocols": "knn"}, "protocols: retrieval then, knn now"),
    ):
        with pytest.raises(ValueError, match=message):
            report_study(replace(study, **changed))  # type: ignore[arg-type]
    weights = tmp_path / "a.safetensors"
    shutil.copy(place / "a0.safetensors", weights)
    other = replace(study, checkpoint=[str(weights)], out=tmp_path / "other")
    assert report_study(other) == 0
    save_encoder(network("dgcnn", 9), weights)
    with pytest.raises(ValueError, match=r"found other settings .*\(other bytes in .*a\.safetensors\)"):
        report_study(replace(other))
    assert {path: path.read_bytes() for path in study.out.rglob("*") if path.is_file()} == before
    assert report_study(replace(study, jobs=2)) == 0  # moves no figure
    (other.out / "settings.json").write_text("[1]")
    with pytest.raises(ValueError, match="found no settings in"):
        report_study(replace(other))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    with pytest.raises(ValueError, match="without a study, expected a new folder"):
        report_study(replace(study, out=tmp_path / "full"))


def test_a_protocol_that_fails_on_the_way_leaves_the_others(
    study: Study, drawn: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = replace(study, protocols="retrieval,knn", random_init=False)
    knn = runs.MEASURES["knn"]

    def failing(subject: Subject) -> Any:
        if subject.method.name == "b":
            raise ValueError("found no luck,\nexpected some")
        return knn(subject)

    monkeypatch.setitem(runs.MEASURES, "knn", failing)
    assert report_study(study) == 1
    found = results(study)
    assert found["failed"] == [{"method": "b", "seed": 5, "protocol": "knn", "reason": "found no luck, expected some"}]
    rows = {row["name"]: row["cells"] for row in found["table"]}
    assert list(rows["b"]) == ["retrieval mAP, clouds"]
    assert len(rows["DGCNN"]) == 2
    line = next(line for line in (study.out / "table.md").read_text().splitlines() if line.startswith("| b "))
    assert line.endswith("|  |")
    monkeypatch.setitem(runs.MEASURES, "knn", knn)
    assert report_study(replace(study)) == 0
    assert results(study)["failed"] == []


REFUSED = [
    ({"protocols": "linear,svm"}, "found the protocols 'linear,svm', expected some of linear, knn"),
    ({"protocols": "linear,linear"}, "each once"),
    ({"protocols": "folds"}, "found no --folds"),
    ({"protocols": "partseg"}, "found no --parts"),
    ({"protocols": "crossmodal"}, "found no --rendered"),
    ({"queries": 7}, "fewshot: found 8 samples of class 0 .* expected at least 9"),
    ({"ways": [4]}, "fewshot: found 3 classes in the pool, expected at least 4"),
    ({"ways": []}, r"fewshot: found ways \[\] and shots \[2\], expected some of both"),
    ({"shots": [2, 2]}, "each once"),
    ({"points": 3}, "found clouds of 3 points, expected at least k = 4"),
    ({"checkpoint": []}, "found no checkpoint"),
    ({"checkpoint": ["A=nowhere.ckpt"]}, "found no checkpoint at nowhere.ckpt"),
]


@pytest.mark.parametrize(("changed", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_refused_before_anything_is_written(study: Study, changed: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        report_study(replace(study, **changed))
    assert not study.out.exists()


def test_small_splits_are_refused(study: Study, tmp_path: Path) -> None:
    write_clouds(tmp_path / "few", train=2, test=3)
    with pytest.raises(ValueError, match="retrieval: found 8 other clouds, expected at least 10"):
        report_study(replace(study, root=tmp_path / "few", protocols="linear,retrieval"))
    with h5py.File(tmp_path / "few" / "ply_data_train0.h5", "a") as file:
        file["label"][...] = np.arange(6)[:, None] % 3 // 2  # none of class 2
    with pytest.raises(ValueError, match=r"linear: found test labels \[2\] that are absent from training"):
        report_study(replace(study, root=tmp_path / "few", protocols="linear"))


def test_rows(place: Path, tmp_path: Path) -> None:
    a, b, c = (place / f"{name}.safetensors" for name in ("a0", "a1", "b"))
    rows = methods([f"ours={a}", f"{c}", f"ours={b}"], random_init=True, k=None)
    assert [(row.name, row.checkpoints, row.random_init) for row in rows] == [
        ("ours", (a, b), False),
        ("b", (c,), False),
        ("random initialisation (DGCNN)", (a, b), True),
        ("random initialisation (PointNet)", (c,), True),
    ]
    assert len({row.folder for row in rows}) == 4
    wide = tmp_path / "run" / "last.safetensors"
    wide.parent.mkdir()
    save_encoder(DGCNN(k=4, channels=[8], embedding=8), wide)
    rows = methods([f"{a}", f"{wide}"], random_init=True, k=6)
    assert [row.name for row in rows[:2]] == ["a0", "run"]
    assert len({row.name for row in rows}) == 4  # two architectures of one kind
    assert rows[0].encoder(0, 0).config["k"] == 6
    for given, message in (
        ([f"ours={a}", f"ours={wide}"], "under the name ours, expected seeds of one architecture"),
        ([f"ours={a}", f"theirs={a}"], "twice"),
        ([f"{a}", f"a0={b}"], "found two checkpoints called a0"),
        (["=x"], "expected NAME=FILE or FILE"),
    ):
        with pytest.raises(ValueError, match=message):
            methods(given, random_init=False, k=None)


def test_what_the_report_shows(study: Study, drawn: list[Report], tmp_path: Path, place: Path) -> None:
    run = tmp_path / "run"
    for version, rows in ((0, "0,9,4.0,\n1,19,3.0,\n1,19,,50.0\n"), (10, "3,39,1.5,\n"), (2, "1,19,3.5,\n2,29,nan,\n")):
        folder = run / "csv" / f"version_{version}"
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text("epoch,step,train/loss,probe/accuracy\n" + rows)
    shutil.copy(place / "a0.safetensors", run / "best.safetensors")
    assert report_study(replace(study, checkpoint=[str(run / "best.safetensors")], protocols="linear,retrieval")) == 0
    (report,) = drawn
    assert report.classes == list(CLASSES)
    assert [section.name for section in report.sections] == ["run", "random initialisation (DGCNN)"]
    first, other = report.sections
    assert first.embedding is not None and other.embedding is not None
    assert first.embedding.positions.shape == (len(CLASSES) * TEST, 2)
    np.testing.assert_array_equal(first.embedding.labels, study.clouds("test").labels)
    accuracy = 100 * np.mean(first.embedding.labels == first.embedding.predicted)
    assert accuracy == pytest.approx(report.rows[0].cells["linear SVM, clouds"].mean)
    assert not np.array_equal(first.embedding.positions, other.embedding.positions)
    assert all(picture.startswith(b"\x89PNG") for picture in first.embedding.pictures)
    assert len({*first.embedding.pictures}) == len(first.embedding.pictures)
    pictures = [*first.embedding.pictures]
    features = extract_features(load_encoder(run / "best.safetensors"), study.clouds("test").points, batch_size=1)
    cosines = np.corrcoef(features)  # of centred features: only a shape to fill below
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    assert len(first.retrieved) == 12
    for strip in first.retrieved:
        query = pictures.index(strip.query)
        assert strip.label == CLASSES[study.clouds("test").labels[query]]
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


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve balls and boxes to test on, six of each, and as many to train on."""
    root = tmp_path_factory.mktemp("meshes")
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("ball", "box"):
            for number in range(6):
                mesh = trimesh.creation.icosphere(subdivisions=1) if name == "ball" else trimesh.creation.box()
                mesh.apply_scale(generator.uniform(0.5, 2, 3))
                (root / name / split).mkdir(parents=True, exist_ok=True)
                mesh.export(root / name / split / f"{name}_{number:04d}.off")
    out = tmp_path_factory.mktemp("views") / "toys"
    render_folder(root, out, views=2, size=24, points=POINTS, jobs=1)
    return out


def write_checkpoint(path: Path, seed: int = 0) -> CrossPoint:
    """As `crosspoint pretrain` writes it, with statistics of BatchNorm that are not the initial ones."""
    torch.manual_seed(seed)
    method = CrossPoint(DGCNN(k=4, channels=[8], embedding=8), ImageEncoder("resnet18"), projection=16)
    for module in method.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_var.uniform_(0.5, 2.0)
            module.running_mean.normal_()
    weights = {f"method.{name}": tensor for name, tensor in method.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": weights, ENCODER_KEY: asdict(encoder_config(method.encoder))}, path)
    return method.eval()


def test_branches_are_those_of_the_checkpoint(tmp_path: Path, place: Path) -> None:
    method = write_checkpoint(tmp_path / "last.ckpt")
    branches = load_branches(tmp_path / "last.ckpt")
    points, images = torch.rand(3, 20, 3), torch.rand(3, 3, 24, 24)
    with torch.inference_mode():
        assert torch.equal(branches.clouds(points), method.head(method.encoder(points)))
        expected = method.image_head(method.image_encoder(images))  # type: ignore[misc]
        torch.testing.assert_close(branches.images(images), expected)
        random = load_branches(tmp_path / "last.ckpt", seed=1)
        assert not torch.allclose(random.images(images), expected)
        assert torch.equal(random.images(images), load_branches(tmp_path / "last.ckpt", seed=1).images(images))
    with pytest.raises(ValueError, match=r"found no image branch in .* give a checkpoint"):
        load_branches(place / "a0.safetensors")
    assert trained_image_size(tmp_path / "last.ckpt") is None
    (tmp_path / "config.yaml").write_text("method: {images: {size: 48}}")
    assert trained_image_size(tmp_path / "last.ckpt") == 48
    (tmp_path / "config.yaml").write_text("method: 3")
    with pytest.raises(ValueError, match=r"found no method\.images\.size"):
        trained_image_size(tmp_path / "last.ckpt")


def test_views_and_shapes_seek_each_other(tmp_path: Path, views: Path) -> None:
    method = write_checkpoint(tmp_path / "last.ckpt")
    clouds, rendered = labelled_clouds("rendered", views, "test", points=POINTS), RenderedSet(views, "test")
    result, projected = retrieve_modalities(load_branches(tmp_path / "last.ckpt"), clouds, rendered)
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
    one, _ = retrieve_modalities(load_branches(tmp_path / "last.ckpt"), clouds, rendered, views=1, image_size=16)
    assert (one.constants["images"], one.constants["image_size"]) == (12, 16)
    with pytest.raises(ValueError, match="found 3 views, expected 1 to 2"):
        retrieve_modalities(load_branches(tmp_path / "last.ckpt"), clouds, rendered, views=3)
    with pytest.raises(ValueError, match=r"found 12 clouds of rendered \(test\), expected the 12 of .* \(train\)"):
        retrieve_modalities(load_branches(tmp_path / "last.ckpt"), clouds, RenderedSet(views, "train"))


def test_views_are_projected_on_one_thread_whatever_there_are(tmp_path: Path, views: Path) -> None:
    write_checkpoint(tmp_path / "last.ckpt")
    branches, seen = load_branches(tmp_path / "last.ckpt"), []
    branches.images.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    clouds, rendered = labelled_clouds("rendered", views, "test", points=POINTS), RenderedSet(views, "test")
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        retrieve_modalities(branches, clouds, rendered)
        assert (seen, torch.get_num_threads()) == ([1] * len(rendered), 2)
    finally:
        torch.set_num_threads(threads)


def test_strips_go_across_modalities_where_they_can(
    study: Study, drawn: list[Report], tmp_path: Path, views: Path, place: Path
) -> None:
    write_checkpoint(tmp_path / "ours" / "last.ckpt")
    study = replace(
        study,
        checkpoint=[str(tmp_path / "ours" / "last.ckpt"), str(place / "a0.safetensors")],
        dataset="rendered",
        root=views,
        random_init=False,
        protocols="linear,crossmodal",
    )
    assert report_study(study) == 0
    found = results(study)
    assert found["left_out"] == [
        {"method": "a0", "protocol": "crossmodal", "reason": "no image branch in the checkpoint"}
    ]
    rows = {row["name"]: row["cells"] for row in found["table"]}
    assert list(rows["a0"]) == ["linear SVM, toys"]
    assert "image → its shape R@1, toys" in rows["ours"]
    across, within = drawn[0].sections
    assert across.embedding is not None and within.embedding is not None
    assert list(across.embedding.pictures) == list(within.embedding.pictures)  # views, drawn once
    assert {strip.query for strip in across.retrieved} <= {*across.embedding.pictures}
    assert not {picture for strip in across.retrieved for picture, _ in strip.found} & {*across.embedding.pictures}
    assert {picture for strip in within.retrieved for picture, _ in strip.found} <= {*within.embedding.pictures}
    with pytest.raises(ValueError, match="crossmodal: found no image branch in the checkpoint, expected at least one"):
        report_study(replace(study, checkpoint=study.checkpoint[1:], protocols="crossmodal", out=tmp_path / "none"))


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


def test_trained_protocols_and_stored_folds(study: Study, drawn: list[Report], tmp_path: Path, place: Path) -> None:
    write_parts(tmp_path / "halves")
    generator = np.random.default_rng(2)
    for fold in range(10):
        parts = {
            split: [
                ((generator.normal(size=(POINTS, 6)) * (1 + 4 * way)).astype(np.float32), way, way)
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
        protocols="folds,finetune,partseg",
        parts=tmp_path / "halves",
        folds=tmp_path / "folds",
        epochs=1,
        k=4,
        normalise=False,
    )
    stale = study.out / "runs" / "2-parts" / "seed-5" / "partseg"
    assert report_study(study) == 0
    assert (stale / "network.safetensors").is_file()
    rows = {row["name"]: row["cells"] for row in results(study)["table"]}
    assert list(rows["a0"]) == ["folds, SVM 2-way 2-shot, ModelNet40", "fine-tuned, clouds"]
    assert rows["a0"]["folds, SVM 2-way 2-shot, ModelNet40"]["deviation"] is not None
    assert list(rows["parts"])[2:] == ["parts, instance mIoU, halves", "parts, category mIoU, halves"]
    assert results(study)["left_out"][0]["reason"] == "no part-segmentation encoder"
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
