from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.datasets.readers import (
    find_sweeps,
    read_images,
    read_labels,
    read_lines,
    read_sweep,
    subsample,
    to_classes,
)


def returns(count: int = 9, columns: int = 4) -> np.ndarray:
    rng = np.random.default_rng(0)
    rows = rng.uniform(1.0, 20.0, (count, columns)).astype(np.float32)
    rows[:, 3] = rng.uniform(0.0, 1.0, count)
    return rows


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = returns(columns=5)
    rows.tofile(tmp_path / "a.bin")
    sweep = read_sweep(tmp_path / "a.bin", columns=5)
    assert np.array_equal(sweep.points, rows[:, :3]) and np.array_equal(sweep.intensity, rows[:, 3])
    assert np.array_equal(sweep.others, rows[:, 4:])
    assert sweep.points.dtype == sweep.intensity.dtype == sweep.others.dtype == torch.float32
    assert sweep.kept.all()


def test_returns_without_a_position_go_with_their_labels(tmp_path: Path) -> None:
    rows = returns()
    rows[1, 0], rows[3, 3], rows[5, :3], rows[7, 2] = np.nan, np.nan, 0.0, np.inf
    rows[2, :2] = 0.0  # straight above the sensor
    rows.tofile(tmp_path / "a.bin")
    np.arange(9, dtype=np.uint32).tofile(tmp_path / "a.label")
    sweep = read_sweep(tmp_path / "a.bin")
    assert np.array_equal(sweep.points, rows[[0, 2, 4, 6, 8], :3])
    assert np.array_equal(sweep.intensity, rows[[0, 2, 4, 6, 8], 3])
    assert read_labels(tmp_path / "a.label", sweep.kept).tolist() == [0, 2, 4, 6, 8]


def test_intensities_come_to_one(tmp_path: Path) -> None:
    rows = returns()
    rows[:, 3] = [0, 51, 102, 255, 300, 25.5, 0, 0, 0]
    rows.tofile(tmp_path / "a.bin")
    intensity = read_sweep(tmp_path / "a.bin", full_scale=255.0).intensity
    assert np.allclose(intensity, [0, 0.2, 0.4, 1, 1, 0.1, 0, 0, 0])
    rows[:, 3] *= 100
    rows[:, 3] += 256
    rows.tofile(tmp_path / "a.bin")
    with pytest.raises(ValueError, match=r"found intensities up to 30256 .* expected most within 0…255: give"):
        read_sweep(tmp_path / "a.bin", full_scale=255.0)


def test_broken_sweeps_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with pytest.raises(FileNotFoundError, match=r"found no file .*a.bin, expected the sweep"):
        read_sweep(path)
    path.write_bytes(returns().tobytes()[:-4])
    with pytest.raises(ValueError, match=r"found 140 bytes .* multiple of 16 .* cut off"):
        read_sweep(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"found 0 bytes"):
        read_sweep(path)
    np.zeros((5, 4), dtype=np.float32).tofile(path)
    with pytest.raises(ValueError, match=r"found no return with a position among 5"):
        read_sweep(path)
    np.random.default_rng(0).uniform(1, 9, (40, 2)).tofile(path)  # float64
    with pytest.raises(ValueError, match=r"found a coordinate of .* is it float32"):
        read_sweep(path)


def test_broken_labels_are_refused(tmp_path: Path) -> None:
    path, kept = tmp_path / "a.label", np.ones(9, dtype=bool)
    with pytest.raises(FileNotFoundError, match=r"found no file"):
        read_labels(path, kept)
    np.zeros(8, dtype=np.uint32).tofile(path)
    with pytest.raises(ValueError, match=r"found 8 labels in .* expected 9"):
        read_labels(path, kept)
    assert len(read_labels(path, np.ones(32, dtype=bool), "u1")) == 32


def test_labels_become_classes(tmp_path: Path) -> None:
    classes = {0: IGNORED, 7: 0, 300: 1}
    assert to_classes(np.array([7, 0, 300, 7]), classes, tmp_path).tolist() == [0, IGNORED, 1, 0]
    for label in (1, 301, 65535):
        with pytest.raises(ValueError, match=f"found the label {label} in .* expected one of: 0, 7, 300"):
            to_classes(np.array([7, label]), classes, tmp_path)


def test_images_of_any_mode_become_rgb(tmp_path: Path) -> None:
    colors = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(colors).save(tmp_path / "a.png")
    Image.fromarray(colors[:, :, 0]).save(tmp_path / "b.png")
    images = read_images([tmp_path / "a.png", tmp_path / "b.png"]).numpy()
    assert np.array_equal(images[0], colors.transpose(2, 0, 1))
    assert np.array_equal(images[1], np.repeat(colors[None, :, :, 0], 3, axis=0))


def test_broken_images_are_refused(tmp_path: Path) -> None:
    whole, path = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(whole)
    with pytest.raises(FileNotFoundError, match=r"found no file .*b.png"):
        read_images([whole, path])
    path.write_bytes(whole.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"found an image that cannot be read, .*b.png"):
        read_images([path])
    Image.new("RGB", (60, 41)).save(path)
    with pytest.raises(ValueError, match=r"found an image of 41×60 pixels, .*b.png, expected 40×60"):
        read_images([whole, path])
    with pytest.raises(ValueError, match=r"expected 41×60"):
        read_images([whole], (41, 60))


def test_lists(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(" one\n\n two words \n")
    assert read_lines(tmp_path / "a.txt", "names") == ["one", "two words"]
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"found bytes that are no text"):
        read_lines(tmp_path / "a.txt", "names")
    with pytest.raises(FileNotFoundError, match=r"expected names"):
        read_lines(tmp_path / "b.txt", "names")


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"found no folder .* expected sweeps"):
        find_sweeps(tmp_path / "points", "sweeps")
    with pytest.raises(FileNotFoundError, match=r"found no .bin file in .* expected sweeps"):
        find_sweeps(tmp_path, "sweeps")
    for name in ("b.bin", "a.bin", ".draft.bin", "a.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in find_sweeps(tmp_path, "sweeps")] == ["a.bin", "b.bin"]
    assert subsample([0, 1, 2, 3, 4, 5, 6], 3) == [0, 3, 6]
    with pytest.raises(ValueError, match=r"found skip 0"):
        subsample([0], 0)
