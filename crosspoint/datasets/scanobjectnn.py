"""ScanObjectNN: 15 classes of objects cut from indoor scans (Uy et al., ICCV 2019, https://arxiv.org/abs/1908.04616).

    <root>/main_split/training_objectdataset.h5                       obj_bg: objects with background; and test_…
    <root>/main_split_nobg/training_objectdataset.h5                  obj_only: without
    <root>/main_split/training_objectdataset_augmented25_norot.h5     pb_t25: boxes moved by up to a quarter
    <root>/main_split/training_objectdataset_augmented25rot.h5        pb_t25_r: and turned
    <root>/main_split/training_objectdataset_augmentedrot.h5          pb_t50_r: moved by up to half, and turned
    <root>/main_split/training_objectdataset_augmentedrot_scale75.h5  pb_t50_rs: and scaled

as h5_files.zip unpacks, which https://hkust-vgd.github.io/scanobjectnn gives out under its terms of use. The folder
above h5_files will do, and for the moved ones their files alone in <root>; of obj_bg also CrossPoint's copy,
<root>/main_split/{train,test}.h5.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np

from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.hdf5 import read_archives
from crosspoint.datasets.labeled import LabeledDataset

Variant = Literal["obj_bg", "obj_only", "pb_t25", "pb_t25_r", "pb_t50_r", "pb_t50_rs"]

CLASSES = (
    "bag", "bin", "box", "cabinet", "chair", "desk", "display", "door", "shelf", "table", "bed", "pillow", "sink",
    "sofa", "toilet",
)  # fmt: skip

_MOVED: dict[Variant, str] = {
    "pb_t25": "objectdataset_augmented25_norot",
    "pb_t25_r": "objectdataset_augmented25rot",
    "pb_t50_r": "objectdataset_augmentedrot",
    "pb_t50_rs": "objectdataset_augmentedrot_scale75",
}
# Names of a split's file, of which the first that is there is read; CrossPoint's copy calls them train.h5 and test.h5.
_FILES: dict[Variant, tuple[str, ...]] = {
    "obj_bg": ("main_split/{official}_objectdataset.h5", "main_split/{split}.h5"),
    "obj_only": ("main_split_nobg/{official}_objectdataset.h5",),
    **{variant: (f"main_split/{{official}}_{name}.h5", f"{{official}}_{name}.h5") for variant, name in _MOVED.items()},
}
_OFFICIAL = {"train": "training", "test": "test"}


def scanobjectnn_clouds(
    root: str | Path, split: str, points: int = 1024, variant: Variant = "obj_bg", normalize: bool = False
) -> Clouds:
    """Read one variant of ScanObjectNN from its HDF5 files; y is up, as it is in the files.

    Args:
        root: the folder that holds `main_split` (and `main_split_nobg`), unpacked from h5_files.zip, which
            https://hkust-vgd.github.io/scanobjectnn gives out under its terms of use; also CrossPoint's copy with
            `main_split/{train,test}.h5`.
        split: "train" or "test".
        points: of a cloud, at most 2,048: the first ones.
        variant: obj_bg, objects with the background in their boxes (2,309 and 581 clouds; what CrossPoint reports);
            obj_only, without background; pb_t25, pb_t25_r and pb_t50_r, boxes moved by up to a quarter or half, R also
            turned; pb_t50_rs, the hardest: moved, turned and scaled.
        normalize: center each cloud and scale it into the unit sphere, as pre-training does; published results take
            the clouds as they are stored.

    Raises:
        FileNotFoundError: if there is no such folder or file.
        ValueError: if the split or variant is unknown, or the file does not hold what it should.
    """
    if variant not in _FILES:
        raise ValueError(f"found the variant {variant!r}, expected one of: {', '.join(get_args(Variant))}")
    if split not in _OFFICIAL:
        raise ValueError(f"found the split {split!r}, expected one of: {', '.join(_OFFICIAL)}")
    archive = read_archives([_find(Path(root), split, variant)], points)
    clouds = archive.points
    if normalize:
        clouds = clouds - clouds.mean(axis=1, keepdims=True)
        radius = np.linalg.norm(clouds, axis=2).max(axis=1)
        clouds = clouds / np.where(radius > 0, radius, 1.0)[:, None, None].astype(np.float32)
    name = f"scanobjectnn/{variant}" + ("/normalized" if normalize else "")
    return Clouds(clouds, archive.labels, list(CLASSES), name, split)


def _find(root: Path, split: str, variant: Variant) -> Path:
    if not root.is_dir():
        raise FileNotFoundError(f"found no folder {root}, expected the one that holds main_split: check the path")
    names = [name.format(split=split, official=_OFFICIAL[split]) for name in _FILES[variant]]
    for folder in (root, root / "h5_files"):
        for name in names:
            if (folder / name).is_file():
                return folder / name
    inside = sorted(path.name for path in root.iterdir())
    if root.name.startswith("main_split"):
        remedy = f"give the folder above it, {root.parent}"
    else:
        remedy = "unpack h5_files.zip of hkust-vgd.github.io/scanobjectnn there"
    raise FileNotFoundError(
        f"found {', '.join(inside[:5]) or 'nothing'} in {root}, expected {' or '.join(names)}: {remedy}"
    )


class ScanObjectNNObjBg(LabeledDataset):
    """Objects with the background in their boxes, from the folder that `scanobjectnn_clouds` reads, y up."""

    variant: ClassVar[Variant] = "obj_bg"

    def clouds(self, split: str, points: int, seed: int) -> Clouds:
        """Read one split: the first points of each cloud."""
        return scanobjectnn_clouds(self.root, split, points, variant=self.variant)


class ScanObjectNNObjOnly(ScanObjectNNObjBg):
    """The same objects without background."""

    variant = "obj_only"


class ScanObjectNNPbT25(ScanObjectNNObjBg):
    """Boxes moved by up to a quarter of their sides."""

    variant = "pb_t25"


class ScanObjectNNPbT25R(ScanObjectNNObjBg):
    """Boxes moved by up to a quarter of their sides, and turned."""

    variant = "pb_t25_r"


class ScanObjectNNPbT50R(ScanObjectNNObjBg):
    """Boxes moved by up to half of their sides, and turned."""

    variant = "pb_t50_r"


class ScanObjectNNPbT50Rs(ScanObjectNNObjBg):
    """The hardest variant: boxes moved, turned and scaled."""

    variant = "pb_t50_rs"
