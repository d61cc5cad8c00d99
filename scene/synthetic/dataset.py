"""Frames of the embedded world, made when they are asked for: there is nothing to download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.pixel_maps import WEAK_LABELS
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.synthetic.asset import BOX_CLASSES, CLASSES
from crosspoint.scene.synthetic.class_images import ClassImages, class_images
from crosspoint.scene.synthetic.imperfect import IMPERFECTION, Imperfection
from crosspoint.scene.synthetic.lidar import Lidar
from crosspoint.scene.synthetic.sensors import capture
from crosspoint.scene.synthetic.views import camera_ring, moved
from crosspoint.scene.synthetic.world import World, make_poses, make_world

SPLITS = ("train", "val")


class SyntheticScenes(LidarDataset):
    """Sequences of frames, each a drive through a street of its own.

    Frame f of sequence q is number q · `frames` + f and depends on the seed, the split, q and f alone. A sequence's
    world is built at the first access to one of its frames and kept until another one is asked for: reading in order is
    fast, reading in random order pays for a world each time. For that, write the frames to disk by `write_scenes`.

    Args:
        split: train or val; they share no street.
        sequences: number of streets of the split.
        frames: number of frames of each street.
        views: cameras, 1 (front) to 6 (all around).
        size: (H, W) of the images.
        lidar: the sensor.
        spacing: meters between frames, give or take a fifth.
        seed: another seed gives other streets.
        class_images: whether frames bring their true classes as the pixel map "weak_labels".
        imperfect: seed of mistakes; frames bring class images with the mistakes of an image model as "weak_labels".
        imperfection: how strong these mistakes are.

    Raises:
        ValueError: if the split is unknown, a number out of range, or both true and imperfect classes are asked for.
    """

    splits = SPLITS

    def __init__(
        self,
        split: str = "train",
        sequences: int = 100,
        frames: int = 10,
        *,
        views: int = 1,
        size: tuple[int, int] = (192, 640),
        lidar: Lidar | None = None,
        spacing: float = 4.0,
        seed: int = 0,
        class_images: bool = False,
        imperfect: int | None = None,
        imperfection: Imperfection = IMPERFECTION,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"found the split {split!r}, expected one of: {', '.join(SPLITS)}")
        if sequences < 1 or frames < 1 or seed < 0 or not 0.0 < spacing < 100.0:
            raise ValueError(
                f"found {sequences} sequences of {frames} frames {spacing} m apart and the seed {seed}, "
                "expected at least one of each, 0 to 100 m apart, and a seed of at least 0"
            )
        if class_images and imperfect is not None:
            raise ValueError(
                f"found class_images and imperfect {imperfect}, expected one of them: both are a frame's weak labels"
            )
        self.split, self.sequences, self.frames = split, sequences, frames
        self.spacing, self.seed = spacing, seed
        self.lidar = lidar or Lidar()
        self.cameras = camera_ring(views, size)
        self.name = f"synthetic {split}"
        self.classes, self.box_classes = list(CLASSES), list(BOX_CLASSES)
        self.things = self.box_classes
        self._weak = ClassImages(imperfect, imperfection) if class_images or imperfect is not None else None
        if self._weak is not None:
            self.map_names, self.weak_classes = frozenset({WEAK_LABELS}), list(CLASSES)
        self._latest: tuple[int, World] | None = None

    def __len__(self) -> int:
        return self.sequences * self.frames

    def __getitem__(self, index: int) -> LidarSample:
        sequence, number = self._locate(index)
        rng = np.random.default_rng([*self._words(sequence), 1, number])
        world, name = self.world(sequence), self.frame_name(index)
        sample = capture(world, number, self.lidar, self.cameras, rng=rng, name=name)
        if self._weak is None:
            return sample
        (weak,) = self.draw_classes(index, [self._weak])
        return replace(sample, pixel_maps={WEAK_LABELS: torch.from_numpy(weak)})

    def __getstate__(self) -> dict[str, object]:
        """Without the world, which holds what no other process can use."""
        return {**self.__dict__, "_latest": None}

    def frame_name(self, index: int) -> str:
        """Split, sequence and frame, in an order in which sequences stay together."""
        sequence, number = self._locate(index)
        return f"{self.split}_{sequence:05d}_{number:04d}"

    def draw_classes(self, index: int, kinds: Sequence[ClassImages]) -> list[np.ndarray]:
        """Class images of a frame, (V, H, W) int64 of each kind: 1 to K for the classes, 0 for none."""
        sequence, number = self._locate(index)
        world = self.world(sequence)
        truth = class_images(world, moved(self.cameras, world.poses[number]))
        return [kind.of(truth, [*self._words(sequence), number]) for kind in kinds]

    def world(self, sequence: int) -> World:
        """The world of a sequence."""
        if self._latest is None or self._latest[0] != sequence:
            self._latest = (sequence, make_world([*self._words(sequence), 0], self.frames, self.spacing))
        return self._latest[1]

    def poses(self, sequence: int) -> np.ndarray:
        """From the LiDAR to the world, (frames, 4, 4) of a sequence; the world is not built for them."""
        return make_poses([*self._words(sequence), 0], self.frames, self.spacing)

    def _locate(self, index: int) -> tuple[int, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"found the frame {index}, expected 0 to {len(self) - 1}")
        return divmod(index % len(self), self.frames)

    def _words(self, sequence: int) -> list[int]:
        return [self.seed, SPLITS.index(self.split), sequence]
