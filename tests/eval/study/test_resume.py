from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from crosspoint import save_encoder
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.knn import Knn
from crosspoint.eval.protocols.named import named_protocols
from crosspoint.eval.protocols.retrieval import Retrieval
from crosspoint.eval.report.report_model import Report
from crosspoint.eval.results import Result
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.study.study import report_study


def interrupting(
    measure: Callable[[Knn, EvaluationRun], Any], calls: list[str], stop_at: int
) -> Callable[[Knn, EvaluationRun], Any]:
    def measured(self: Knn, run: EvaluationRun) -> Any:
        assert run.results_dir is not None
        calls.append(f"{run.results_dir.parent.name} {run.seed}")
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        return measure(self, run)

    return measured


def test_interrupted_and_resumed_is_as_uninterrupted(
    study: StudyConfig, drawn: list[Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = replace(study, out=tmp_path / "straight")
    assert report_study(straight) == 0
    calls: list[str] = []
    knn = Knn.run
    monkeypatch.setattr(Knn, "run", interrupting(knn, calls, stop_at=2))
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
    monkeypatch.setattr(Knn, "run", interrupting(knn, calls, stop_at=0))
    assert report_study(replace(study)) == 0
    random = "random-initialization"
    assert calls == ["DGCNN 6", "b 5", f"{random}-DGCNN 5", f"{random}-DGCNN 6", f"{random}-PointNet 5"]
    assert {path: path.read_bytes() for path in kept} == before
    for name in ("results.json", "table.md", "table.tex"):
        assert (study.out / name).read_bytes() == (straight.out / name).read_bytes()


def test_another_study_in_the_folder_is_refused(
    study: StudyConfig, drawn: list[Report], place: Path, tmp_path: Path, network: Callable[[str, int], torch.nn.Module]
) -> None:
    study = replace(study, protocols=[Retrieval()], random_init=False)
    assert report_study(study) == 0
    before = {path: path.read_bytes() for path in study.out.rglob("*") if path.is_file()}
    for changed, message in (
        ({"points": 30}, "points: 40 then, 30 now"),
        ({"protocols": [Knn()]}, "protocols: retrieval then, knn now"),
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
    with pytest.raises(ValueError, match=r"found \[1\] in .*settings.json, expected keys and values"):
        report_study(replace(other))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    with pytest.raises(ValueError, match="without a study, expected a new folder"):
        report_study(replace(study, out=tmp_path / "full"))


def test_a_protocol_that_fails_on_the_way_leaves_the_others(
    study: StudyConfig,
    drawn: list[Report],
    monkeypatch: pytest.MonkeyPatch,
    results: Callable[[StudyConfig], dict[str, Any]],
) -> None:
    study = replace(study, protocols=named_protocols("retrieval,knn"), random_init=False)
    knn = Knn.run

    def failing(self: Knn, run: EvaluationRun) -> Any:
        if run.checkpoint.path.stem == "b":
            raise ValueError("found no luck,\nexpected some")
        return knn(self, run)

    monkeypatch.setattr(Knn, "run", failing)
    assert report_study(study) == 1
    found = results(study)
    assert found["failed"] == [{"method": "b", "seed": 5, "protocol": "knn", "reason": "found no luck, expected some"}]
    rows = {row["name"]: row["cells"] for row in found["table"]}
    assert list(rows["b"]) == ["retrieval mAP, clouds"]
    assert len(rows["DGCNN"]) == 2
    line = next(line for line in (study.out / "table.md").read_text().splitlines() if line.startswith("| b "))
    assert line.endswith("|  |")
    monkeypatch.setattr(Knn, "run", knn)
    assert report_study(replace(study)) == 0
    assert results(study)["failed"] == []
