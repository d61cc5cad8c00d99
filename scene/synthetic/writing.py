"""The embedded world as a plain folder of frames, with folders of class images beside them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.parallel import in_processes
from crosspoint.renderers.sole_writer import sole_writer
from crosspoint.scene.datasets.folder import write_frame, write_poses, write_rig, write_split
from crosspoint.scene.datasets.rig import read_rig
from crosspoint.scene.segmentation_scores import confusion_matrix
from crosspoint.scene.synthetic.class_folder import ClassFolder, agreement
from crosspoint.scene.synthetic.class_images import ClassImages
from crosspoint.scene.synthetic.dataset import SyntheticScenes
from crosspoint.scene.synthetic.imperfect import IMPERFECTION, Imperfection
from crosspoint.scene.synthetic.lidar import Lidar

log = logging.getLogger(__name__)


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
    class_images: bool = False,
    imperfect: int | None = None,
    imperfection: Imperfection = IMPERFECTION,
    jobs: int = -1,
) -> int:
    """Write sequences of both splits as a plain folder, which `FolderScenes` reads; or finish what was begun.

    The files do not depend on the number of jobs. `<root>/synthetic.json` keeps the arguments: a run that was stopped
    goes on where it was, one with other arguments is refused. Class images may be asked for later: frames that are
    there stay as they are. They are folders of maps that mirror the images, weak labels for `FolderScenes`.

    Args:
        root: folder to fill; made where absent.
        train: sequences to learn from.
        val: sequences to judge by.
        frames: of each sequence.
        views: cameras.
        size: (H, W) of the images.
        lidar: the sensor.
        spacing: meters between frames.
        seed: of everything but mistakes.
        class_images: write the true classes of pixels to `<root>/class_images`, too.
        imperfect: seed of mistakes; write class images with those of an image model to `<root>/imperfect_labels`, too.
        imperfection: how strong these mistakes are.
        jobs: worker processes, -1 for one per core.

    Returns:
        The number of frames that this call wrote.

    Raises:
        ValueError: if a number is out of range, or `root` holds scenes or class images of other arguments, or is
            being written to.
    """
    root, counts = Path(root), {"train": train, "val": val}
    if min(counts.values()) < 0 or not any(counts.values()) or jobs == 0:
        raise ValueError(f"found {train} train and {val} val sequences and {jobs} jobs, expected some of each")
    shared: dict[str, Any] = {"views": views, "size": tuple(size), "lidar": lidar or Lidar()}
    shared |= {"spacing": spacing, "seed": seed}
    sets = [SyntheticScenes(split, count, frames, **shared) for split, count in counts.items() if count]
    kinds = [ClassImages()] * class_images
    kinds += [] if imperfect is None else [ClassImages(imperfect, imperfection)]
    with sole_writer(root):
        _begin(root, {**counts, "frames": frames, **shared, "lidar": asdict(shared["lidar"])})
        write_rig(root, sets[0].cameras, sets[0].classes, sets[0].box_classes)
        folders = [ClassFolder(root, kind, read_rig(root).camera_names) for kind in kinds]
        for folder in folders:
            folder.begin()
        work = [(scenes, sequence) for scenes in sets for sequence in range(scenes.sequences)]
        done = list(in_processes(_write_sequence, ((root, folders, *item) for item in work), jobs))
        poses = {
            scenes.frame_name(sequence * frames + number): pose
            for scenes, sequence in work
            for number, pose in enumerate(scenes.poses(sequence))
        }
        write_poses(root, poses)
        for scenes in sets:
            write_split(root, scenes.split, [scenes.frame_name(index) for index in range(len(scenes))])
        for place, folder in enumerate(folders):
            _report(folder, sum(part.confusions[place] for part in done), size[0] * size[1])
    return sum(part.frames for part in done)


def _begin(root: Path, settings: JsonObject) -> None:
    """Note the arguments of a new folder, or compare them with those of an old one."""
    record, text = root / "synthetic.json", json.dumps(settings)
    if not record.exists():
        with atomic_write(record) as file:
            file.write(text.encode())
    elif record.read_text() != text:
        raise ValueError(f"found scenes made with {record.read_text()} in {root}, expected {text}: give a new folder")


class _Written(NamedTuple):
    frames: int
    confusions: list[np.ndarray]  # of each folder, as `agreement` takes it


def _write_sequence(root: Path, folders: Sequence[ClassFolder], scenes: SyntheticScenes, sequence: int) -> _Written:
    """Write what is not there of the frames of a sequence and their class images, the work item of joblib."""
    count, frames = len(scenes.classes) + 1, 0
    confusions = [np.zeros((count, count), dtype=np.int64) for _ in folders]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the jobs themselves fill the cores
    try:
        for index in range(sequence * scenes.frames, (sequence + 1) * scenes.frames):
            name = scenes.frame_name(index)
            if not (root / "points" / f"{name}.bin").exists():
                write_frame(root, scenes[index])
                frames += 1
            absent = [place for place, folder in enumerate(folders) if not folder.has(name)]
            if not absent:
                continue
            truth, *drawn = scenes.draw_classes(index, [ClassImages(), *(folders[place].kind for place in absent)])
            for place, maps in zip(absent, drawn, strict=True):
                folders[place].write(name, maps)
                said, true = torch.from_numpy(maps).flatten(), torch.from_numpy(truth).flatten()
                confusions[place] += confusion_matrix(said, true, count).numpy()
    finally:
        torch.set_num_threads(threads)
    return _Written(frames, confusions)


def _report(folder: ClassFolder, confusion: np.ndarray, pixels: int) -> None:
    """Say how many maps were written, and how well they agree with the truth."""
    log.info("%d class images → %s", confusion.sum() // pixels, folder.folder)
    if folder.kind.imperfect is not None and confusion[1:, 1:].any():
        text = "of %.1f %% of the pixels nothing is said; of the others %.1f %% are right, mIoU %.1f %%"
        log.info(text, *agreement(confusion).values())
