"""A folder of class images beside the frames of the embedded world: maps that mirror the images, and a manifest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from crosspoint.renderers.atomic import atomic_write
from crosspoint.scene.labels.manifest import MANIFEST, Manifest, read_manifest, write_manifest
from crosspoint.scene.segmentation_scores import segmentation_scores
from crosspoint.scene.synthetic.asset import CLASSES
from crosspoint.scene.synthetic.class_images import ClassImages


class ClassFolder:
    """The class images of one kind: `<root>/<folder of the kind>/images/<camera>/<name>.png`.

    Args:
        root: folder of the frames.
        kind: of the class images.
        cameras: names of the V cameras.
    """

    def __init__(self, root: Path, kind: ClassImages, cameras: Sequence[str]) -> None:
        self.folder = root / kind.folder
        self.kind, self.cameras = kind, cameras

    def begin(self) -> None:
        """Write the manifest, or compare it with how the maps that are there were made.

        Raises:
            ValueError: if they were made otherwise.
        """
        if not (self.folder / MANIFEST).exists():
            write_manifest(self.folder, Manifest("semantic", list(CLASSES), self.kind.recipe))
            return
        found, expected = read_manifest(self.folder).recipe, self.kind.recipe
        other = [key for key in {**found, **expected} if found.get(key) != expected.get(key)]
        if other:
            there, asked = (json.dumps({key: recipe.get(key) for key in other}) for recipe in (found, expected))
            raise ValueError(
                f"found class images made with {there} in {self.folder}, expected {asked}: move that folder away"
            )

    def has(self, name: str) -> bool:
        """Whether all maps of a frame are there."""
        return all(path.exists() for path in self._paths(name))

    def write(self, name: str, maps: np.ndarray) -> None:
        """Write the maps (V, H, W) of a frame."""
        for path, numbers in zip(self._paths(name), maps, strict=True):
            with atomic_write(path) as file:
                Image.fromarray(numbers.astype(np.uint8)).save(file, format="PNG")

    def _paths(self, name: str) -> list[Path]:
        return [self.folder / "images" / camera / f"{name}.png" for camera in self.cameras]


def agreement(confusion: np.ndarray) -> dict[str, float]:
    """How well class images agree with the truth, in percent.

    - unsaid: pixels of a class of which nothing is said.
    - pixel_accuracy, miou: of the pixels that are left; the mean is of the classes that occur.

    Args:
        confusion: (K + 1, K + 1) pixels: row, the truth; column, what is said; 0 is no class in both.

    Raises:
        ValueError: if no pixel has a class in both.
    """
    scores = segmentation_scores(confusion[1:, 1:])
    unsaid = 100.0 * float(confusion[1:, 0].sum() / confusion[1:].sum())
    return {"unsaid": unsaid, "pixel_accuracy": scores["point_accuracy"], "miou": scores["miou"]}
