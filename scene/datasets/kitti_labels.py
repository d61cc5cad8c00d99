"""Label and result files of KITTI's object benchmark, in its own columns.

A line holds: class, truncation, occlusion, angle of sight, four sides in the image, height, width, length, then the
middle of the bottom face in the first camera's rectified frame (x right, y down, z forward), the turn about y, and in
results a score (https://www.cvlibs.net/datasets/kitti/eval_object.php, the development kit's readme).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.files import short
from crosspoint.scene.datasets.readers import read_lines

CLASSES = (
    "Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc", "DontCare",
)  # fmt: skip
DONT_CARE = "DontCare"  # a region whose objects nobody labeled: it has a box in the image and no other
_LOWER = {name.lower() for name in CLASSES}
_COLUMNS = {
    "truncation": (), "occlusion": (), "alpha": (), "image_boxes": (4,), "sizes": (3,), "positions": (3,),
    "rotation_y": (),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class KittiLabels:
    """Objects of one frame as KITTI labels them, or as a detector finds them.

    Args:
        names: n classes of KITTI's nine, in upper or lower case.
        truncation: (n,) from 0 to 1; −1 in results.
        occlusion: (n,) 0 visible, 1 partly, 2 largely occluded, 3 unknown; −1 in results.
        alpha: (n,) radians, the turn about y as seen along the ray to the object.
        image_boxes: (n, 4) left, top, right, bottom in pixels, the center of the top-left one at (0, 0).
        sizes: (n, 3) height, width, length in meters.
        positions: (n, 3) x y z of the middle of the bottom face in the first camera's rectified frame, meters.
        rotation_y: (n,) radians from x towards −z.
        scores: (n,), or None for labels.

    Raises:
        ValueError: if lengths differ, a number is not finite, a class is unknown, a size is negative (but of DontCare),
            or an image box has its right side left of its left, or its bottom above its top.
    """

    names: Sequence[str]
    truncation: np.ndarray
    occlusion: np.ndarray
    alpha: np.ndarray
    image_boxes: np.ndarray
    sizes: np.ndarray
    positions: np.ndarray
    rotation_y: np.ndarray
    scores: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        columns = _COLUMNS if self.scores is None else _COLUMNS | {"scores": ()}
        for name, tail in columns.items():
            object.__setattr__(self, name, _column(getattr(self, name), name, (len(self.names), *tail)))
        unknown = [name for name in self.names if not isinstance(name, str) or name.lower() not in _LOWER]
        if unknown:
            raise ValueError(f"found the class {short(unknown[0])}, expected one of KITTI's: {', '.join(CLASSES)}")
        wrong = (self.sizes < 0).any(axis=1) & ~self.of_class(DONT_CARE)
        if wrong.any():
            place = int(wrong.argmax())
            raise ValueError(
                f"found a negative size in {self.sizes[place].tolist()} of object {place}, {self.names[place]}, "
                "expected height, width, length in meters"
            )
        wrong = (self.image_boxes[:, 2:] < self.image_boxes[:, :2]).any(axis=1)
        if wrong.any():
            place = int(wrong.argmax())
            raise ValueError(
                f"found the image box {self.image_boxes[place].tolist()} of object {place}, expected left, top, right, "
                "bottom"
            )

    def __len__(self) -> int:
        return len(self.names)

    def of_class(self, *names: str) -> np.ndarray:
        """Which objects (n,) bool are of one of some classes, in upper or lower case."""
        wanted = {name.lower() for name in names}
        return np.array([name.lower() in wanted for name in self.names], dtype=bool)

    def upright(self) -> np.ndarray:
        """Boxes (n, 7) float64 about the vertical of the camera's frame, x forward, y left, z up; for overlaps.

        Columns as of `crosspoint.scene.data.sample.Boxes`. The axes are the camera's under other names, so this needs
        no calibration and is not the LiDAR's frame.
        """
        height, width, length = self.sizes.T
        x, y, z = self.positions.T
        return np.stack([z, -x, height / 2 - y, length, width, height, -(math.pi / 2 + self.rotation_y)], axis=1)


def read_labels(path: Path) -> KittiLabels:
    """The objects of a label or a result file, DontCare among them.

    Args:
        path: the file. One of results has 16 columns, and lines of labels 15; an empty file says neither.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a line has another number of words, or words that are no finite numbers, or lines differ; or as
            `KittiLabels`.
    """
    names: list[str] = []
    rows: list[list[float]] = []
    for line in read_lines(path, "the labels of a frame"):
        kind, *words = line.split()
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            numbers = []
        if len(numbers) not in (14, 15) or not all(map(math.isfinite, numbers)):
            raise ValueError(f"found the line {short(line)} in {path}, expected a class and 14 numbers")
        if rows and len(rows[0]) != len(numbers):
            raise ValueError(f"found lines with and without a score in {path}, expected either all or none with one")
        names.append(kind)
        rows.append(numbers)
    table = np.array(rows, dtype=np.float64).reshape(len(rows), -1 if rows else 14)
    scores = table[:, 14] if table.shape[1] == 15 else None
    truncation, occlusion, alpha = table[:, :3].T
    boxes, sizes, positions = table[:, 3:7], table[:, 7:10], table[:, 10:13]
    try:
        return KittiLabels(names, truncation, occlusion, alpha, boxes, sizes, positions, table[:, 13], scores)
    except ValueError as error:
        raise ValueError(f"{error}: in {path}") from None


def write_results(found: KittiLabels, path: Path) -> None:
    """Write a result file of 16 columns, atomically; a frame without objects gives an empty file, as the server asks.

    Lengths are written to a tenth of a millimeter, angles to 1e-6, scores to eight digits.

    Args:
        found: with scores.
        path: such as `<folder>/000123.txt`; one that is there is written over.

    Raises:
        ValueError: if there are no scores.
        OSError: if the file cannot be written.
    """
    if found.scores is None:
        raise ValueError(f"found objects without scores for {path}, expected one for each: give those of the detector")
    lines = []
    for place, name in enumerate(found.names):
        boxes = [*found.image_boxes[place], *found.sizes[place], *found.positions[place]]
        lengths = " ".join(f"{value:.4f}" for value in boxes)
        state = f"{found.truncation[place]:g} {found.occlusion[place]:g} {found.alpha[place]:.6f}"
        lines.append(f"{name} {state} {lengths} {found.rotation_y[place]:.6f} {found.scores[place]:.8g}\n")
    with atomic_write(path) as file:
        file.write("".join(lines).encode())


def _column(values: np.ndarray, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """`values` as finite float64 of a shape."""
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != shape:
        raise ValueError(
            f"found {name} of shape {numbers.shape}, expected {shape}, a row for each of {shape[0]} classes"
        )
    if not np.isfinite(numbers).all():
        place = int(np.argwhere(~np.isfinite(numbers))[0, 0])
        raise ValueError(f"found NaN or infinite numbers in {name} of object {place}, expected finite ones")
    return numbers
