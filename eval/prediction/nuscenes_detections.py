"""nuScenes' one result file of boxes: a file for each sample, which an interrupted run keeps, then all as one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from crosspoint.eval.prediction.predictor import Prediction
from crosspoint.eval.supervised.box_scores import nuscenes_answers
from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.datasets.nuscenes import NuScenes
from crosspoint.scene.datasets.nuscenes_boxes import likely_attributes
from crosspoint.scene.datasets.nuscenes_results import write_results

RESULTS = "results_nusc.json"  # as nuScenes' own code calls it


def write_sample(parts: Path, frames: NuScenes, index: int, prediction: Prediction) -> None:
    """Write the boxes of one frame, in the world, with the likely attribute of each by its class and speed.

    Args:
        parts: folder of these files.
        frames: the dataset.
        index: of the frame.
        prediction: for the frame, with boxes and a pose.
    """
    assert prediction.boxes is not None and prediction.pose is not None  # as a detector and nuScenes have them
    answers = nuscenes_answers(prediction.pose, prediction.boxes)
    answers = replace(answers, attributes=likely_attributes(answers.labels, answers.velocity))
    write_results({frames.sample_token(index): answers}, _file(parts, index))


def join_samples(parts: Path, frames: NuScenes, path: Path) -> None:
    """Write the files of all frames as one; a frame without a file has no boxes."""
    whole: JsonObject = {}
    results: JsonObject = {}
    for index in range(len(frames)):
        results[frames.sample_token(index)] = []
        if _file(parts, index).is_file():
            whole = json.loads(_file(parts, index).read_bytes())
            results |= whole["results"]
    with atomic_write(path) as file:
        file.write(json.dumps({**whole, "results": results}).encode())


def _file(parts: Path, index: int) -> Path:
    return parts / f"{index:09d}.json"
