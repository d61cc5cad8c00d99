"""Weights by name: folders, the table, the hub, cards; and what is said without a network."""

from __future__ import annotations

import hashlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from crosspoint import DGCNN, Inputs, load_encoder, load_pretrained, save_encoder
from crosspoint.cli.main import main
from crosspoint.hub import published_models, push_to_hub, save_pretrained, table
from tests.refusals import command_refuses

COMMAND = "crosspoint pretrain configs/mine.yaml"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_encoder(DGCNN(k=4, channels=[8], embedding=8), tmp_path / "encoder.safetensors", Inputs(points=64, k=4))
    return tmp_path / "encoder.safetensors"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    cell = {"mean": 87.14, "deviation": 0.26, "runs": 3}
    rows = [
        {"name": "A", "cells": {"linear SVM | all": cell}, "source": None},
        {
            "name": "random initialization (DGCNN)",
            "cells": {"linear SVM | all": {**cell, "mean": 50.0}},
            "source": None,
        },
        {"name": "A", "cells": {"linear SVM | all": {**cell, "mean": 91.0}}, "source": "a paper"},
    ]
    path = tmp_path / "results.json"
    path.write_text(
        json.dumps({"table": rows, "deviation": "population", "settings": {"dataset": "modelnet"}, "runs": []})
    )
    return path


def same(first: Any, second: Any) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_folder_is_read_as_the_file_was(source: Path, results: Path, tmp_path: Path) -> None:
    first = load_pretrained(source)
    folder = save_pretrained(first, tmp_path / "mine", results=results, license="mit", command=COMMAND)
    again = load_pretrained(folder)
    assert again.inputs == first.inputs and same(again.encoder, first.encoder)
    assert same(load_encoder(str(folder)), first.encoder)
    assert json.loads((folder / "config.json").read_text()) == first.record.as_dict()
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "config.json", "README.md"}
    _, front, text = (folder / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "mit"
    assert "| linear SVM \\| all | 87.1 ± 0.3 | 3 |" in text and "91.0" not in text and "50.0" not in text
    assert COMMAND in text and "| its k | 4 |" in text and f"# DGCNN, {weights(first)} weights" in text
    with pytest.raises(ValueError, match=r"found .*mine with files in it, expected a new folder"):
        save_pretrained(first, folder)


def weights(pretrained: Any) -> int:
    return sum(weight.numel() for weight in pretrained.encoder.parameters())


def test_a_card_needs_a_row_that_is_there(source: Path, results: Path, tmp_path: Path) -> None:
    first = load_pretrained(source)
    with pytest.raises(ValueError, match=r"found the rows A, random .*expected one of them to be named: give row"):
        save_pretrained(first, tmp_path / "mine", results=results, row="B")
    with pytest.raises(FileNotFoundError, match=r"found no file none\.json"):
        save_pretrained(first, tmp_path / "mine", results="none.json")
    assert not (tmp_path / "mine").exists()
    text = (save_pretrained(first, tmp_path / "mine") / "README.md").read_text()
    assert "## Figures" not in text and "None is given" in text


def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, sha256: str) -> None:
    entry = {
        "name": "dgcnn-toy",
        "file": file,
        "sha256": sha256,
        "license": "mit",
        "command": COMMAND,
        "figures": {"svm": 87.5},
    }
    (tmp_path / "models.json").write_text(json.dumps({"models": [entry]}))
    monkeypatch.setattr(table, "TABLE", tmp_path / "models.json")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_name_of_the_table_is_fetched_once_and_checked(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    published(monkeypatch, tmp_path, source.as_uri(), digest)
    expected = load_encoder(source)
    assert same(load_encoder("dgcnn-toy"), expected)
    content = source.read_bytes()
    source.unlink()  # no network any more
    assert same(load_pretrained("dgcnn-toy").encoder, expected)
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    assert "dgcnn-toy (mit): svm 87.5" in printed and digest in printed and COMMAND in printed
    (kept,) = (tmp_path / "cache").rglob("*.safetensors")
    kept.write_bytes(content[:-1] + b"x")
    with pytest.raises(ValueError, match=r"found a file of sha256 .*that of dgcnn-toy: remove it"):
        load_pretrained("dgcnn-toy")


def test_a_name_without_a_network_is_one_line(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    published(monkeypatch, tmp_path, (tmp_path / "gone").as_uri(), "0" * 64)
    command_refuses(capsys, ["export", "dgcnn-toy", tmp_path / "a.safetensors"], "expected a network for the weights")
    command_refuses(capsys, ["export", "dgcnn-other", tmp_path / "a.safetensors"], "found no checkpoint at dgcnn-other")


class Hub(types.ModuleType):
    """What is used of huggingface_hub, with a folder in the place of the network."""

    def __init__(self, folder: Path) -> None:
        super().__init__("huggingface_hub")
        self.folder, self.private = folder, None

    def hf_hub_download(self, repo: str, name: str, revision: str | None = None) -> str:
        path = self.folder / repo / (revision or "main") / name
        if not path.is_file():
            raise RuntimeError("no such\nrepository")
        return str(path)

    def HfApi(self) -> Hub:
        return self

    def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> None:
        assert exist_ok
        self.private = private

    def upload_folder(self, *, repo_id: str, folder_path: str, allow_patterns: list[str]) -> None:
        place = self.folder / repo_id / "main"
        place.mkdir(parents=True)
        for name in allow_patterns:
            (place / name).write_bytes((Path(folder_path) / name).read_bytes())


def test_what_is_sent_to_the_hub_is_read_from_there(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = Hub(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    first = load_pretrained(source)
    folder = save_pretrained(first, tmp_path / "mine")
    address = push_to_hub(folder, "someone/mine")
    assert address == "hf://someone/mine" and hub.private is True
    assert same(load_pretrained(address).encoder, first.encoder)
    assert same(load_pretrained(Path("hf://someone/mine@main")).encoder, first.encoder)  # a command makes a Path of it
    command_refuses(
        capsys, ["export", "hf://someone/other", tmp_path / "a.safetensors"], "model.safetensors of someone/other"
    )
    with pytest.raises(ValueError, match="found hf://mine, expected hf://owner/repo"):
        load_pretrained("hf://mine")
    with pytest.raises(FileNotFoundError, match=r"found no model\.safetensors in .*empty"):
        push_to_hub(tmp_path / "empty", "someone/mine")
    monkeypatch.setattr(hub, "upload_folder", lambda **named: hub.hf_hub_download("a/b", "c"))
    with pytest.raises(OSError, match=r"cannot be written to \(no such repository\)"):
        push_to_hub(folder, "someone/mine")


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install 'crosspoint3d\[hub\]'"):
        load_pretrained("hf://owner/repo")


def test_the_table_of_the_package_is_sound(capsys: pytest.CaptureFixture[str]) -> None:
    models = published_models()
    assert len({model.name for model in models}) == len(models)
    assert all(len(model.sha256) == 64 and model.file.startswith(("https://", "hf://", "wheel:")) for model in models)
    assert main(["models"]) == 0
    assert capsys.readouterr().out
