from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from crosspoint.scene.labels.labeler import Labeler, Painter
from crosspoint.scene.labels.labeling import label_images
from crosspoint.scene.labels.manifest import Kind, read_class_table, read_manifest
from crosspoint.scene.labels.maps import file_digest
from crosspoint.scene.labels.semantic import SemanticLabeler

MAPS = ["a/0.png", "a/1.png", "b/2.png", "b/c/0.png"]


@dataclass
class Brightness(Labeler):
    """Numbers that say how bright a pixel is; it remembers the batches that it was shown."""

    step: int = 64
    stop_after: int = 1000
    seen: list[tuple[int, ...]] = field(default_factory=list)
    kind: ClassVar[Kind] = "semantic"

    @property
    def names(self) -> list[str]:
        return [f"level {number}" for number in range(1, 255 // self.step + 1)]

    def recipe(self) -> dict[str, Any]:
        return {"labels": "brightness", "step": self.step, "pair": (1, 2)}

    def load(self, device: str) -> Painter:
        assert device == "cpu"
        return self.paint

    def paint(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        if sum(batch[0] for batch in self.seen) >= self.stop_after:
            raise KeyboardInterrupt
        assert len({image.shape for image in images}) == 1
        self.seen.append((len(images), *images[0].shape))
        return [image[..., 0] // self.step for image in images]


def maps(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))


def test_each_image_has_a_map_at_its_place(frames: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = tmp_path / "out"
    with caplog.at_level(logging.INFO, "crosspoint"):
        assert label_images(Brightness(), frames, out, device="cpu") == 4
    assert maps(out) == MAPS
    assert caplog.messages[0] == f"4 images in {frames}, 0 of them labeled already"
    assert caplog.messages[-1].startswith("4 of 4 images labeled")
    for name in MAPS:
        (image,) = frames.glob(f"{name.removesuffix('.png')}.*")
        with Image.open(image) as file, Image.open(out / name) as found:
            assert (np.asarray(found) == np.asarray(file.convert("RGB"))[..., 0] // 64).all()


def test_the_manifest_says_how_and_lists_every_map(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    label_images(Brightness(step=100), frames, out, device="cpu")
    content = json.loads((out / "manifest.json").read_text())
    listed = dict(reversed(line.split("  ")) for line in (out / "sha256.txt").read_text().splitlines())
    assert listed == {name: file_digest(out / name) for name in MAPS}
    assert {"crosspoint3d", "torch", "transformers", "numpy"} <= set(content.pop("versions"))
    assert content == {
        **{"format": 1, "kind": "semantic", "classes": ["level 1", "level 2"], "images": 4},
        **{"recipe": {"labels": "brightness", "step": 100, "pair": [1, 2]}},
        "sha256": file_digest(out / "sha256.txt"),
    }
    assert read_class_table(out) == ["level 1", "level 2"]


def test_a_run_that_was_stopped_goes_on_where_it_was(frames: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    label_images(Brightness(), frames, whole, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        label_images(Brightness(stop_after=2), frames, out, device="cpu")
    assert maps(out) == MAPS[:2]
    assert read_manifest(out).sha256 is None
    assert read_class_table(out) == ["level 1", "level 2", "level 3"]
    kept = (out / MAPS[0]).stat().st_mtime_ns
    (out / MAPS[1]).write_bytes((out / MAPS[1]).read_bytes()[:-3])  # as a disk that was full leaves it
    again = Brightness()
    assert label_images(again, frames, out, device="cpu") == 3
    assert len(again.seen) == 3
    assert (out / MAPS[0]).stat().st_mtime_ns == kept
    for name in (*MAPS, "sha256.txt", "manifest.json"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    idle = Brightness()
    assert label_images(idle, frames, out, device="cpu") == 0
    assert idle.seen == []
    assert (out / "manifest.json").read_bytes() == (whole / "manifest.json").read_bytes()


def test_new_images_are_added_in_the_same_folder_inside_the_frames(frames: Path) -> None:
    out = frames / "labels"
    assert label_images(Brightness(), frames, out, images="a/**", device="cpu") == 2
    assert read_manifest(out).images == 2
    assert label_images(Brightness(), frames, out, device="cpu") == 2
    assert read_manifest(out).images == 4
    assert maps(out) == MAPS
    assert label_images(Brightness(), frames, out, images="a/**", device="cpu") == 0
    assert read_manifest(out).images == 4  # the list has all maps that are there


def test_other_versions_are_noted_beside_the_first(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    label_images(Brightness(), frames, out, images="a/**", device="cpu")
    content = json.loads((out / "manifest.json").read_text())
    now = content["versions"]["torch"]
    content["versions"]["torch"] = "1.0"
    (out / "manifest.json").write_text(json.dumps(content))
    label_images(Brightness(), frames, out, images="a/**", device="cpu")
    assert read_manifest(out).versions["torch"] == "1.0"  # nothing was made
    for _ in range(2):
        (out / MAPS[0]).unlink()
        label_images(Brightness(), frames, out, device="cpu")
        assert read_manifest(out).versions["torch"] == f"1.0, {now}"


def test_other_settings_are_refused(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    label_images(Brightness(), frames, out, device="cpu")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"found maps in .*out that were made with other settings \(step\), expected"):
        label_images(Brightness(step=32), frames, out, device="cpu")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(ValueError, match=r"found files without manifest.json in .*full, expected an empty folder"):
        label_images(Brightness(), frames, tmp_path / "full", device="cpu")
    (out / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match="found no JSON"):
        label_images(Brightness(), frames, out, device="cpu")
    (out / "manifest.json").write_bytes(before[out / "manifest.json"])
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_a_damaged_image_is_named(frames: Path, tmp_path: Path) -> None:
    image = frames / "b/2.png"
    image.write_bytes(image.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"found an image that cannot be read, .*b/2.png") as error:
        label_images(Brightness(), frames, tmp_path / "out", device="cpu")
    assert "\n" not in str(error.value)
    assert maps(tmp_path / "out") == MAPS[:2]  # those before it are kept
    (tmp_path / "out" / "b").mkdir(exist_ok=True)
    (tmp_path / "out" / "b/2.png").touch()
    image.write_bytes(b"GIF")
    with pytest.raises(ValueError, match=r"found an image that cannot be read, .*b/2.png"):
        label_images(Brightness(), frames, tmp_path / "out", device="cpu")


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_a_batch_has_images_of_one_size(frames: Path, tmp_path: Path, batch_size: int) -> None:
    labeler = Brightness()
    label_images(labeler, frames, tmp_path / "out", batch_size=batch_size, device="cpu")
    wide, high = (24, 40, 3), (40, 24, 3)
    sizes = {1: [1, 1, 1], 2: [2, 1], 3: [3], 100: [3]}[batch_size]
    assert labeler.seen == [*((size, *wide) for size in sizes), (1, *high)]


def test_a_map_of_another_size_is_an_error(frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Brightness, "paint", lambda self, images: [image[:5, :, 0] for image in images])
    with pytest.raises(ValueError, match=r"found a map of \(5, 40\) for a/0.png, expected \(24, 40\)"):
        label_images(Brightness(), frames, tmp_path / "out", device="cpu")


def test_settings_of_the_run(frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for settings in ({"batch_size": 0}, {"jobs": 0}):
        with pytest.raises(ValueError, match="expected a batch from 1, and jobs, or −1"):
            label_images(Brightness(), frames, tmp_path / "out", **settings)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="found no CUDA device, expected one for --device cuda"):
        label_images(Brightness(), frames, tmp_path / "out", device="cuda")
    assert label_images(Brightness(), frames, tmp_path / "out", device="auto") == 4


@pytest.mark.slow
def test_processes_make_the_same_maps(network: Callable[[str], str], frames: Path, tmp_path: Path) -> None:
    labeler = SemanticLabeler(network("segformer"), confidence=0.0)
    for jobs in (1, 2):
        assert label_images(labeler, frames, tmp_path / str(jobs), device="cpu", jobs=jobs) == 4
    for name in (*MAPS, "manifest.json", "sha256.txt"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
