"""The record beside the weights of a trained network, and what is said of files that have none or a damaged one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from crosspoint import DGCNN, load_pretrained
from crosspoint.checkpoints.record import NETWORK_KEY
from crosspoint.datasets.procedural.shapes import FAMILIES, shapes_clouds
from crosspoint.eval import load_network
from crosspoint.eval.supervised.classification import Classifier, classification_head
from crosspoint.eval.supervised.cloud_training import save_network, save_trained
from crosspoint.eval.supervised.network_record import NetworkRecord, frames_record
from crosspoint.eval.supervised.segmenter import Segmenter
from tests.eval.supervised.yard import CLASSES, VOXELS, Yard, tiny
from tests.refusals import DEEP, refused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A classifier of three families, as the protocol saves it."""
    torch.manual_seed(0)
    network = Classifier(DGCNN(k=4, channels=[8], embedding=8), classification_head(16, 3, 0.5))
    clouds = shapes_clouds("train", 1, points=32, families=FAMILIES[:3])
    save_trained(tmp_path, network, clouds, "classes", {"kind": "mlp", "dropout": 0.5}, predicted=np.zeros(3))
    return tmp_path


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The same weights with another record."""
    weights, record = load_file(folder / "network.safetensors"), load_network(folder).record.as_dict()
    change(record)
    save_file(weights, folder / "network.safetensors", {NETWORK_KEY: json.dumps(record)})
    return folder / "network.safetensors"


def test_a_network_comes_back_as_it_was_saved(folder: Path) -> None:
    found = load_network(folder)
    record = found.record
    assert (record.task, record.classes, record.data) == ("classes", list(FAMILIES[:3]), "shapes")
    assert record.inputs is not None and (record.inputs.points, record.inputs.k) == (32, 4)
    assert NetworkRecord.of(record.as_dict(), "here") == record
    assert not found.network.training
    stored = load_file(folder / "network.safetensors")
    own = found.network.state_dict()
    assert own.keys() == stored.keys() and all(torch.equal(own[name], stored[name]) for name in own)


def test_a_network_of_frames_knows_its_voxels_and_the_numbers_of_its_classes(tmp_path: Path) -> None:
    network = Segmenter(tiny(), nn.Linear(12, 4))
    record = frames_record("points", network.encoder, VOXELS, Yard(1), {"standardize": False})
    save_network(tmp_path, network, record, predicted=np.zeros(1))
    found = load_network(tmp_path / "network.safetensors")
    assert found.voxels == VOXELS and found.record.numbers == [1, 2, 3, 4] and found.record.classes == CLASSES
    assert isinstance(found.network, Segmenter) and found.encoder.config == tiny().config
    pretrained = load_pretrained(tmp_path / "network.safetensors")  # its encoder alone
    assert pretrained.inputs == found.inputs
    own, below = pretrained.encoder.state_dict(), found.encoder.state_dict()
    assert all(torch.equal(own[name], below[name]) for name in below)


def test_a_file_of_an_earlier_version_says_what_is_missing(folder: Path) -> None:
    weights = load_file(folder / "network.safetensors")
    save_file(weights, folder / "network.safetensors")
    with pytest.raises(ValueError, match=r"found no record in .*, expected its classes.*: run the training again"):
        load_network(folder)


def test_depth_and_unknown_encoders_are_refused(folder: Path) -> None:
    path = rewrite(folder, lambda record: record.update(task="depth"))
    with pytest.raises(ValueError, match=r"found a network that predicts depth in .*, expected one of clouds or LiDAR"):
        load_network(path)
    encoder = {"class_path": "torch.nn.Linear", "init_args": {}}
    save_file(
        load_file(path), path, {NETWORK_KEY: json.dumps({**_record(path), "task": "classes", "encoder": encoder})}
    )
    refused(lambda: load_network(path), "torch.nn.Linear")


def _record(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return dict(json.loads(file.metadata()[NETWORK_KEY]))


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(format=9),
        lambda record: record.update(task="dreams"),
        lambda record: record.pop("classes"),
        lambda record: record.update(classes=[]),
        lambda record: record.update(classes=["a", "b"]),
        lambda record: record.update(classes=["a"] * 4),
        lambda record: record.update(numbers=[1]),
        lambda record: record.update(inputs=None),
        lambda record: record["inputs"].update(points=-1),
        lambda record: record.update(head={}),
        lambda record: record["head"].update(kind="deep"),
        lambda record: record["head"].update(dropout=2.0),
        lambda record: record["head"].update(kind="linear"),
        lambda record: record["encoder"]["init_args"].update(embedding=10**9),
        lambda record: record["encoder"]["init_args"].update(channels=[8, 8]),
        lambda record: record.update(task="parts", head={"dropout": 0.5, "parts": 2, "parts_of_category": [[5]] * 3}),
        lambda record: record.update(task="points", head={"standardize": True}),
        lambda record: record.update(unknown=1),
    ],
)
def test_damaged_records_are_refused_in_one_line(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = rewrite(folder, change)
    refused(lambda: load_network(path), path.name)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", DEEP])
def test_a_record_that_is_no_record_is_refused(folder: Path, text: str) -> None:
    path = folder / "network.safetensors"
    save_file(load_file(path), path, {NETWORK_KEY: text})
    refused(lambda: load_network(path), path.name)
