"""ShapeNetPart and anything laid out like it: clouds with a category each and a part label per point.

    <root>/ply_data_train0.h5                     and further ones, val0, test0, …
    <root>/categories.json                        optional: names of categories and parts

as https://shapenet.cs.stanford.edu/media/shapenet_part_seg_hdf5_data.zip unpacks (Yi et al., 2016). The text archives,
shapenetcore_partanno_segmentation_benchmark_v0 and …_v0_normal, will do, too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from msgspec import Struct

from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.field_columns import missing_fields
from crosspoint.datasets.hdf5 import check_archives, find_archives, open_archive, part_key_of, read_archives
from crosspoint.datasets.labeled import LabeledDataset
from crosspoint.datasets.shapenetpart_text import find_text, read_text
from crosspoint.fields import Fields
from crosspoint.renderers.files import short
from crosspoint.renderers.records import read_json

SOURCE = "get shapenet_part_seg_hdf5_data.zip (shapenet.cs.stanford.edu/media) and unpack it there"
PART_KEYS = ("pid", "seg")  # of Stanford's archive, and of https://github.com/antao97/PointCloudDatasets

# Categories in the order of their labels, and how many parts each has (Yi et al., 2016).
SHAPENETPART = {
    "Airplane": 4, "Bag": 2, "Cap": 2, "Car": 4, "Chair": 4, "Earphone": 3, "Guitar": 3, "Knife": 2, "Lamp": 4,
    "Laptop": 2, "Motorbike": 6, "Mug": 2, "Pistol": 3, "Rocket": 3, "Skateboard": 3, "Table": 3,
}  # fmt: skip
_FILES = {"train": ("train",), "val": ("val",), "trainval": ("train", "val"), "test": ("test",)}


def shapenetpart_clouds(
    root: str | Path, split: str, points: int = 2048, download: bool = False, seed: int = 0, fields: Fields = ()
) -> Clouds:
    """Read `*{train,val,test}*.h5` with keys data (n, 2048, 3), label (n, 1) and pid or seg (n, 2048); y is up.

    The text archives (`shapenetcore_partanno_segmentation_benchmark_v0` and `…_v0_normal`) are read as well.

    Names of categories and parts come from `categories.json` beside the files (`{"categories": […], "parts": {category:
    [part numbers]}, "part_names": {category: [names]}}`, the names optional), or are ShapeNetPart's own 16 categories
    and 50 parts if these fit what the files hold, or else are numbers. Parts are named "<category>/<part>".

    Args:
        root: the folder of the .h5 files, from
            https://shapenet.cs.stanford.edu/media/shapenet_part_seg_hdf5_data.zip (Yi et al., 2016); with `download`,
            any folder. The folder above is taken, too.
        split: "train", "val", "trainval" (what CrossPoint fine-tunes on) or "test".
        points: of a cloud: the first ones.
        download: get the original text files through torch_geometric.datasets.ShapeNet, which keeps them in `root`.
            Their clouds differ in size: `points` of each are drawn, with repeats only where it has fewer.
        seed: of these draws, and of those from a text archive.
        fields: ("normals",) for those of the text archive …_v0_normal; not with `download`.

    Raises:
        FileNotFoundError: if there is no such folder or file.
        ValueError: if the split is unknown, or the files do not hold what they should, or not what categories.json
            says.
    """
    if split not in _FILES:
        raise ValueError(f"found the split {split!r}, expected one of: {', '.join(_FILES)}")
    root = Path(root)
    if download and not list(root.glob("*.h5")):
        if fields:
            raise missing_fields(fields, "the clouds that torch_geometric downloads")
        return _downloaded(root, split, points, seed)
    text = find_text(root)
    if text is not None and not list(root.glob("*.h5")):
        clouds, labels, parts = read_text(text, _FILES[split], points, seed, SHAPENETPART, fields)
        return Clouds(clouds, labels, STANDARD.classes, "shapenetpart/text", split, parts, STANDARD.parts, fields)
    paths = [path for part in _FILES[split] for path in find_archives(root, f"*{part}*.h5", SOURCE)]
    archive = read_archives(paths, points, PART_KEYS, fields)
    names = _names(paths[0].parent)
    read = Clouds(
        archive.points, archive.labels, names.classes, "shapenetpart", split, archive.parts, names.parts, fields
    )
    assert archive.parts is not None
    _check_parts(read, archive.parts, names)
    return read


class _Categories(Struct, frozen=True):
    """A categories.json."""

    categories: list[str | int]
    parts: dict[str, list[int]]
    part_names: dict[str, list[str | int]] = {}


class _Names(NamedTuple):
    classes: list[str]
    parts: list[str]
    owners: list[int]  # the category of each part, -1 for one that several share


STANDARD = _Names(
    list(SHAPENETPART),
    [f"{category}/{part}" for category, count in SHAPENETPART.items() for part in range(count)],
    [category for category, count in enumerate(SHAPENETPART.values()) for _ in range(count)],
)


def _names(root: Path) -> _Names:
    """Categories and parts of a folder, the same whichever split is read."""
    described = root / "categories.json"
    if os.path.lexists(described):
        return _described(described)
    pairs = _pairs(root)
    if pairs <= set(zip(STANDARD.owners, range(len(STANDARD.owners)), strict=True)):
        return STANDARD
    classes = [str(category) for category in range(max(category for category, _ in pairs) + 1)]
    owners = [-1] * (max(part for _, part in pairs) + 1)
    for part in range(len(owners)):
        categories = [category for category, other in pairs if other == part]
        owners[part] = categories[0] if len(categories) == 1 else -1
    return _Names(classes, [f"{owner if owner >= 0 else '-'}/{part}" for part, owner in enumerate(owners)], owners)


def _pairs(root: Path) -> set[tuple[int, int]]:
    """Which (category, part) occur in any file of a folder."""
    paths = sorted(root.glob("*.h5"))
    check_archives(paths, 1, PART_KEYS)
    pairs: set[tuple[int, int]] = set()
    for path in paths:
        with open_archive(path) as file:
            key = part_key_of(file, PART_KEYS)
            labels, parts = file["label"][()].reshape(-1).astype(np.int64), file[str(key)][()].astype(np.int64)
        for category in np.unique(labels).tolist():
            pairs.update((category, part) for part in np.unique(parts[labels == category]).tolist())
    return pairs


def _described(path: Path) -> _Names:
    """The names in a categories.json."""
    wanted, remedy = "categories [names] and parts {category: [numbers, of 0, 1, 2, … each once]}", "mend or remove it"
    described = read_json(path, _Categories, wanted, remedy)
    classes, parts = [str(category) for category in described.categories], []
    for owner, category in enumerate(classes):
        numbers = described.parts.get(category)
        names = described.part_names.get(category, range(len(numbers or ())))
        if numbers is None or len(names) != len(numbers):
            raise ValueError(
                f"found {len(numbers or ())} parts and {len(names)} names of {short(category)} in {path}, expected "
                f"{wanted}: {remedy}"
            )
        for number, name in zip(numbers, names, strict=True):
            parts.append((number, owner, f"{category}/{str(name).removeprefix(f'{category}/')}"))
    parts.sort()
    if not parts or [number for number, _, _ in parts] != list(range(len(parts))):
        raise ValueError(f"found part numbers twice or left out in {path}, expected {wanted}: mend or remove it")
    return _Names(classes, [name for _, _, name in parts], [owner for _, owner, _ in parts])


def _check_parts(clouds: Clouds, parts: np.ndarray, names: _Names) -> None:
    """Every part that occurs has a name, and one of its cloud's category."""
    if parts.min() < 0 or parts.max() >= len(names.parts):
        raise ValueError(
            f"shapenetpart ({clouds.split}): found parts {parts.min()}…{parts.max()} in pid, expected "
            f"0…{len(names.parts) - 1} for its {len(names.parts)} part names: correct categories.json"
        )
    owners = np.array(names.owners)[parts]
    foreign = (owners != clouds.labels[:, None]) & (owners >= 0)
    if foreign.any():
        cloud, point = np.argwhere(foreign)[0].tolist()
        raise ValueError(
            f"shapenetpart ({clouds.split}): found a point of {names.parts[parts[cloud, point]]} in cloud {cloud}, "
            f"expected parts of its category {names.classes[clouds.labels[cloud]]}: correct categories.json"
        )


def _downloaded(root: Path, split: str, points: int, seed: int) -> Clouds:
    """ShapeNetPart's original text files, through torch-geometric."""
    from torch_geometric.datasets import ShapeNet

    clouds, labels, parts = [], [], []
    for number, shape in enumerate(ShapeNet(str(root), include_normals=False, split=split)):
        rng = np.random.default_rng([seed, number])
        drawn = rng.choice(len(shape.pos), points, replace=len(shape.pos) < points)
        clouds.append(shape.pos.numpy()[drawn])
        labels.append(int(shape.category))
        parts.append(shape.y.numpy()[drawn])
    return Clouds(
        np.stack(clouds).astype(np.float32),
        np.array(labels, dtype=np.int64),
        STANDARD.classes,
        "shapenetpart/text",
        split,
        np.stack(parts).astype(np.int64),
        STANDARD.parts,
    )


class ShapeNetPart(LabeledDataset):
    """Clouds with a part label at every point, from the folder that `shapenetpart_clouds` reads, y up."""

    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    has_parts: ClassVar[bool] = True

    def clouds(self, split: str, points: int, seed: int) -> Clouds:
        """Read one split: the first points of each cloud, or points drawn from the clouds of a text archive."""
        return shapenetpart_clouds(self.root, split, points, seed=seed)

    def clouds_with(self, split: str, points: int, seed: int, fields: Fields) -> Clouds:
        """The same with the normals of a text archive."""
        return shapenetpart_clouds(self.root, split, points, seed=seed, fields=fields)
