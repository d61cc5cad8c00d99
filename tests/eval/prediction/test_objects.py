"""What trained networks say of objects: as the protocol said it, in files that people read."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from crosspoint import DGCNN
from crosspoint.cli.main import main
from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.procedural.shapes import FAMILIES, PART_NAMES, shapes_clouds
from crosspoint.eval import load_network, predict
from crosspoint.eval.embedding.sources import CloudsSource, FileSource
from crosspoint.eval.prediction import Predictor
from crosspoint.eval.supervised import trained_network
from crosspoint.eval.supervised.classification import fine_tune
from crosspoint.eval.supervised.config import FinetuneConfig, Resources
from crosspoint.eval.supervised.part_segmentation import segment_parts
from crosspoint.models.dgcnn_partseg import PartSegDGCNN
from tests.refusals import command_refuses

SHORT = {
    "recipe": FinetuneConfig(epochs=2, batch_size=8, optimizer="adam", augmentation=None),
    "validation": 0.25,
    "resources": Resources(accelerator="cpu"),
}
WORDS = ["--jobs", "1", "--device", "cpu"]


def dgcnn() -> DGCNN:
    torch.manual_seed(0)
    return DGCNN(k=4, channels=[8, 16], embedding=16)


@pytest.fixture(scope="module")
def splits() -> tuple[Clouds, Clouds]:
    train, test = (shapes_clouds(split, 8, points=48, families=FAMILIES[:3]) for split in ("train", "test"))
    return train, test


@pytest.fixture(scope="module")
def trained(splits: tuple[Clouds, Clouds], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the protocols leave: a folder for each mode of classification, and one of part segmentation."""
    root = tmp_path_factory.mktemp("trained")
    fine_tune(dgcnn(), *splits, **SHORT, out=root / "finetuned")
    fine_tune(dgcnn(), *splits, **SHORT, mode="frozen", out=root / "frozen")
    torch.manual_seed(0)
    segment_parts(PartSegDGCNN(k=4), *splits, **SHORT, k=6, out=root / "parts")
    return root


def said(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "predictions.npz") as file:
        return {name: file[name] for name in file.files}


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mode", ["finetuned", "frozen"])
def test_classes_are_those_of_the_protocol(
    mode: str, trained: Path, splits: tuple[Clouds, Clouds], tmp_path: Path
) -> None:
    test = splits[1]
    out = predict(CloudsSource(test), trained / mode, tmp_path / "out")
    found = said(out)
    assert np.array_equal(found["predicted"], said(trained / mode)["predicted"])
    assert np.allclose(found["probabilities"].sum(axis=1), 1, atol=1e-5)
    with (out / "predictions.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [row["predicted"] for row in rows] == [test.classes[place] for place in found["predicted"]]
    assert [row["label"] for row in rows] == [test.classes[label] for label in test.labels]
    assert [float(row["probability"]) for row in rows] == pytest.approx(found["probabilities"].max(axis=1), abs=1e-6)
    facts = json.loads((out / "predictions.json").read_text())
    assert (facts["task"], facts["classes"], facts["items"]) == ("classes", test.classes, len(test))
    assert sorted(files(out)) == ["predictions.csv", "predictions.json", "predictions.npz"]


def test_parts_are_those_of_the_protocol(trained: Path, splits: tuple[Clouds, Clouds], tmp_path: Path) -> None:
    test = splits[1]
    out = predict(CloudsSource(test), trained / "parts", tmp_path / "out")
    found, expected = said(out), said(trained / "parts")
    for name in ("parts", "own_parts"):
        assert np.array_equal(found[name].reshape(len(test), -1), expected[name])
    assert np.array_equal(found["points"].reshape(test.points.shape), test.points)
    assert found["offsets"].tolist() == [48 * place for place in range(len(test) + 1)]
    with (out / "predictions.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    counted = {name: int(count) for name, count in (each.rsplit(":", 1) for each in row["parts"].split())}
    assert counted == {
        PART_NAMES[part]: int((expected["own_parts"][0] == part).sum()) for part in np.unique(expected["own_parts"][0])
    }


def test_every_point_of_a_larger_cloud_has_the_part_of_the_nearest_that_was_seen(trained: Path) -> None:
    predictor = Predictor(load_network(trained / "parts"), category=FAMILIES[0])
    cloud = np.random.default_rng(0).normal(size=(200, 3)) * 30 + 7
    prediction = predictor(cloud, "mine")
    assert prediction.label == FAMILIES[0] and np.allclose(prediction.points, cloud)
    seen = torch.randperm(200, generator=torch.Generator().manual_seed(0))[:48].sort().values.numpy()
    few = predictor(cloud[seen], "few")
    nearest = np.linalg.norm(cloud[:, None] - cloud[seen][None], axis=2).argmin(axis=1)
    assert np.array_equal(prediction.parts, few.parts[nearest])
    assert np.array_equal(prediction.own_parts, few.own_parts[nearest])


def test_own_files_are_predicted_in_their_own_units(
    trained: Path, splits: tuple[Clouds, Clouds], tmp_path: Path
) -> None:
    test = splits[1]
    for place in (0, 8, 16):
        folder = tmp_path / "clouds" / test.classes[test.labels[place]]
        folder.mkdir(parents=True)
        np.save(folder / "mine.npy", test.points[place] * 40 + [5, -3, 900])
    words = ["predict", str(tmp_path / "clouds"), str(tmp_path / "out"), "--checkpoint", str(trained / "finetuned")]
    assert main([*words, *WORDS]) == 0
    found = said(tmp_path / "out")
    assert found["names"].tolist() == sorted(f"{name}/mine.npy" for name in test.classes)
    order = [8 * test.classes.index(name) for name in sorted(test.classes)]
    assert np.array_equal(found["predicted"], said(trained / "finetuned")["predicted"][order])


def test_an_interrupted_run_goes_on_with_the_same_bytes(
    trained: Path, splits: tuple[Clouds, Clouds], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crosspoint.eval.prediction.run.OBJECTS", 5)
    source, network = CloudsSource(splits[1]), trained / "parts"
    whole = predict(source, network, tmp_path / "whole")
    plain, reads = CloudsSource.read, []

    def stopped(self: CloudsSource, index: int) -> np.ndarray:
        if index == 13:
            raise KeyboardInterrupt
        return plain(self, index)

    def counted(self: CloudsSource, index: int) -> np.ndarray:
        reads.append(index)
        return plain(self, index)

    monkeypatch.setattr(CloudsSource, "read", stopped)
    with pytest.raises(KeyboardInterrupt):
        predict(source, network, tmp_path / "cut")
    assert not (tmp_path / "cut" / "predictions.csv").exists()
    monkeypatch.setattr(CloudsSource, "read", counted)
    with pytest.raises(ValueError, match="found predictions of another network, of other data"):
        predict(source, trained / "finetuned", tmp_path / "cut")
    predict(source, network, tmp_path / "cut")
    assert reads == [*range(10, 24)]
    assert files(tmp_path / "cut") == files(whole)
    predict(source, network, tmp_path / "cut")  # complete: nothing is read again
    assert len(reads) == 14
    with pytest.raises(ValueError, match="expected a new folder, or one to go on in"):
        predict(source, network, tmp_path / "cut", category=FAMILIES[0])


def test_the_number_of_processes_changes_no_byte(
    trained: Path, splits: tuple[Clouds, Clouds], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crosspoint.eval.prediction.run.OBJECTS", 5)
    one, two = (
        predict(CloudsSource(splits[1]), trained / "finetuned", tmp_path / str(jobs), jobs=jobs) for jobs in (1, 2)
    )
    assert files(one) == files(two)


def test_the_command_reads_its_network_once(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trimesh.creation.icosphere(subdivisions=1).export(tmp_path / "ball.ply")
    read, reads = trained_network.read_safetensors, []
    monkeypatch.setattr(trained_network, "read_safetensors", lambda path: reads.append(path) or read(path))
    words = ["predict", tmp_path / "ball.ply", tmp_path / "out", "--checkpoint", trained / "frozen", *WORDS]
    assert main([*map(str, words)]) == 0 and len(reads) == 1


def test_what_cannot_be_read_stops_the_run_or_is_left_out(trained: Path, tmp_path: Path) -> None:
    clouds = tmp_path / "clouds"
    clouds.mkdir()
    np.save(clouds / "good.npy", np.random.default_rng(0).normal(size=(60, 3)))
    (clouds / "bad.npy").write_bytes(b"x")
    source = FileSource(clouds, 48)
    with pytest.raises(ValueError, match=r"bad\.npy.*--skip_incomplete true leaves such items out"):
        predict(source, trained / "finetuned", tmp_path / "out")
    predict(source, trained / "finetuned", tmp_path / "out", skip_incomplete=True)
    assert said(tmp_path / "out")["names"].tolist() == ["good.npy"]
    assert json.loads((tmp_path / "out" / "predictions.json").read_text())["left_out"] == ["bad.npy"]
    (clouds / "good.npy").unlink()
    with pytest.raises(ValueError, match="found no item that can be read"):
        predict(FileSource(clouds, 48), trained / "finetuned", tmp_path / "none", skip_incomplete=True)


def test_wrong_input_is_one_line(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clouds" / "sofas").mkdir(parents=True)
    trimesh.creation.box().export(tmp_path / "clouds" / "sofas" / "0.ply")
    here, out = str(tmp_path / "clouds"), str(tmp_path / "out")
    for words, name in (
        ([here, out, *WORDS], "--checkpoint"),
        ([here, out, "--checkpoint", tmp_path / "none", *WORDS], "none"),
        ([here, out, "--checkpoint", tmp_path, *WORDS], "network.safetensors"),
        ([here, out, "--checkpoint", trained / "parts", *WORDS], "found the category sofas of sofas/0.ply"),
        ([here, out, "--checkpoint", trained / "parts", "--category", "x", *WORDS], "found the category x"),
        ([here, out, "--checkpoint", trained / "frozen", "--category", "x", *WORDS], "for a network of classes"),
        ([here, out, "--checkpoint", trained / "frozen", "--split", "val", *WORDS], "found the split val"),
        ([here, out, "--checkpoint", trained / "frozen", "--dataset", "modelnet40_hdf5", *WORDS], here),
        ([tmp_path / "void", out, "--checkpoint", trained / "frozen", *WORDS], "void"),
    ):
        command_refuses(capsys, ["predict", *words], name)
    assert not (tmp_path / "out" / "predictions.json").exists()
