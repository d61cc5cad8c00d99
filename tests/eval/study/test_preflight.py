from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from crosspoint.eval.protocols.crossmodal import Crossmodal
from crosspoint.eval.protocols.few_shot import FewShot
from crosspoint.eval.protocols.folds import Folds
from crosspoint.eval.protocols.linear_svm import Linear
from crosspoint.eval.protocols.named import named_protocols
from crosspoint.eval.protocols.partseg import PartSegmentation
from crosspoint.eval.protocols.semseg import SemanticSegmentation
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.study.study import report_study

TASKS = FewShot(ways=[2, 3], shots=[2], queries=4, runs=3)
REFUSED = [
    ({"protocols": []}, "expected at least one"),
    ({"protocols": [Linear(), Linear(variant="paper")]}, "each once"),
    ({"protocols": [Linear(), SemanticSegmentation()]}, "found protocols for points and for voxels in linear, semseg"),
    ({"protocols": [Folds()]}, "found no --folds"),
    ({"protocols": [PartSegmentation()]}, "found no --parts"),
    ({"protocols": [Crossmodal()]}, "found no --rendered"),
    ({"protocols": [replace(TASKS, queries=7)]}, "fewshot: found 8 samples of class 0 .* expected at least 9"),
    ({"protocols": [replace(TASKS, ways=4)]}, "fewshot: found 3 classes in the pool, expected at least 4"),
    ({"protocols": [replace(TASKS, ways=[])]}, r"fewshot: found ways \[\] and shots \[2\], expected some of both"),
    ({"protocols": [replace(TASKS, shots=[2, 2])]}, "each once"),
    ({"root": None}, "found no --root, expected the folder of modelnet40_hdf5"),
    ({"points": 3}, "found clouds of 3 points, expected at least k = 4"),
    ({"checkpoint": []}, "found no checkpoint"),
    ({"checkpoint": ["A=nowhere.ckpt"]}, "found no checkpoint at nowhere.ckpt"),
]


@pytest.mark.parametrize(("changed", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_refused_before_anything_is_written(study: StudyConfig, changed: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        report_study(replace(study, **changed))
    assert not study.out.exists()


def test_small_splits_are_refused(study: StudyConfig, tmp_path: Path, write_clouds: Callable[..., None]) -> None:
    write_clouds(tmp_path / "few", train=2, test=3)
    with pytest.raises(ValueError, match="retrieval: found 8 other clouds, expected at least 10"):
        report_study(replace(study, root=tmp_path / "few", protocols=named_protocols("linear,retrieval")))
    with h5py.File(tmp_path / "few" / "ply_data_train0.h5", "a") as file:
        file["label"][...] = np.arange(6)[:, None] % 3 // 2  # none of class 2
    with pytest.raises(ValueError, match=r"linear: found test labels \[2\] that are absent from training"):
        report_study(replace(study, root=tmp_path / "few", protocols=[Linear()]))
