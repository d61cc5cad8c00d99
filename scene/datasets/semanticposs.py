"""SemanticPOSS (Pan et al. 2020, Peking University): a campus with many people, by a LiDAR of 40 beams.

    <root>/sequences/00/velodyne/000000.bin       00 to 05
    <root>/sequences/00/labels/000000.label

as the archive of the dataset's own site at Peking University unpacks. Sweeps are float32 rows x y z intensity, the
intensity 0…255. A label is a uint32 with the class in the lower 16 bits.
The files `tag`, which place the points in a range image, are not needed.
"""

from __future__ import annotations

from pathlib import Path

from crosspoint.scene.datasets.labeled_sweeps import LabeledSweeps, SweepFiles, beside_sweeps, classes_of, present

SEQUENCES = ("00", "01", "02", "03", "04", "05")

# The labels of each class, as in https://github.com/saltoricristiano/cosmix-uda and https://github.com/huixiancheng/CENet
LABELS = {
    "person": (4, 5), "rider": (6,), "car": (7,), "trunk": (8,), "plants": (9,), "traffic-sign": (10, 11, 12),
    "pole": (13,), "trashcan": (14,), "building": (15,), "cone-stone": (16,), "fence": (17,), "bike": (21,),
    "ground": (22,),
}  # fmt: skip
CLASSES = tuple(LABELS)
IGNORED_LABELS = (0, 1, 18, 19, 20)  # unlabeled, and four that are nearly empty and have no meaning


class SemanticPoss(LabeledSweeps):
    """Sweeps of SemanticPOSS with 13 classes.

    Args:
        root: the folder of `sequences`.
        split: "train" or "val"; None for all six sequences.
        skip: keep every skip-th sweep, from the first on: 2 for half of the labels, as papers have it.
        val_sequence: the sequence held out; papers differ: 03 (CoSMix, and the customary one), or 02 (CENet).
        labels: whether points have classes; None for where a sweep's file is there.
        columns: numbers in a row of a sweep, which begins x y z intensity; None for 4.
        intensity_scale: the sensor's largest intensity, which becomes 1; None for 255.
        skip_incomplete: leave out frames that lack a file or cannot be read, and say how many.

    Raises:
        FileNotFoundError: if no sequence of the split is there.
        ValueError: if the split or the sequence is unknown, or an argument out of range.
    """

    title = "semanticposs"
    splits = ("train", "val")
    usual = (4, 255.0)
    label_bits = 0xFFFF
    classes = CLASSES
    class_of_label = classes_of(LABELS, IGNORED_LABELS)

    def __init__(
        self,
        root: str | Path,
        split: str | None = "train",
        skip: int = 1,
        val_sequence: str = "03",
        *,
        labels: bool | None = None,
        columns: int | None = None,
        intensity_scale: float | None = None,
        skip_incomplete: bool = False,
    ) -> None:
        if val_sequence not in SEQUENCES:
            raise ValueError(f"found the sequence {val_sequence!r}, expected one of: {', '.join(SEQUENCES)}")
        held = {"train": [name for name in SEQUENCES if name != val_sequence], "val": [val_sequence]}
        self._sequences = held.get(split or "", list(SEQUENCES))
        super().__init__(root, split, skip, labels, columns, intensity_scale, skip_incomplete)

    def _find(self, root: Path, split: str | None) -> list[SweepFiles]:
        where = "the sweeps of a sequence of SemanticPOSS"
        folders = present(root / "sequences", self._sequences, "velodyne", "SemanticPOSS")
        return [frame for folder in folders for frame in beside_sweeps(folder, where)]
