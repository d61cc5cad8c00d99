"""`crosspoint label`: weak labels of camera images, by vision foundation models."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from crosspoint.cli.parser import call

log = logging.getLogger("crosspoint")


def run(arguments: Sequence[str]) -> int:
    """The command."""
    return call(label, "label", arguments, clusters=True)


def label(
    frames: Path,
    out: Path,
    kind: str = "semantic",
    model: str | None = None,
    revision: str | None = None,
    confidence: float | None = None,
    classes: Path | None = None,
    detector: str | None = None,
    detector_revision: str | None = None,
    prompts: Path | None = None,
    box_threshold: float | None = None,
    text_threshold: float | None = None,
    points: int | None = None,
    predicted_iou: float | None = None,
    stability: float | None = None,
    overlap: float | None = None,
    images: str = "**/*",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    batch_size: int = 1,
    jobs: int = 1,
) -> int:
    """Label camera images with vision foundation models: a PNG for each, where 0 says nothing.

    Interrupted runs go on where they stopped. Networks trained on Cityscapes bring its human labels with them: declare
    it.

    Args:
        frames: folder of images, at any depth
        out: folder of the maps, which mirrors FRAMES; it gets manifest.json and sha256.txt
        kind: semantic (a fixed list of classes), open (words of yours), regions (numbers without classes), or an import
            path of a class that extends crosspoint.scene.labels.labeler.Labeler
        model: hub id or folder of the model; by default EoMT-L on Cityscapes for semantic, SAM 2.1 for the others
        revision: revision of the model's repository on the hub
        confidence: least probability of a class; below it the map says 0; by default 0.5 (semantic)
        classes: YAML file, our name → names of the model's classes (semantic)
        detector: hub id or folder of a Grounding DINO; by default the tiny one (open)
        detector_revision: revision of the detector's repository on the hub (open)
        prompts: YAML file, our name → phrases; by default 16 classes of driving (open)
        box_threshold: least probability of a box, by default 0.25 (open)
        text_threshold: least probability of a box's phrase, by default 0.25 (open)
        points: points along each side of the grid that asks for masks, by default 32 (regions)
        predicted_iou: least quality of a mask as the network guesses it, by default 0.8 (regions)
        stability: least stability of a mask, by default 0.95 (regions)
        overlap: largest IoU of two masks; of two with more, one is left out; by default 0.7 (regions)
        images: pattern of paths below FRAMES, such as **/image_02/**
        device: auto takes a GPU where there is one
        batch_size: number of images of one size that the network sees at once
        jobs: processes on a CPU, -1 for one per core
    """
    from crosspoint.scene.labels.build import make_labeler
    from crosspoint.scene.labels.class_table import read_table
    from crosspoint.scene.labels.labeling import label_images

    labeler = make_labeler(
        kind,
        model=model,
        revision=revision,
        confidence=confidence,
        classes=None if classes is None else read_table(classes),
        detector=detector,
        detector_revision=detector_revision,
        prompts=None if prompts is None else read_table(prompts),
        box_threshold=box_threshold,
        text_threshold=text_threshold,
        points=points,
        predicted_iou=predicted_iou,
        stability=stability,
        overlap=overlap,
    )
    made = label_images(labeler, frames, out, images=images, device=device, batch_size=batch_size, jobs=jobs)
    log.info("%d maps written into %s", made, out)
    return 0
