from __future__ import annotations

from pathlib import Path

import pytest
import torch

from crosspoint.checkpoints.files import read_checkpoint
from tests.crosspoint.toys import toy_run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": 10**9}, "found the epoch 1000000000 in .*last.ckpt, expected one from 0 to 1"),
        ({"epoch": "x"}, "found the epoch x"),
        ({"epoch": -1}, "found the epoch -1"),
        ({"loops": None}, "found no progress of the training"),
    ],
)
def test_a_checkpoint_with_an_impossible_progress_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    last = tmp_path / "run" / "last.ckpt"
    toy_run(tmp_path / "run", training={"epochs": 2})
    torch.save({**read_checkpoint(last), "epoch": 0, **change}, last)
    with pytest.raises(ValueError, match=message):
        toy_run(tmp_path / "run", training={"epochs": 2}, resume=True)
