"""ScribbleKITTI (Unal et al. 2022, https://github.com/ouenal/scribblekitti): lines drawn over SemanticKITTI's sweeps.

    <root>/sequences/00/scribbles/000000.label    00 to 07, 09, 10: of this archive
    <root>/sequences/00/velodyne/000000.bin       and all else: SemanticKITTI's own, in the same folders
    <root>/sequences/08/labels/000000.label

The archive holds labels alone, of 8 % of the points; the others are 0 and ignored. Nobody scribbled on sequence 08, so
what is learned is measured on its full labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crosspoint.scene.datasets.semantickitti import SemanticKitti

SCRIBBLES = "scribbles"
OLIVINE_STEP = 10  # of its validation sweeps


class ScribbleKitti(SemanticKitti):
    """SemanticKITTI with scribbles as the labels of the training sweeps.

    Args:
        root: the folder of `sequences`.
        split: "train" (sequences 00–07, 09, 10, by scribbles), "val" (08, by all labels) or "test" (no labels).
        skip: keep every skip-th sweep of the split, from the first on: 100 for the 1 % of papers, 10 for 10 %.
        sequences: these instead of those of the split that are there, such as ["00"].
        images: whether frames come with image_2; None for where all sequences have it. Without, they have no view.
        sweeps: how many are aggregated, the frame's own and those before it; only its own points have labels.
        as_olivine: validate as OLIVINE's public code does, on every tenth sweep of 08 and by `scribbles`, where that
            archive has none: labels must have been copied there. Only to compare with figures that were made so.
        weak_labels: folder of PNG maps that mirrors the images: `<folder>/<path of the image relative to root>`, with
            the suffix .png: 0 for nothing, 1 to K for the classes of its manifest.
        superpixels: folder of PNG maps of regions, likewise.
        labels: whether points have classes; None for where a sweep's file is there.
        columns: numbers in a row of a sweep, which begins x y z intensity; 3 where there is no intensity; None for 4.
        intensity_scale: the sensor's largest intensity, which becomes 1; None for that of the dataset.
        skip_incomplete: leave out frames that lack a file or cannot be read, and say how many.

    Raises:
        FileNotFoundError: as of `SemanticKitti`.
        ValueError: as of `SemanticKitti`.
    """

    title = "scribblekitti"

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        skip: int = 1,
        sequences: Sequence[str] | None = None,
        images: bool | None = None,
        sweeps: int = 1,
        as_olivine: bool = False,
        *,
        weak_labels: str | Path | None = None,
        superpixels: str | Path | None = None,
        labels: bool | None = None,
        columns: int | None = None,
        intensity_scale: float | None = None,
        skip_incomplete: bool = False,
    ) -> None:
        self.label_folder = SCRIBBLES if split == "train" or (as_olivine and split == "val") else "labels"
        super().__init__(
            root,
            split,
            skip * (OLIVINE_STEP if as_olivine and split == "val" else 1),
            sequences,
            images,
            sweeps,
            weak_labels=weak_labels,
            superpixels=superpixels,
            labels=labels,
            columns=columns,
            intensity_scale=intensity_scale,
            skip_incomplete=skip_incomplete,
        )
