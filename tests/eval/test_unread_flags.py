"""Flags that the chosen protocol does not read are errors, on the command line and in a study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from crosspoint.cli.main import main
from crosspoint.eval import EvaluationData
from crosspoint.eval.protocols.folds import FOLDS, Folds
from crosspoint.eval.protocols.knn import Knn
from crosspoint.eval.protocols.partseg import PartSegmentation
from crosspoint.eval.study.config import StudyConfig


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["evaluate", *map(str, words)]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("protocol", "flag"),
    [
        ("retrieval", "jobs"),
        ("crossmodal", "cache"),
        ("crossmodal", "jobs"),
        ("finetune", "cache"),
        ("partseg", "jobs"),
        ("folds", "jobs"),
        ("linear", "save_dir"),
    ],
)
def test_a_command_lacks_what_it_does_not_read(protocol: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--checkpoint", "x.ckpt", "--dataset", "rendered", "--root", ".")[: 2 if protocol == "folds" else None]
    assert f"found the unknown key '{flag}'" in refused(capsys, protocol, *words, f"--{flag}", 3)


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (Knn(nearest=20), r"found nearest 20 for the validated variant.*--variant fixed"),
        (Folds(Path("."), recipe=replace(FOLDS, epochs=3)), r"found recipe for mode svm.*--mode finetuned"),
        (Folds(Path("."), mode="scratch", C=2.0), r"found C for mode scratch.*--mode svm"),
        (PartSegmentation(part_points=100), r"found part_points 100 without --parts.*--points"),
    ],
)
def test_a_setting_that_another_one_rules_out(protocol: Knn | Folds | PartSegmentation, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        protocol.check_settings(EvaluationData("shapenetpart", Path(".")))
    Knn(variant="fixed", nearest=3).check_settings(EvaluationData())


def test_neighbors_for_a_network_without_any(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--checkpoint", place / "b.safetensors", "--dataset", "modelnet40_hdf5", "--root", place / "clouds")
    assert "found k 5 for a PointNet" in refused(capsys, "linear", *words, "--k", 5)


def test_a_study_refuses_what_none_of_its_protocols_reads(
    study: StudyConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("all", "--checkpoint", "x.ckpt", "--dataset", "rendered", "--root", ".", "--out", tmp_path / "out")
    found = refused(capsys, *words, "--protocols", "linear,knn", "--epochs", 3)
    assert "found --epochs, which linear, knn do not read, expected it for finetune, partseg" in found
    assert "semseg, semseg_mlp, semseg_finetuned, detection, panoptic alone: leave it out" in found
    with pytest.raises(ValueError, match=r"found skip 2 for linear, knn, retrieval, fewshot, which do not read it"):
        replace(study, skip=2)
