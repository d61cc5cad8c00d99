"""Layouts of mesh folders: the meshes that are there, and what their places say: class, split, up axis."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trimesh.exchange.load import mesh_formats

from crosspoint.renderers.meshes import UpAxis

Layout = Literal["modelnet", "shapenet", "labeled", "flat"]

SPLITS = ("train", "val", "test")

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


def find_meshes(root: str | Path) -> Source:
    """List the meshes below a folder and recognize its layout.

    - `modelnet`: `<class>/{train,test}/*.off`, z up (splits train, val and test, and other formats, too);
    - `shapenet`: `<synset>/<model>/models/model_normalized.obj` (v2) or `<synset>/<model>/model.obj` (v1), y up;
    - `labeled`: `<class>/…/*`, or `{train,val,test}/<class>/…/*`, y up;
    - `flat`: meshes right below the folder, without classes, y up.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no mesh, or meshes of more than one layout.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"found no folder {root}, expected a folder of meshes: check the path")
    found = _walk(root)
    if not found:
        raise ValueError(f"found no mesh below {root}, expected files that trimesh reads (.off, .obj, .ply, .glb, …)")
    layouts = {path: _layout(path) for path in found}
    if "shapenet" in layouts.values():  # a model's folder holds other meshes, too, such as its raw scan
        layouts = {path: layout for path, layout in layouts.items() if layout != "labeled"}
    counts = Counter(layouts.values())
    if len(counts) > 1:
        example = {layout: path for path, layout in layouts.items()}
        listed = ", ".join(f"{layout} ({counts[layout]} meshes, as {example[layout]})" for layout in sorted(counts))
        raise ValueError(f"found mixed layouts in {root}: {listed}; expected one: give each its own folder")
    layout = next(iter(counts))
    places = {path: _place(path, layout) for path in sorted(layouts)}
    keys = _keys(list(places))
    items = [Item(path, keys[path], *places[path], found[path]) for path in places]
    classes = sorted({item.category for item in items if item.category is not None})
    return Source(layout, "z" if layout == "modelnet" else "y", classes, items)


def _walk(root: Path) -> dict[str, int]:
    """Relative paths of all mesh files below a folder, with their sizes in bytes; hidden files are left out."""
    formats = {f".{name}" for name in mesh_formats()} - {".xyz"}  # points alone
    found = {}
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in formats:
                path = Path(folder, name)
                found[path.relative_to(root).as_posix()] = path.stat().st_size
    return found


def _layout(path: str) -> Layout:
    parts = path.split("/")
    if len(parts) == 1:
        return "flat"
    if len(parts) == 3 and parts[1] in SPLITS:
        return "modelnet"
    if re.fullmatch(r"\d{8}", parts[0]) and len(parts) >= 3 and SHAPENET_MODEL.fullmatch("/".join(parts[2:])):
        return "shapenet"
    return "labeled"


def _place(path: str, layout: Layout) -> tuple[str | None, str]:
    """Class and split of a path."""
    parts = path.split("/")
    if layout == "flat":
        return None, "all"
    if layout == "shapenet":
        return SHAPENET_CLASSES.get(parts[0], parts[0]), "all"
    if layout == "modelnet":
        return parts[0], parts[1]
    if parts[0] in SPLITS:
        return (parts[1] if len(parts) > 2 else None), parts[0]
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
