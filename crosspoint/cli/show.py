"""`crosspoint show`: a LiDAR–camera frame as a picture and as a page."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crosspoint.cli.dataset_arguments import OPTIONS, dataset_rows, read_dataset_options, take_dataset_flags
from crosspoint.cli.parser import function_parser
from crosspoint.cli.show_features import check_choice, chosen_point, features_of, joined_position

log = logging.getLogger("crosspoint")


def run(arguments: Sequence[str]) -> int:
    """The command."""
    words = joined_position(arguments)
    parser = function_parser(show, "show")
    name = words[0] if words and not words[0].startswith("-") else None
    own = [*inspect.signature(show).parameters]
    flags: list[tuple[str, str]] = []
    if name is not None:
        words, flags = take_dataset_flags(words, name, own)
        parser.further_rows = [("", ""), *dataset_rows(name, own)]
        parser.further_keys = [row[0].removeprefix("--") for row in parser.further_rows]
    values = vars(parser.instantiate(parser.read(words)))
    values.pop("config")
    values[OPTIONS] = read_dataset_options(values["dataset"], values[OPTIONS], flags, own)
    return show(**values)


def show(
    dataset: str,
    root: Path | None = None,
    frame: int = 0,
    split: str | None = None,
    superpixels: bool | Path = False,
    weak_labels: Path | None = None,
    predictions: Path | None = None,
    checkpoint: Path | None = None,
    point: int | None = None,
    at: str | None = None,
    out: Path = Path("show"),
    options: dict[str, Any] | None = None,
) -> int:
    """Draw a LiDAR–camera frame: a PNG (points over each image, bird's eye view), and a page that turns the cloud.

    Args:
        dataset: kitti_raw, semantickitti, nuscenes, folder, synthetic, … (crosspoint data lists all), or an import path
        root: folder of the dataset; synthetic needs none
        frame: number of the frame
        split: name of the split; by default the dataset's first, or all frames where it has none; with predictions, val
        superpixels: draw outlines of the images' superpixels: true finds them, a folder of PNG maps brings them
        weak_labels: folder of PNG maps: points are colored by the class of their pixel, beside the truth
        predictions: folder of evaluate semseg, panoptic, detection or depth --save_dir, whose answers are drawn beside
            the truth; frame and split are those that were measured
        checkpoint: file of an encoder of scenes: points are colored by the principal components of their features, and
            by similarity to one point; on the page a click chooses another one
        point: number of the point to compare with; by default the one in the middle of the first image, box or cloud
        at: X,Y,Z in meters: the point to compare with is the nearest to this position
        out: folder of the two files
        options: further arguments of the dataset, which are flags, too: show NAME --help lists them
    """
    from crosspoint.scene.datasets.build import open_scenes
    from crosspoint.scene.viz.predictions import frame_answers
    from crosspoint.scene.viz.show import show as draw

    check_choice(checkpoint, point, at)
    split = "val" if split is None and predictions is not None else split  # what evaluate measures on
    options = dict(options or {}) if split is None else {**(options or {}), "split": split}
    if dataset == "nuscenes":
        options.setdefault("boxes", None)  # where there are some; training leaves their large table unread
    if weak_labels is not None:
        options["weak_labels"] = weak_labels
    if not isinstance(superpixels, bool):
        options["superpixels"] = superpixels
    scenes = open_scenes(dataset, root, **options)
    if not 0 <= frame < len(scenes):
        raise ValueError(f"found frame {frame}, expected 0 to {len(scenes) - 1}: {scenes.name} has {len(scenes)}")
    shown = scenes[frame]
    outlined, answers = None, None
    if predictions is not None:
        answers = frame_answers(predictions, frame, frames=len(scenes), points=len(shown.points))
    if superpixels is True and len(shown.images):
        from crosspoint.scene.data.superpixels import divide_images

        outlined = divide_images(shown.images, shown.image_sizes)
    drawn = draw(
        shown,
        out,
        classes=scenes.classes,
        predictions=answers,
        regions=outlined,
        box_classes=scenes.box_classes,
        features=None if checkpoint is None else features_of(shown, checkpoint),
        chosen=chosen_point(shown, point, at),
        weak_classes=scenes.weak_classes,
        things=scenes.things,
    )
    for path in drawn:
        log.info("%s", path)
    return 0
