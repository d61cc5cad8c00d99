"""Class images of the embedded world: which class each pixel shows, as it is or as an image model would see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from crosspoint.renderers.cameras import Cameras
from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.synthetic.imperfect import CONFUSED, IMPERFECTION, Imperfection, imperfect
from crosspoint.scene.synthetic.world import World


def class_images(world: World, cameras: Cameras) -> np.ndarray:
    """What the center of each pixel sees.

    Args:
        world: the world.
        cameras: V, in the world's frame.

    Returns:
        (V, H, W) int64: 1 to 10 for `CLASSES`, 0 for the sky.
    """
    face = world.tracer(cameras).face.numpy()
    return np.where(face >= 0, world.labels[face] + 1, 0)


@dataclass(frozen=True)
class ClassImages:
    """A kind of class images: the true ones, or those that an image model would have drawn.

    Args:
        imperfect: seed of the mistakes; None for the truth.
        imperfection: strengths of the mistakes.

    Raises:
        ValueError: if the seed is below 0.
    """

    imperfect: int | None = None
    imperfection: Imperfection = IMPERFECTION

    def __post_init__(self) -> None:
        if self.imperfect is not None and self.imperfect < 0:
            raise ValueError(f"found the seed {self.imperfect} of imperfect labels, expected at least 0")

    @property
    def folder(self) -> str:
        """Name of the folder that keeps them beside the frames."""
        return "class_images" if self.imperfect is None else "imperfect_labels"

    @property
    def recipe(self) -> JsonObject:
        """All that decides them but the world, as JSON holds it."""
        if self.imperfect is None:
            return {"made_by": "crosspoint synthesize"}
        return {**ClassImages().recipe, "seed": self.imperfect, **asdict(self.imperfection), "confused": CONFUSED}

    def of(self, truth: np.ndarray, frame: Sequence[int]) -> np.ndarray:
        """The images of a frame.

        Args:
            truth: (V, H, W) int64, as `class_images` gives it.
            frame: integers ≥ 0 that no other frame has; with the seed and the camera's place, they decide the mistakes.

        Returns:
            (V, H, W) int64.
        """
        if self.imperfect is None:
            return truth
        seeds = ([self.imperfect, *frame, view] for view in range(len(truth)))
        drawn = [imperfect(image, seed, self.imperfection) for image, seed in zip(truth, seeds, strict=True)]
        return np.stack(drawn)
