"""Frames of the embedded world: made when they are asked for, or written to disk as a plain folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch

from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.datasets.folder import write_frame, write_poses, write_rig, write_split
from crosspoint.scene.synthetic.asset import BOX_CLASSES, CLASSES
from crosspoint.scene.synthetic.lidar import Lidar
from crosspoint.scene.synthetic.sensors import capture
from crosspoint.scene.synthetic.views import camera_ring
from crosspoint.scene.synthetic.world import World, make_poses, make_world

SPLITS = ("train", "val")


class SyntheticScenes(LidarDataset):
    """Sequences of frames, each a drive through a street of its own.

    Frame f of sequence q is number q · `frames` + f and depends on the seed, the split, q and f alone. A sequence's
    world is built at the first access to one of its frames and kept until another one is asked for: reading in order is
    fast, reading in random order pays for a world each time. For that, write the frames to disk by `write_scenes`.

    Args:
        split: train or val; they share no street.
        sequences: of the split.
        frames: of each sequence.
        views: cameras, 1 (front) to 6 (all around).
        size: (H, W) of the images.
        lidar: the sensor.
        spacing: meters between frames, give or take a fifth.
        seed: another seed gives other streets.

    Raises:
        ValueError: if the split is unknown or a number out of range.
    """

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
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"found the split {split!r}, expected one of: {', '.join(SPLITS)}")
        if sequences < 1 or frames < 1 or seed < 0 or not 0.0 < spacing < 100.0:
            raise ValueError(
                f"found {sequences} sequences of {frames} frames {spacing} m apart and the seed {seed}, "
                "expected at least one of each, 0 to 100 m apart, and a seed of at least 0"
            )
        self.split, self.sequences, self.frames = split, sequences, frames
        self.spacing, self.seed = spacing, seed
        self.lidar = lidar or Lidar()
        self.cameras = camera_ring(views, size)
        self.name = f"synthetic {split}"
        self.classes, self.box_classes = list(CLASSES), list(BOX_CLASSES)
        self._latest: tuple[int, World] | None = None

    def __len__(self) -> int:
        return self.sequences * self.frames

    def __getitem__(self, index: int) -> LidarSample:
        sequence, number = self._locate(index)
        rng = np.random.default_rng([*self._words(sequence), 1, number])
        return capture(self.world(sequence), number, self.lidar, self.cameras, rng=rng, name=self.frame_name(index))

    def __getstate__(self) -> dict[str, object]:
        """Without the world, which holds what no other process can use."""
        return {**self.__dict__, "_latest": None}

    def frame_name(self, index: int) -> str:
        """Split, sequence and frame, in an order in which sequences stay together."""
        sequence, number = self._locate(index)
        return f"{self.split}_{sequence:05d}_{number:04d}"

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


def write_scenes(
    root: str | Path,
    train: int = 100,
    val: int = 20,
    frames: int = 10,
    *,
    views: int = 1,
    size: tuple[int, int] = (192, 640),
    lidar: Lidar | None = None,
    spacing: float = 4.0,
    seed: int = 0,
    jobs: int = -1,
) -> int:
    """Write sequences of both splits as a plain folder, which `FolderScenes` reads; or finish what was begun.

    The files do not depend on the number of jobs. `<root>/synthetic.json` keeps the arguments: a run that was stopped
    goes on where it was, one with other arguments is refused.

    Args:
        root: folder to fill; made where absent.
        train: sequences to learn from.
        val: sequences to judge by.
        frames: of each sequence.
        views: cameras.
        size: (H, W) of the images.
        lidar: the sensor.
        spacing: meters between frames.
        seed: of everything.
        jobs: worker processes, -1 for one per core.

    Returns:
        The number of frames that this call wrote.

    Raises:
        ValueError: if a number is out of range, or `root` holds scenes of other arguments.
    """
    root, counts = Path(root), {"train": train, "val": val}
    if min(counts.values()) < 0 or not any(counts.values()) or jobs == 0:
        raise ValueError(f"found {train} train and {val} val sequences and {jobs} jobs, expected some of each")
    shared: dict[str, Any] = {"views": views, "size": tuple(size), "lidar": lidar or Lidar()}
    shared |= {"spacing": spacing, "seed": seed}
    sets = [SyntheticScenes(split, count, frames, **shared) for split, count in counts.items() if count]
    _begin(root, {**counts, "frames": frames, **shared, "lidar": asdict(shared["lidar"])})
    write_rig(root, sets[0].cameras, sets[0].classes, sets[0].box_classes)
    work = [(scenes, sequence) for scenes in sets for sequence in range(scenes.sequences)]
    jobs_done = joblib.Parallel(n_jobs=jobs)(joblib.delayed(_write_sequence)(root, *item) for item in work)
    poses = {
        scenes.frame_name(sequence * frames + number): pose
        for scenes, sequence in work
        for number, pose in enumerate(scenes.poses(sequence))
    }
    write_poses(root, poses)
    for scenes in sets:
        write_split(root, scenes.split, [scenes.frame_name(index) for index in range(len(scenes))])
    return sum(jobs_done)


def _begin(root: Path, settings: JsonObject) -> None:
    """Note the arguments of a new folder, or compare them with those of an old one."""
    record, text = root / "synthetic.json", json.dumps(settings)
    if not record.exists():
        with atomic_write(record) as file:
            file.write(text.encode())
    elif record.read_text() != text:
        raise ValueError(f"found scenes made with {record.read_text()} in {root}, expected {text}: give a new folder")


def _write_sequence(root: Path, scenes: SyntheticScenes, sequence: int) -> int:
    """Write the frames of a sequence that are not there, the work item of joblib; returns how many."""
    indices = range(sequence * scenes.frames, (sequence + 1) * scenes.frames)
    missing = [index for index in indices if not (root / "points" / f"{scenes.frame_name(index)}.bin").exists()]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the jobs themselves fill the cores
    try:
        for index in missing:
            write_frame(root, scenes[index])
    finally:
        torch.set_num_threads(threads)
    return len(missing)
