"""Layouts of mesh folders: the meshes that are there, and what their places say: class, split, up axis."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from crosspoint.renderers.mesh_tree import HINTS, MeshTree, mesh_suffixes, walk
from crosspoint.renderers.meshes import UpAxis

Layout = Literal["modelnet", "shapenet", "labeled", "flat"]

SPLITS = {
    "train": "train", "training": "train", "trn": "train", "val": "val", "valid": "val", "validation": "val",
    "dev": "val", "test": "test", "testing": "test", "tst": "test",
}  # fmt: skip

# The 55 synsets of ShapeNetCore v2 (Chang et al. 2015, https://arxiv.org/abs/1512.03012), under its own names.
SHAPENET_CLASSES = {
    "02691156": "airplane", "02747177": "ashcan", "02773838": "bag", "02801938": "basket", "02808440": "bathtub",
    "02818832": "bed", "02828884": "bench", "02843684": "birdhouse", "02871439": "bookshelf", "02876657": "bottle",
    "02880940": "bowl", "02924116": "bus", "02933112": "cabinet", "02942699": "camera", "02946921": "can",
    "02954340": "cap", "02958343": "car", "02992529": "cellular telephone", "03001627": "chair", "03046257": "clock",
    "03085013": "computer keyboard", "03207941": "dishwasher", "03211117": "display", "03261776": "earphone",
    "03325088": "faucet", "03337140": "file", "03467517": "guitar", "03513137": "helmet", "03593526": "jar",
    "03624134": "knife", "03636649": "lamp", "03642806": "laptop", "03691459": "loudspeaker", "03710193": "mailbox",
    "03759954": "microphone", "03761084": "microwave", "03790512": "motorcycle", "03797390": "mug",
    "03928116": "piano", "03938244": "pillow", "03948459": "pistol", "03991062": "pot", "04004475": "printer",
    "04074963": "remote control", "04090263": "rifle", "04099429": "rocket", "04225987": "skateboard",
    "04256520": "sofa", "04330267": "stove", "04379243": "table", "04401088": "telephone", "04460130": "tower",
    "04468005": "train", "04530566": "vessel", "04554684": "washer",
}  # fmt: skip

SHAPENET_MODEL = re.compile(r"(?:models/model_normalized|model)\.obj")


@dataclass(frozen=True)
class Item:
    """One mesh of a source."""

    path: str  # relative to the source, with forward slashes
    key: str  # unique in the set, without dots
    category: str | None
    split: str  # "all" where the source has no splits
    bytes: int


@dataclass(frozen=True)
class Source:
    """All meshes of a folder."""

    layout: Layout
    up_axis: UpAxis  # by the layout's convention
    classes: list[str]
    items: list[Item]  # sorted by path
    root: Path = Path()  # the folder that paths are relative to
    notes: list[str] = field(default_factory=list)  # what was left out, and what else may be meant
    single: bool = False  # one file, given by its own path

    def __str__(self) -> str:
        """What the folder was taken for, in a few lines."""
        splits = Counter(item.split for item in self.items)
        suffixes = Counter(os.path.splitext(item.path)[1].lower() for item in self.items)
        classes = f"{len(self.classes)} {'class' if len(self.classes) == 1 else 'classes'}"
        named = f"{classes} ({_some(self.classes)})" if self.classes else "no classes"
        parts = [f"{split} {count:,}" for split, count in sorted(splits.items())]
        where = "no splits" if set(splits) == {"all"} else f"splits {', '.join(parts)}"
        files = ", ".join(f"{count:,} {suffix}" for suffix, count in suffixes.most_common())
        first = f"{self.root}: {NAMES[self.layout]}, {named}, {where}, {self.up_axis} up; meshes: {files}"
        return "\n".join([first, *self.notes])

    def split_by(self, share: float, seed: int) -> Source:
        """The same with splits train and test, the latter a share of each class, drawn by a seed.

        A class of one mesh stays in train, and so do empty files.

        Raises:
            ValueError: if the share is out of range, or the source has splits.
        """
        if not 0 < share < 1:
            raise ValueError(f"found test_share {share}, expected more than 0 and less than 1")
        if any(item.split != "all" for item in self.items):
            raise ValueError(f"found splits in {self.root}, expected none to draw: leave test_share out")
        generator, drawn = np.random.default_rng([seed, 2]), set()
        for category in [None, *self.classes]:
            paths = [item.path for item in self.items if item.category == category and item.bytes > 0]
            count = min(max(round(share * len(paths)), 1), len(paths) - 1)
            drawn |= {paths[i] for i in generator.permutation(len(paths))[: max(count, 0)]}
        items = [replace(item, split="test" if item.path in drawn else "train") for item in self.items]
        return replace(self, items=items)


NAMES = {
    "modelnet": "ModelNet tree (<class>/<split>/<mesh>)",
    "shapenet": "ShapeNetCore tree (<synset>/<model>/…)",
    "labeled": "folders of classes",
    "flat": "meshes without classes",
}


def find_meshes(root: str | Path, suffixes: Collection[str] | None = None) -> Source:
    """List the meshes below a folder and recognize its layout; or take one file.

    - `modelnet`: `<class>/{train,test}/*.off`, z up (splits train, val and test, and other formats, too);
    - `shapenet`: `<synset>/<model>/models/model_normalized.obj` (v2) or `<synset>/<model>/model.obj` (v1), y up;
    - `labeled`: `<class>/…/*`, or `{train,val,test}/<class>/…/*`, y up;
    - `flat`: meshes right below the folder, without classes, y up.

    Splits are recognized in any case and by their usual names (training, valid, validation, testing). A folder above
    one dataset is taken for that dataset, and one class of a ModelNet or ShapeNetCore tree for that class. Links to
    folders are followed once.

    Args:
        root: the folder, or one file.
        suffixes: of the files that are listed, in lower case; None for those of meshes.

    Raises:
        FileNotFoundError: if there is no such folder or file.
        ValueError: if it holds no mesh, meshes of more than one layout, or more than one dataset.
    """
    root = Path(root)
    if root.is_file():
        return _single(root)
    if not root.is_dir():
        raise FileNotFoundError(f"found no folder {root}, expected a folder of meshes: check the path")
    tree = walk(root, suffixes)
    if not tree.meshes:
        there = f"; found {_listed(tree.left_out)}" if tree.left_out else ""
        expected = (
            "files that trimesh reads (.off, .obj, .ply, .glb, …)" if suffixes is None else _some([*suffixes], 20)
        )
        raise ValueError(f"found no {'mesh' if suffixes is None else 'cloud'} below {root}, expected {expected}{there}")
    found, notes = tree.meshes, _left_out(tree)
    depth = _depth(list(found))
    if depth:
        tops = sorted({"/".join(path.split("/")[:depth]) for path in found})
        if len(tops) > 1:
            raise ValueError(
                f"found {len(tops)} datasets in {root} ({_some(tops)}), expected one: give one of these folders"
            )
        notes.append(f"taken from the folder {tops[0]} in {root}")
        root = root / tops[0]
        found = {path.removeprefix(tops[0] + "/"): size for path, size in found.items()}
    own = _class_of_its_own(root, list(found))
    places: dict[str, tuple[str | None, str]]
    if own is not None:
        layout, category = own
        places = {path: (category, split_of(path.split("/")[0]) or "all") for path in sorted(found)}
        notes.append(f"taken for the class {category} alone: give {root.parent} for all classes")
    else:
        layouts = _layouts(found, root)
        layout = next(iter(layouts.values()))
        splits_first = _splits_first(list(layouts))
        places = {path: _place(path, layout, splits_first) for path in sorted(layouts)}
        ignored = len(found) - len(layouts)
        if ignored:
            notes.append(f"left out: {ignored:,} other meshes in the folders of models")
    keys = _keys(list(places))
    items = [Item(path, keys[path], *places[path], found[path]) for path in places]
    classes = sorted({item.category for item in items if item.category is not None})
    if layout == "labeled" and len(classes) == 1 and all(item.path.count("/") > 1 for item in items):
        below = sorted({item.path.split("/")[1] for item in items})
        if len(below) > 1:
            notes.append(
                f"one class alone; if {_some(below)} are the classes, give {root / items[0].path.split('/')[0]}"
            )
    return Source(layout, "z" if layout == "modelnet" else "y", classes, items, root, notes)


def split_of(folder: str) -> str | None:
    """The split that a folder is named after, or None."""
    return SPLITS.get(folder.lower())


def _single(path: Path) -> Source:
    suffix = path.suffix.lower()
    if suffix not in mesh_suffixes():
        hint = f": {HINTS[suffix]}" if suffix in HINTS else ""
        raise ValueError(
            f"found {path}, expected a mesh of a format that trimesh reads (.off, .obj, .ply, .glb, …){hint}"
        )
    key = _keys([path.name])[path.name]
    return Source("flat", "y", [], [Item(path.name, key, None, "all", path.stat().st_size)], path.parent, [], True)


def _some(names: list[str], count: int = 5) -> str:
    rest = f", … ({len(names) - count:,} more)" if len(names) > count else ""
    return ", ".join(names[:count]) + rest


def _listed(suffixes: Counter[str]) -> str:
    return ", ".join(
        f"{count:,} {suffix}" + (f" ({HINTS[suffix]})" if suffix in HINTS else "")
        for suffix, count in suffixes.most_common(8)
    )


def _left_out(tree: MeshTree) -> list[str]:
    notes = []
    if tree.left_out:
        notes.append(f"left out, no meshes that can be read here: {_listed(tree.left_out)}")
    if tree.skipped:
        notes.append(f"left out, folders that are listed already or cannot be read: {_some(tree.skipped)}")
    return notes


def _depth(paths: list[str]) -> int:
    """How many folders lie above a layout that is beyond doubt; 0 where none do, or where there is doubt."""
    parts = [path.split("/") for path in paths]
    for depth in range(4):
        rest = [part[depth:] for part in parts]
        if any(len(part) < 2 for part in rest):
            return 0
        if any(_layout("/".join(part)) == "shapenet" for part in rest):
            return depth
        if all(len(part) == 3 and split_of(part[1]) for part in rest):
            return depth
        if all(len(part) > 2 and split_of(part[0]) for part in rest):
            return depth
    return 0


def _class_of_its_own(root: Path, paths: list[str]) -> tuple[Layout, str] | None:
    """Layout and class, where the folder is one class of a ModelNet or ShapeNetCore tree."""
    name = root.resolve().name
    if re.fullmatch(r"\d{8}", name) and any(SHAPENET_MODEL.fullmatch(path.partition("/")[2]) for path in paths):
        if all(SHAPENET_MODEL.fullmatch(path.partition("/")[2]) for path in paths):
            return "shapenet", SHAPENET_CLASSES.get(name, name)
    if not all(path.count("/") == 1 and split_of(path.split("/")[0]) for path in paths):
        return None
    try:
        beside = [path for path in root.resolve().parent.iterdir() if path.is_dir() and path.name != name]
        alike = any(split_of(below.name) for path in beside for below in path.iterdir() if below.is_dir())
    except OSError:
        return None
    return ("modelnet", name) if alike else None


def _layouts(found: dict[str, int], root: Path) -> dict[str, Layout]:
    """The layout of each mesh, the same for all."""
    layouts = {path: _layout(path) for path in found}
    if "shapenet" in layouts.values():  # a model's folder holds other meshes, too, such as its raw scan
        layouts = {path: layout for path, layout in layouts.items() if layout != "labeled"}
    counts = Counter(layouts.values())
    if len(counts) > 1:
        example = {layout: path for path, layout in layouts.items()}
        listed = ", ".join(f"{layout} ({counts[layout]} meshes, as {example[layout]})" for layout in sorted(counts))
        raise ValueError(f"found mixed layouts in {root}: {listed}; expected one: give each its own folder")
    return layouts


def _layout(path: str) -> Layout:
    parts = path.split("/")
    if len(parts) == 1:
        return "flat"
    if len(parts) == 3 and split_of(parts[1]):
        return "modelnet"
    if re.fullmatch(r"\d{8}", parts[0]) and len(parts) >= 3 and SHAPENET_MODEL.fullmatch("/".join(parts[2:])):
        return "shapenet"
    return "labeled"


def _splits_first(paths: list[str]) -> bool:
    """Whether the first folders are splits: a class may be called train, but then others are not."""
    return all(split_of(path.split("/")[0]) for path in paths)


def _place(path: str, layout: Layout, splits_first: bool) -> tuple[str | None, str]:
    """Class and split of a path."""
    parts = path.split("/")
    if layout == "flat":
        return None, "all"
    if layout == "shapenet":
        return SHAPENET_CLASSES.get(parts[0], parts[0]), "all"
    if layout == "modelnet":
        return parts[0], split_of(parts[1]) or "all"
    if splits_first:
        return (parts[1] if len(parts) > 2 else None), split_of(parts[0]) or "all"
    return parts[0], "all"


def _keys(paths: list[str]) -> dict[str, str]:
    """A key for each path: the path without its ending and without dots, which end the key in a WebDataset name.

    Where that is not unique, the ending stays, and where even that is not, a number follows.
    """

    def plain(text: str) -> str:
        return re.sub(r"[^\w/+-]", "_", text)

    stems = {path: plain(os.path.splitext(path)[0]) for path in paths}
    repeated = {stem for stem, count in Counter(stems.values()).items() if count > 1}
    keys: dict[str, str] = {}
    taken = set(stems.values())
    for path in paths:
        key = stems[path]
        if key in repeated:
            base = key = plain(path)
            number = 1
            while key in taken:
                number += 1
                key = f"{base}_{number}"
            taken.add(key)
        keys[path] = key
    return keys
