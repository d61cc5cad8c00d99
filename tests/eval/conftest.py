from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from crosspoint import DGCNN, PointNet, save_encoder
from crosspoint.eval.protocols.few_shot import FewShot
from crosspoint.eval.protocols.knn import Knn
from crosspoint.eval.protocols.linear_svm import Linear
from crosspoint.eval.protocols.retrieval import Retrieval
from crosspoint.eval.report.report_model import Cell, Curve, Embedding, Report, Retrieved, Row, Section, Segmented
from crosspoint.eval.study.config import StudyConfig
from crosspoint.models.dgcnn_partseg import PartSegDGCNN
from crosspoint.renderers import render_folder

CLASSES = ("ball", "plate", "rod")  # of the toy study
TRAIN, TEST, POINTS = 8, 5, 40  # clouds of each class, points of each cloud
COLORS = np.random.default_rng(0).integers(0, 256, (12, 3))  # one for each object of the toy report


def files_of(root: Path) -> list[Path]:
    return sorted(root.rglob("*"))


def toy_picture(index: int, side: int = 8) -> bytes:
    """One color all over, by which an object is known again."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), tuple(COLORS[index].tolist())).save(file, "PNG")
    return file.getvalue()


def toy_sections() -> list[Section]:
    labels = np.repeat(np.arange(3), 4)
    predicted = labels.copy()
    predicted[[3, 7]] = [1, 2]
    grid = np.stack(np.meshgrid(np.arange(4.0), np.arange(3.0)), axis=-1).reshape(-1, 2) * 10
    pictures = [toy_picture(index) for index in range(12)]
    embedding = Embedding(grid, labels, predicted, pictures)
    cloud = np.random.default_rng(1).uniform(-1, 1, (50, 3)).astype(np.float32)
    parts = (cloud[:, 1] > 0).astype(np.int64) + 7
    guess = np.where(cloud[:, 1] > 0.2, 8, 7)
    strip = Retrieved(pictures[0], "chair", [(pictures[1], "chair"), (pictures[5], "sofa")])
    curve = Curve("loss", [1, 2, 3, 4], [3.0, float("nan"), 1.5, 1.25])
    whole = Section("CrossPoint", embedding, [strip], [Segmented("lamp", cloud, parts, guess)], [curve])
    return [whole, Section("random", Embedding(grid[::-1], labels, labels, pictures))]


@pytest.fixture
def make_report() -> Callable[..., Report]:
    """A small report that has everything, with any field replaced."""

    def make(**changes: object) -> Report:
        rows = [
            Row("CrossPoint", {"linear SVM, toys": Cell(83.3333, 1.25, 3), "kNN": Cell(75.0)}),
            Row("random", {"linear SVM, toys": Cell(50.0)}),
            Row("Someone", {"kNN": Cell(91.2)}, source="Someone et al., 2022, table 1"),
        ]
        report = {
            "title": "Toys",
            "classes": ["chair", "sofa", "table"],
            "columns": ["linear SVM, toys", "kNN"],
            "rows": rows,
            "sections": toy_sections(),
            "facts": {"seed": "0", "10": "a name that looks like a number"},
        }
        return Report(**{**report, **changes})

    return make


@pytest.fixture(scope="session")
def write_clouds() -> Callable[..., None]:
    """Writes ellipsoids of three proportions, turned at random, as ModelNet40's archive; counts per split and class."""

    def write(root: Path, *, points: int = POINTS, **splits: int) -> None:
        root.mkdir()
        generator = np.random.default_rng(0)
        axes = np.array([[1, 1, 1], [1, 0.25, 1], [0.3, 1, 0.5]])
        for split, count in splits.items():
            labels = np.repeat(np.arange(len(CLASSES)), count)
            clouds = generator.normal(size=(len(labels), points, 3))
            clouds *= (axes[labels] * generator.uniform(0.5, 1.5, (len(labels), 3)))[:, None]
            order = generator.permutation(len(labels))
            with h5py.File(root / f"ply_data_{split}0.h5", "w") as file:
                file["data"], file["label"] = clouds[order].astype(np.float32), labels[order][:, None]
        (root / "shape_names.txt").write_text("\n".join(CLASSES))

    return write


@pytest.fixture(scope="session")
def network() -> Callable[[str, int], torch.nn.Module]:
    """Makes a small network of a kind from a seed."""

    def make(kind: str, seed: int) -> torch.nn.Module:
        torch.manual_seed(seed)
        made = {
            "dgcnn": lambda: DGCNN(k=4, channels=[8, 8], embedding=8),
            "pointnet": lambda: PointNet(embedding=16),
            "parts": lambda: PartSegDGCNN(k=4),
        }
        return made[kind]()

    return make


@pytest.fixture(scope="session")
def place(
    tmp_path_factory: pytest.TempPathFactory,
    write_clouds: Callable[..., None],
    network: Callable[[str, int], torch.nn.Module],
) -> Iterator[Path]:
    """Clouds, and exports of two DGCNNs, a PointNet and a part-segmentation network."""
    root = tmp_path_factory.mktemp("study")
    write_clouds(root / "clouds", train=TRAIN, test=TEST)
    for name, kind, seed in (("a0", "dgcnn", 0), ("a1", "dgcnn", 1), ("b", "pointnet", 2), ("parts", "parts", 3)):
        save_encoder(network(kind, seed), root / f"{name}.safetensors")
    files = files_of(root)
    yield root
    assert files_of(root) == files, "a test wrote into the folder that all share: let it copy the folder"


@pytest.fixture
def study(place: Path, tmp_path: Path) -> StudyConfig:
    """Two methods, one with two seeds, and all that needs no other data."""
    return StudyConfig(
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
        protocols=[Linear(), Knn(), Retrieval(), FewShot(ways=[2, 3], shots=[2], queries=4, runs=3)],
        seed=5,
        device="cpu",
        jobs=1,
    )


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Report]:
    """Reports that would have been drawn: pictures have tests of their own."""
    reports: list[Report] = []
    monkeypatch.setattr("crosspoint.eval.report.page.write_page", lambda report, path: path.write_text(report.title))
    monkeypatch.setattr("crosspoint.eval.report.figures.save_figures", lambda report, folder: reports.append(report))
    return reports


@pytest.fixture
def results() -> Callable[[StudyConfig], dict[str, Any]]:
    """Reads the results that a study has written."""

    def read(study: StudyConfig) -> dict[str, Any]:
        return json.loads((study.out / "results.json").read_text())

    return read


@pytest.fixture(scope="session")
def views(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
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
    files = files_of(out)
    yield out
    assert files_of(out) == files, "a test wrote into the folder that all share: let it copy the folder"
