"""nuScenes panoptic (Fong et al. 2022, https://www.nuscenes.org): a class and an object for each point of a keyframe.

    <root>/panoptic/v1.0-trainval/…_panoptic.npz  beside all that `crosspoint.scene.datasets.nuscenes` reads
    <root>/v1.0-trainval/panoptic.json

A file holds `data`, a uint16 per point: 1,000 × the lidarseg label + the object's number within its class, 0 for none.
Points in more than one box are 0, so they are ignored, while lidarseg has a class for them.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crosspoint.renderers.arrays import read_arrays
from crosspoint.renderers.files import short
from crosspoint.scene.datasets.nuscenes import CLASS_OF_LABEL, CLASSES, NuScenes
from crosspoint.scene.datasets.readers import read_sweep, to_classes
from crosspoint.scene.datasets.submission import spread_classes, spread_objects

DIVISOR = 1000


class NuScenesPanoptic(NuScenes):
    """Keyframes of nuScenes whose points have one of 16 classes, and an `instance`; all arguments as of `NuScenes`."""

    label_table = "panoptic"
    things = CLASSES[:10]  # those with boxes
    least_points = 15

    def _label_fields(self, path: Path, kept: np.ndarray) -> dict[str, Tensor]:
        raw = read_panoptic(path, len(kept))[kept]
        objects = raw % DIVISOR > 0
        instances = np.zeros(len(raw), dtype=np.int64)
        instances[objects] = np.unique(raw[objects], return_inverse=True)[1].reshape(-1) + 1
        classes = to_classes(raw // DIVISOR, CLASS_OF_LABEL, path)
        return {"label": torch.from_numpy(classes), "instance": torch.from_numpy(instances)}

    def panoptic_submission(self, index: int, predicted: np.ndarray, objects: np.ndarray) -> tuple[str, bytes]:
        """The file of a sweep's classes and objects, in the numbers of the panoptic challenge.

        Raises:
            ValueError: if a class has more objects than the format holds, or as of `spread_classes`.
        """
        lidar = self._keyframes[index].lidar
        path = self._path(lidar)
        kept = read_sweep(path, *self._layout).kept
        classes = spread_classes(predicted, np.arange(1, len(CLASSES) + 1), kept, str(path), other=0)
        numbers = spread_objects(objects, kept, str(path))
        counted = np.zeros_like(numbers)
        for number in np.unique(classes):
            mine = (classes == number) & (numbers > 0)
            found, places = np.unique(numbers[mine], return_inverse=True)
            if len(found) >= DIVISOR:
                raise ValueError(
                    f"found {len(found)} objects of {CLASSES[number - 1]} for {path}, expected at most {DIVISOR - 1}, "
                    "which the format holds"
                )
            counted[mine] = places.reshape(-1) + 1
        file = io.BytesIO()
        np.savez_compressed(file, data=(DIVISOR * classes + counted).astype(np.uint16))
        return f"{lidar['token']}_panoptic.npz", file.getvalue()


def read_panoptic(path: Path, count: int) -> np.ndarray:
    """Read the `data` of a panoptic file.

    Args:
        path: the file.
        count: returns of the sweep.

    Returns:
        (count,) int64: 1,000 × label + object.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read, or holds another number of labels.
    """
    stored = read_arrays(path, "the panoptic labels of a sweep", "fetch it anew", most=2**28)
    if "data" not in stored:
        raise ValueError(
            f"found no array named data in {path} but {short(sorted(stored))}, expected panoptic labels: fetch it anew"
        )
    data = stored["data"]
    if data.shape != (count,) or data.dtype.kind not in "iu":
        raise ValueError(
            f"found labels of shape {data.shape} and type {data.dtype} in {path}, expected {count} whole numbers, one "
            "per return: the file is cut off or belongs to another sweep"
        )
    found: np.ndarray = data.astype(np.int64)
    return found
