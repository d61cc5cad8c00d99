"""DAPS-3D (https://github.com/subake/DAPS3D): sweeps of an Ouster OS0-64, half synthetic ones and real ones.

    <root>/daps-2/data/<sequence>/clouds/….bin    and daps-1
    <root>/daps-2/data/<sequence>/labels/….label

DAPS-1 has 11 half synthetic sequences (00 to 10), DAPS-2 three real ones. Sweeps are float32 rows x y z signal; the
authors leave the signal aside, which no number of theirs limits. Here it is divided by 255 and clipped. A label is an
int32 with SemanticKITTI's number in the lower 16 bits.

The authors' own navigation file lists DAPS-2's training sequence under validation, too. Here it is not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from crosspoint.scene.datasets.labeled_sweeps import LabeledSweeps, SweepFiles, beside_sweeps, classes_of, present

Part = Literal["daps-1", "daps-2"]

LABELS = {
    "vehicle": (10, 11, 13, 15, 16, 18, 20, 252, 256, 257, 258, 259),
    "human": (30, 31, 32, 253, 254, 255),
    "surface": (40, 44, 48, 49, 60, 72),
    "static-object": (50, 51, 70, 71, 80, 81),
}
CLASSES = tuple(LABELS)
SEQUENCES: dict[str, dict[str, tuple[str, ...]]] = {
    "daps-1": {"train": ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10"), "val": ("08",)},
    "daps-2": {"train": ("38-18_7_72_90",), "val": ("42-48_10_78_90", "44-18_11_15_32")},
}


class Daps3d(LabeledSweeps):
    """Sweeps of DAPS-3D with 4 classes.

    Args:
        root: the folder of `daps-1` and `daps-2`; one of them is enough.
        split: "train" or "val"; None for all sequences of the part.
        skip: keep every skip-th sweep, from the first on: 2 for half of the labels, as papers have it.
        part: daps-2, the real sweeps that papers measure on, or daps-1.
        as_published: let the validation set of daps-2 hold the training sequence, too, as the authors' file and the
            papers have it. Only to compare with figures that were made so.
        labels: whether points have classes; None for where a sweep's file is there.
        columns: numbers in a row of a sweep, which begins x y z intensity; None for 4.
        intensity_scale: the signal that becomes 1; None for 255.
        skip_incomplete: leave out frames that lack a file or cannot be read, and say how many.

    Raises:
        FileNotFoundError: if no sequence of the split is there.
        ValueError: if the split or the part is unknown, or an argument out of range.
    """

    title = "daps3d"
    splits = ("train", "val")
    usual = (4, 255.0)
    label_bits = 0xFFFF
    classes = CLASSES
    class_of_label = classes_of(LABELS, (0, 1, 52, 99))

    def __init__(
        self,
        root: str | Path,
        split: str | None = "train",
        skip: int = 1,
        part: Part = "daps-2",
        as_published: bool = False,
        *,
        labels: bool | None = None,
        columns: int | None = None,
        intensity_scale: float | None = None,
        skip_incomplete: bool = False,
    ) -> None:
        if part not in SEQUENCES:
            raise ValueError(f"found the part {part!r}, expected one of: {', '.join(SEQUENCES)}")
        if as_published and part != "daps-2":
            raise ValueError(f"found as_published for {part}, expected it for daps-2 alone: leave it out")
        self._part, self._leaky = part, as_published
        super().__init__(root, split, skip, labels, columns, intensity_scale, skip_incomplete)

    def _find(self, root: Path, split: str | None) -> list[SweepFiles]:
        sequences = SEQUENCES[self._part]
        wanted = sequences["train"] + sequences["val"] if split is None else sequences[split]
        if self._leaky and split == "val":
            wanted = sequences["train"] + wanted
        where = "the sweeps of a sequence of DAPS-3D"
        folders = present(root / self._part / "data", sorted(wanted), "clouds", "DAPS-3D")
        return [frame for folder in folders for frame in beside_sweeps(folder, where, "clouds")]
