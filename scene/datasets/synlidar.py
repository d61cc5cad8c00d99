"""SynLiDAR (Xiao et al. 2022, https://github.com/xiaoaoran/SynLiDAR): a simulated LiDAR, every return labeled.

    <root>/00/velodyne/000000.bin                 00 to 12
    <root>/00/labels/000000.label

of the SubDataset that papers use (24 GB), or of the full one (245 GB); also on the Hugging Face Hub as AR-X/SynLiDAR.
Sweeps are float32 rows x y z intensity, the intensity in [0, 1]. A label is a uint32, all of it the class: 0 to 32.

There is no official split, and no paper that pre-trained encoders are judged by says which it used. Here the sequence
12 is held out; another one is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from crosspoint.scene.datasets.labeled_sweeps import LabeledSweeps, SweepFiles, beside_sweeps, classes_of, present
from crosspoint.scene.datasets.semantickitti import CLASSES as KITTI_CLASSES
from crosspoint.scene.datasets.semanticposs import CLASSES as POSS_CLASSES

SEQUENCES = tuple(f"{number:02}" for number in range(13))
ClassMap = Literal["semantickitti", "semanticposs", "all"]

# Number by number from 1 (https://github.com/xiaoaoran/SynLiDAR, annotations.yaml); 0 is unlabeled
_ALL = (
    "car", "pick-up", "truck", "bus", "bicycle", "motorcycle", "other-vehicle", "road", "sidewalk", "parking",
    "other-ground", "female", "male", "kid", "crowd", "bicyclist", "motorcyclist", "building", "other-structure",
    "vegetation", "trunk", "terrain", "traffic-sign", "pole", "traffic-cone", "fence", "garbage-can", "electric-box",
    "table", "chair", "bench", "other-object",
)  # fmt: skip
# Which of them make up the classes of two other datasets, number by number of theirs (PointDR's synlidar.yaml, CoSMix)
_Numbers = tuple[tuple[int, ...], ...]
_KITTI: _Numbers = (
    (1,), (5,), (6,), (2, 3), (4, 7), (12, 13, 14, 15), (16,), (17,), (8,), (10,), (9,), (11,), (18,), (26,), (20,),
    (21,), (22,), (24,), (23,),
)  # fmt: skip
_POSS: _Numbers = (
    (12, 13, 14, 15), (16, 17), (1,), (21,), (20,), (23,), (24,), (27,), (18,), (25,), (26,), (5,), (8,),
)  # fmt: skip
_MAPS: dict[str, dict[str, tuple[int, ...]]] = {
    "semantickitti": dict(zip(KITTI_CLASSES, _KITTI, strict=True)),
    "semanticposs": dict(zip(POSS_CLASSES, _POSS, strict=True)),
    "all": {name: (number,) for number, name in enumerate(_ALL, start=1)},
}


class SynLidar(LabeledSweeps):
    """Sweeps of SynLiDAR, with the 19 classes of SemanticKITTI, the 13 of SemanticPOSS, or all 32.

    Args:
        root: the folder of the sequences.
        split: "train" or "val"; None for all 13 sequences, on which PointDR trains.
        skip: keep every skip-th sweep, from the first on: 100 for the 1 % of papers, 10 for 10 %.
        class_map: whose classes: semantickitti, semanticposs or all.
        val_sequences: those held out.
        labels: whether points have classes; None for where a sweep's file is there.
        columns: numbers in a row of a sweep, which begins x y z intensity; None for 4.
        intensity_scale: the largest intensity, which becomes 1; None for 1.
        skip_incomplete: leave out frames that lack a file or cannot be read, and say how many.

    Raises:
        FileNotFoundError: if no sequence of the split is there.
        ValueError: if the split, a sequence or the class map is unknown, or an argument out of range.
    """

    title = "synlidar"
    splits = ("train", "val")

    def __init__(
        self,
        root: str | Path,
        split: str | None = "train",
        skip: int = 1,
        class_map: ClassMap = "semantickitti",
        val_sequences: Sequence[str] = ("12",),
        *,
        labels: bool | None = None,
        columns: int | None = None,
        intensity_scale: float | None = None,
        skip_incomplete: bool = False,
    ) -> None:
        if class_map not in _MAPS:
            raise ValueError(f"found the class_map {class_map!r}, expected one of: {', '.join(_MAPS)}")
        unknown = [name for name in val_sequences if name not in SEQUENCES]
        if unknown or not val_sequences:
            raise ValueError(
                f"found the sequences {', '.join(val_sequences) or 'none'} to hold out, expected some of: "
                f"{', '.join(SEQUENCES)}"
            )
        names = _MAPS[class_map]
        self.classes = tuple(names)
        used = {label for labels_of_class in names.values() for label in labels_of_class}
        self.class_of_label = classes_of(names, [label for label in range(len(_ALL) + 1) if label not in used])
        held = {"train": [name for name in SEQUENCES if name not in val_sequences], "val": sorted(val_sequences)}
        self._sequences = held.get(split or "", list(SEQUENCES))
        super().__init__(root, split, skip, labels, columns, intensity_scale, skip_incomplete)

    def _find(self, root: Path, split: str | None) -> list[SweepFiles]:
        where = "the sweeps of a sequence of SynLiDAR"
        folders = present(root, self._sequences, "velodyne", "SynLiDAR")
        return [frame for folder in folders for frame in beside_sweeps(folder, where)]
