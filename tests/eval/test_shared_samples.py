"""Test data that are training data, too, are refused, unless asked for by name."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from crosspoint.cli.main import main
from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.modelnet import ModelNet
from crosspoint.datasets.rendered import RenderedClouds
from crosspoint.eval import EvaluationData
from crosspoint.eval.shared_samples import refuse_shared_clouds, refuse_shared_frames
from crosspoint.renderers import render_folder
from crosspoint.scene.datasets.build import open_scenes
from crosspoint.scene.datasets.folder_writing import write_split


def made_clouds(split: str, points: np.ndarray) -> Clouds:
    return Clouds(points.astype(np.float32), np.arange(len(points)) % 2, ["a", "b"], "toys", split)


def test_shared_clouds_are_counted_whatever_the_order_of_their_points(caplog: pytest.LogCaptureFixture) -> None:
    generator = np.random.default_rng(0)
    train, test = generator.normal(size=(40, 16, 3)), generator.normal(size=(20, 16, 3))
    refuse_shared_clouds(made_clouds("train", train), made_clouds("test", test))
    test[:2] = generator.permutation(train[[5, 9]], axis=1)  # as many as archives have twice
    with caplog.at_level(logging.WARNING, logger="crosspoint"):
        refuse_shared_clouds(made_clouds("train", train), made_clouds("test", test))
    assert caplog.messages == ["found 2 of 20 clouds of the split 'test' of toys in 'train', too: figures are too high"]
    sources = [str(i) for i in range(40)], [str(i) for i in range(37, 57)]  # three objects of both
    with pytest.raises(ValueError, match=r"found 3 of 20 clouds .* in 'train', too, .*--allow_overlap true"):
        refuse_shared_clouds(made_clouds("train", train), made_clouds("test", test), sources)
    refuse_shared_clouds(made_clouds("train", train), made_clouds("test", test), sources, allowed=True)


def test_equal_clouds_of_an_archive_are_told(caplog: pytest.LogCaptureFixture) -> None:
    points = np.random.default_rng(0).normal(size=(20, 16, 3))
    with caplog.at_level(logging.WARNING, logger="crosspoint"):
        refuse_shared_clouds(made_clouds("train", points), made_clouds("test", points[::-1]))
    assert caplog.messages == [
        "found 20 of 20 clouds of the split 'test' of toys in 'train', too: figures are too high"
    ]


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Meshes in ModelNet's layout, of which the test split are copies of the training split."""
    root = tmp_path_factory.mktemp("meshes")
    generator = np.random.default_rng(0)
    for name in ("ball", "box"):
        for number in range(4):
            mesh = trimesh.creation.icosphere(subdivisions=1) if name == "ball" else trimesh.creation.box()
            mesh.apply_scale(generator.uniform(0.5, 2, 3))
            for split in ("train", "test"):
                (root / name / split).mkdir(parents=True, exist_ok=True)
                mesh.export(root / name / split / f"{name}_{number + 10 * (split == 'test'):04d}.off")
    return root


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What a command says that ends with exit code 2."""
    assert main([*map(str, words)]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("protocol", ["linear", "knn", "finetune"])
def test_copies_of_meshes_are_seen_although_their_points_differ(
    protocol: str, copied: Path, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words: tuple[object, ...] = ("--checkpoint", place / "a0.safetensors", "--points", 40)
    words += ("--validation", 0) if protocol == "finetune" else ()
    found = refused(capsys, "evaluate", protocol, "--dataset", "modelnet", "--root", copied, *words)
    assert "found 8 of 8 clouds of the split 'test' of modelnet in 'train', too" in found


def test_what_tells_objects_apart(copied: Path, tmp_path: Path) -> None:
    render_folder(copied, tmp_path / "views", views=1, size=16, points=40, jobs=1)
    for dataset in (ModelNet(copied), RenderedClouds(tmp_path / "views")):
        train, test = ({*dataset.identities(split)} for split in ("train", "test"))
        assert train == test and len(train) == 8
        points = dataset.clouds("train", 40, 0).points, dataset.clouds("test", 40, 0).points
        assert not np.isin(points[0], points[1]).all()


def test_a_study_measures_copies_where_it_is_asked_to(
    copied: Path, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = EvaluationData("modelnet", copied, points=40, allow_overlap=True)
    data.refuse_overlap(data.clouds("train"), data.clouds("test"))
    words: tuple[Any, ...] = ("evaluate", "all", "--checkpoint", place / "a0.safetensors", "--protocols", "knn")
    words += ("--dataset", "modelnet", "--root", copied, "--out", tmp_path / "out", "--points", 40)
    assert "knn: found 8 of 8 clouds" in refused(capsys, *words)


def test_frames_in_both_splits_are_refused(tmp_path: Path) -> None:
    (tmp_path / "points").mkdir()
    (tmp_path / "calibration.yaml").write_text("cameras: []\n")
    for number in range(4):
        points = np.random.default_rng(number).random((50, 4), dtype=np.float32)
        (tmp_path / f"points/{number}.bin").write_bytes(points.tobytes())
    for split, names in {"train": "01", "val": "23", "both": "0123"}.items():
        write_split(tmp_path, split, [*names])
    train, val, both = (open_scenes("folder", tmp_path, split=split) for split in ("train", "val", "both"))
    refuse_shared_frames(train, val, ("train", "val"), allowed=False)
    with pytest.raises(ValueError, match=r"found 2 of 4 frames of the split 'both' of .* in 'train', too"):
        refuse_shared_frames(train, both, ("train", "both"), allowed=False)
    refuse_shared_frames(train, both, ("train", "both"), allowed=True)


def test_one_split_for_both_is_refused_where_frames_have_no_files() -> None:
    frames = open_scenes("synthetic", split="train", sequences=1, frames=1)
    with pytest.raises(ValueError, match=r"found 1 of 1 frames of the split 'train' .* in 'train', too"):
        refuse_shared_frames(frames, frames, ("train", "train"), allowed=False)


def test_other_meshes_of_the_same_names_are_measured(copied: Path, tmp_path: Path) -> None:
    shutil.copytree(copied, tmp_path / "other")
    for path in (tmp_path / "other").rglob("test/*.off"):
        trimesh.load_mesh(path).apply_scale([1, 1.5, 0.7]).export(path)
    data = EvaluationData("modelnet", tmp_path / "other", points=40)
    data.refuse_overlap(data.clouds("train"), data.clouds("test"))
