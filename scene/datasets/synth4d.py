"""Synth4D (Saltori et al. 2022, https://arxiv.org/abs/2207.09763): sweeps from CARLA's towns, every return labeled.

    <root>/kitti_synth/Town03/velodyne/000000.npy     Town03, Town06, Town07, Town10HD; and nuscenes_synth
    <root>/kitti_synth/Town03/labels/000000.npy
    <root>/splits/kitti_synth/{training,validation}_split.pkl      where a split is asked for

as https://github.com/saltoricristiano/gipso-sfouda describes it: `kitti_synth` like a Velodyne HDL-64E,
`nuscenes_synth` like an HDL-32E. A sweep is an array whose rows begin x y z intensity, a file of labels one number per
row, 0 to 22. The authors' lists are pickles: a table of the frames' names by town. They are read without running
anything that stands in them.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Literal

import numpy as np

from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.datasets.labeled_sweeps import LabeledSweeps, SweepFiles, classes_of
from crosspoint.scene.datasets.readers import find_sweeps

Part = Literal["kitti_synth", "nuscenes_synth"]
PARTS = ("kitti_synth", "nuscenes_synth")

# `learning_map` of that repository's utils/_resources/synthetic.yaml
LABELS = {
    "vehicle": (10,), "pedestrian": (4,), "road": (6, 7), "sidewalk": (8,), "terrain": (22,),
    "manmade": (1, 2, 5, 11, 12, 15, 16, 17), "vegetation": (9,),
}  # fmt: skip
CLASSES = tuple(LABELS)
IGNORED_LABELS = (0, 3, 13, 14, 18, 19, 20, 21)  # noise, other, sky, ground, traffic light, static, dynamic, water
_ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray")  # before NumPy 2, and since
_ALLOWED = {("numpy", "ndarray"), ("numpy", "dtype"), ("numpy", "str_"), ("_codecs", "encode")}
_ALLOWED |= {(module, name) for module in _ARRAYS for name in ("_reconstruct", "scalar")}
_FILES = {"train": "training_split.pkl", "val": "validation_split.pkl"}


class Synth4d(LabeledSweeps):
    """Sweeps of Synth4D with 7 classes.

    Args:
        root: the folder of the parts and of `splits`.
        split: "train" or "val", by the authors' lists; None for all sweeps of the part.
        skip: keep every skip-th sweep, from the first on: 100 for the 1 % of papers.
        part: kitti_synth or nuscenes_synth.
        labels: whether points have classes; None for where a sweep's file is there.
        intensity_scale: the largest intensity, which becomes 1; None for 1.
        skip_incomplete: leave out frames that lack a file or cannot be read, and say how many.

    Raises:
        FileNotFoundError: if the part, or the list of the split, is not there.
        ValueError: if the split or the part is unknown, the list broken, or an argument out of range.
    """

    title = "synth4d"
    splits = ("train", "val")
    classes = CLASSES
    class_of_label = classes_of(LABELS, IGNORED_LABELS)

    def __init__(
        self,
        root: str | Path,
        split: str | None = "train",
        skip: int = 1,
        part: Part = "kitti_synth",
        *,
        labels: bool | None = None,
        intensity_scale: float | None = None,
        skip_incomplete: bool = False,
    ) -> None:
        if part not in PARTS:
            raise ValueError(f"found the part {part!r}, expected one of: {', '.join(PARTS)}")
        self._part = part
        super().__init__(root, split, skip, labels, None, intensity_scale, skip_incomplete)

    def _find(self, root: Path, split: str | None) -> list[SweepFiles]:
        folder, where = root / self._part, "the sweeps of a town of Synth4D"
        if split is None:
            towns = sorted(path for path in folder.glob("*") if (path / "velodyne").is_dir())
            if not towns:
                raise FileNotFoundError(f"found no town in {folder}, expected Town03/velodyne or the like: give `root`")
            paths = [path for town in towns for path in find_sweeps(town / "velodyne", where, (".npy",))]
        else:
            listed = read_split(root / "splits" / self._part / _FILES[split])
            paths = sorted(folder / town / "velodyne" / f"{name}.npy" for town in listed for name in listed[town])
        return [
            SweepFiles(f"{path.parents[1].name}/{path.stem}", path, path.parents[1] / "labels" / path.name)
            for path in paths
        ]

    submission = LidarDataset.submission  # none: its labels are arrays of NumPy, and no server takes predictions

    def _read_raw(self, path: Path, kept: np.ndarray) -> np.ndarray:
        try:
            stored = np.load(path, allow_pickle=False)
        except FileNotFoundError:
            raise FileNotFoundError(f"found no file {path}, expected the labels of a sweep") from None
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"found no array in {path} ({error}), expected labels: fetch it anew") from None
        labels = stored.reshape(-1)
        if len(labels) != len(kept) or labels.dtype.kind not in "iuf" or (labels < 0).any():
            raise ValueError(
                f"found {len(labels)} labels of type {labels.dtype} in {path}, expected {len(kept)} of 0 or more, one "
                "per return: the file is cut off or belongs to another sweep"
            )
        found: np.ndarray = labels[kept].astype(np.int64)
        return found


def read_split(path: Path) -> dict[str, list[str]]:
    """The names of a split's frames by town.

    Raises:
        FileNotFoundError: if there is no such list.
        ValueError: if it holds anything but names, or none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"found no file {path}, expected the authors' list: unpack their splits there")
    try:
        with path.open("rb") as file:
            stored = _Names(file).load()
        listed = {str(town): [_name(name) for name in np.asarray(names).tolist()] for town, names in stored.items()}
    except Exception as error:  # a pickle can be broken in any way
        what = " ".join(str(error).split())
        raise ValueError(
            f"found no table of names in {path} ({what}), expected frames by town: fetch it anew"
        ) from None
    if not any(listed.values()):
        raise ValueError(f"found no name in {path}, expected frames by town: fetch it anew")
    return listed


def _name(name: object) -> str:
    return f"{name:06}" if isinstance(name, int) else str(name)


class _Names(pickle.Unpickler):
    """Tables, lists, texts, numbers and arrays of them; nothing that could run."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse all others."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)
