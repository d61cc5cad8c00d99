"""Clouds at evaluation are those of training unless the user says otherwise, and then a warning names both."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from crosspoint import DGCNN, Inputs, PointEncoder, PointNet, save_encoder
from crosspoint.eval.targets import CloudTarget, EncoderTarget


def export(path: Path, encoder: PointEncoder, points: int | None) -> Path:
    save_encoder(encoder, path, Inputs(points=points, k=encoder.config.get("k") if points else None))
    return path


@pytest.fixture
def dgcnn(tmp_path: Path) -> Path:
    return export(tmp_path / "dgcnn.safetensors", DGCNN(k=9, channels=[4, 4], embedding=8), 256)


def test_points_are_those_of_training(tmp_path: Path, dgcnn: Path) -> None:
    assert EncoderTarget(dgcnn).open().data.points == 256
    assert EncoderTarget(dgcnn, points=300).open().data.points == 300
    assert (
        EncoderTarget(dgcnn, random_init=True).open().setting()["points"] == 256
    )  # the same clouds for both rows of a table
    unknown = export(tmp_path / "unknown.safetensors", PointNet(embedding=8), None)
    assert EncoderTarget(unknown).open().data.points == 1024


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"points": 256, "k": 9}, []),
        (
            {"points": 1024},
            ["trained on clouds of 256 points and k 9, and is measured on clouds of 1,024 points and k 9"],
        ),
        ({"k": 20}, ["trained on clouds of 256 points and k 9, and is measured on clouds of 256 points and k 20"]),
        ({"normalize": False}, ["in the unit sphere, and is measured on clouds as stored"]),
        ({"points": 64, "random_init": True}, []),
    ],
)
def test_a_mismatch_is_a_warning_that_names_both(
    changes: dict[str, Any], said: list[str], dgcnn: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="crosspoint"):
        EncoderTarget(dgcnn, **changes).open()
    assert len(caplog.messages) == len(said)
    assert all(text in found and str(dgcnn) in found for text, found in zip(said, caplog.messages, strict=True))


def test_files_that_do_not_say_bring_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    EncoderTarget(
        export(tmp_path / "unknown.safetensors", PointNet(embedding=8), None), points=64, normalize=False
    ).open()
    EncoderTarget(export(tmp_path / "pointnet.safetensors", PointNet(embedding=8), 64), points=64).open()
    assert not caplog.messages


def test_random_init_is_another_network_of_the_same_kind(tmp_path: Path) -> None:
    encoder = DGCNN(channels=[8], embedding=8)
    file = tmp_path / "encoder.safetensors"
    save_encoder(encoder, file)
    same, first, again, other = (
        CloudTarget(file, "rendered", tmp_path, random_init=random_init, seed=seed).open().encoder
        for random_init, seed in ((False, 0), (True, 0), (True, 0), (True, 1))
    )
    assert torch.equal(same.embed.linear.weight, encoder.embed.linear.weight)
    assert torch.equal(first.embed.linear.weight, again.embed.linear.weight)
    assert not torch.equal(first.embed.linear.weight, other.embed.linear.weight)
    assert first.config == encoder.config
