from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosspoint.scene.labels.maps import is_whole, write_digests, write_map


@pytest.mark.parametrize(("most", "mode"), [(0, "L"), (255, "L"), (256, "I;16"), (65535, "I;16")])
def test_a_map_has_as_many_bits_as_it_needs(tmp_path: Path, most: int, mode: str) -> None:
    numbers = np.random.default_rng(0).integers(0, most + 1, (5, 9))
    numbers[2, 3] = most
    write_map(tmp_path / "a/b.png", numbers)
    with Image.open(tmp_path / "a/b.png") as image:
        assert (image.mode, image.size) == (mode, (9, 5))
        assert (np.asarray(image) == numbers).all()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.png"]


@pytest.mark.parametrize("number", [-1, 65536])
def test_a_number_that_no_map_can_hold(tmp_path: Path, number: int) -> None:
    with pytest.raises(ValueError, match=r"found numbers from .* for .*b.png, expected 0 to 65535"):
        write_map(tmp_path / "b.png", np.array([[0, number]]))
    assert not list(tmp_path.iterdir())


def test_a_map_that_was_cut_off_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "b.png"
    write_map(path, np.arange(300).reshape(20, 15))
    whole = path.read_bytes()
    assert is_whole(path, (15, 20))
    assert not is_whole(path, (20, 15))
    for end in (0, 1, 7, 40, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert not is_whole(path, (15, 20))
    Image.new("L", (15, 20)).save(path, format="JPEG")
    assert not is_whole(path, (15, 20))
    assert not is_whole(tmp_path / "none.png", (15, 20))


def test_digests_are_read_by_sha256sum(tmp_path: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("needs sha256sum")
    names = ["b.png", "a/ü ö.png", "a/back\\slash.png", "a/new\nline.png", "a/z.png"]
    for place, name in enumerate(names):
        write_map(tmp_path / name, np.full((2, 3), place))
    count, digest = write_digests(tmp_path)
    listed = (tmp_path / "sha256.txt").read_bytes()
    assert (count, digest) == (5, hashlib.sha256(listed).hexdigest())
    their = subprocess.run(["sha256sum", *sorted(names)], cwd=tmp_path, capture_output=True, check=True)
    assert listed == their.stdout
    check = ["sha256sum", "--check", "--strict", "sha256.txt"]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 0
    write_map(tmp_path / "b.png", np.full((2, 3), 77))
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 1
