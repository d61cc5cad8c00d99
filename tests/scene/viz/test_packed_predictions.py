"""Predictions that unpack to far more than a frame needs."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crosspoint.scene.viz.predictions import frame_predictions
from tests.refusals import refused


def test_one_frame_of_many_takes_the_memory_of_one(
    tmp_path: Path, peak_memory: Callable[[Callable[[], object]], int]
) -> None:
    frames, points = 80, 100_000
    offsets = np.arange(frames + 1) * points
    predicted = np.zeros(frames * points, dtype=np.int64)  # 64 MB, packed into 64 kB
    predicted[-3:] = [1, 2, 3]
    np.savez_compressed(tmp_path / "predictions.npz", predicted=predicted, offsets=offsets)
    del predicted
    found: list[np.ndarray] = []
    used = peak_memory(lambda: found.append(frame_predictions(tmp_path, frames - 1, frames=frames, points=points)))
    assert found[0][-3:].tolist() == [1, 2, 3] and found[0].dtype == np.int64
    assert used < 16e6


@pytest.mark.parametrize("kind", ["<c8", "<f4", "|S3"])
def test_answers_of_another_type(tmp_path: Path, kind: str) -> None:
    np.savez(tmp_path / "predictions.npz", predicted=np.zeros(6, kind), offsets=np.array([0, 6]))
    refused(lambda: frame_predictions(tmp_path, 0, frames=1, points=6), "predictions.npz")


def test_a_header_that_lies(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "predictions.npz", "w") as archive:
        for name, shape in (("predicted", "(900000000000,)"), ("offsets", "(2,)")):
            header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
            content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
            archive.writestr(f"{name}.npy", content + np.array([0, 900000000000]).tobytes())
    refused(lambda: frame_predictions(tmp_path, 0, frames=1, points=900000000000), "predictions.npz")
