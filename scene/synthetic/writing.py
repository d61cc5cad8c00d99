"""The embedded world as a plain folder of frames."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import joblib
import torch

from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.datasets.folder import write_frame, write_poses, write_rig, write_split
from crosspoint.scene.synthetic.dataset import SyntheticScenes
from crosspoint.scene.synthetic.lidar import Lidar


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
