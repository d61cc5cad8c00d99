"""SemanticSTF (Xiao et al. 2023, https://github.com/xiaoaoran/SemanticSTF): sweeps in fog, rain and snow.

    <root>/train/velodyne/….bin                   and val, test
    <root>/train/labels/….label

as it is on the Hugging Face Hub, AR-X/SemanticSTF. Sweeps are float32 rows x y z intensity ring, the intensity
0…255. Files of labels hold the 19 classes of SemanticKITTI as they are trained on, 1 to 19; 0 (unlabeled) and 20
(invalid: what the weather itself returned) are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crosspoint.scene.datasets.labeled_sweeps import LabeledSweeps, SweepFiles, beside_sweeps, classes_of
from crosspoint.scene.datasets.semantickitti import CLASSES

# What OLIVINE's loader takes these numbers for: it has the table of SemanticPOSS, whose numbers mean something else.
# Seven of its classes are mixtures, and eight never occur.
_OLIVINE_LABELS = {
    "truck+other-vehicle": (4, 5), "person": (6,), "bicyclist": (7,), "motorcyclist": (8,), "road": (9,),
    "parking+sidewalk+other-ground": (10, 11, 12), "building": (13,), "fence": (14,), "vegetation": (15,),
    "trunk": (16,), "terrain": (17,), **{f"never {number}": () for number in range(12, 20)},
}  # fmt: skip


class SemanticStf(LabeledSweeps):
    """Sweeps of SemanticSTF with the 19 classes of SemanticKITTI.

    Args:
        root: the folder of `train`, `val` and `test`.
        split: "train", "val" or "test".
        skip: keep every skip-th sweep, from the first on: 2 for half of the labels, as papers have it.
        as_olivine: take the labels for those that OLIVINE's public code takes them for: SemanticPOSS's table applied to
            other numbers, so that cars, bicycles and poles are ignored, and 8 of 19 classes never occur, each of which
            counts as found in `miou_absent_as_100`. Only to compare with figures that were made so.
        labels: whether points have classes; None for where a sweep's file is there.
        columns: numbers in a row of a sweep, which begins x y z intensity; None for 5.
        intensity_scale: the sensor's largest intensity, which becomes 1; None for 255.
        skip_incomplete: leave out frames that lack a file or cannot be read, and say how many.

    Raises:
        FileNotFoundError: if the folder of the split is not there.
        ValueError: if the split is unknown, or an argument out of range.
    """

    title = "semanticstf"
    splits = ("train", "val", "test")
    usual = (5, 255.0)
    classes: Sequence[str] = CLASSES
    class_of_label = classes_of({name: (place,) for place, name in enumerate(CLASSES, start=1)}, (0, 20))

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        skip: int = 1,
        as_olivine: bool = False,
        *,
        labels: bool | None = None,
        columns: int | None = None,
        intensity_scale: float | None = None,
        skip_incomplete: bool = False,
    ) -> None:
        if as_olivine:
            self.classes = tuple(_OLIVINE_LABELS)
            self.class_of_label = classes_of(_OLIVINE_LABELS, (0, 1, 2, 3, 18, 19, 20))
        super().__init__(root, split, skip, labels, columns, intensity_scale, skip_incomplete)

    def _find(self, root: Path, split: str | None) -> list[SweepFiles]:
        where = "the sweeps of SemanticSTF: give the folder above train and val"
        return beside_sweeps(root / str(split), where)
