"""CrossPoint's own pre-training data: ShapeNet clouds as .ply files, and their renderings as .png files.

    <root>/ShapeNet/<synset>/<model>.ply
    <root>/ShapeNetRendering/<synset>/<model>/rendering/*.png

as shapenet.tar.gz and shapenet_render.tar.gz of https://github.com/MohamedAfham/CrossPoint unpack.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from trimesh.exchange.ply import load_ply

from crosspoint.datasets.pairs import ObjectPair, PairDataset, draw_views
from crosspoint.renderers.files import IMAGE_FAULTS, regular_file
from crosspoint.renderers.layouts import SHAPENET_CLASSES
from crosspoint.renderers.ranges import PIXELS, POINTS, VIEWS, in_range

Alpha = Literal["discard", "white"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
CLOUDS, IMAGES = "ShapeNet", "ShapeNetRendering"
LAYOUT = f"{CLOUDS}/<synset>/<model>.ply and {IMAGES}/<synset>/<model>/rendering/*.png"


class ShapeNetPairs(PairDataset):
    """Pairs of a ShapeNet cloud and some of its renderings, laid out as the original CrossPoint code wants them.

    The tree is listed once, when this is made (a folder for each model: seconds on a local disk); files are read when
    a pair is. The clouds are as they are stored: augmentation centers and scales them.

    Args:
        root: the folder that holds both `ShapeNet/<synset>/<model>.ply` and
            `ShapeNetRendering/<synset>/<model>/rendering/*.png`: the archives shapenet.tar.gz and
            shapenet_render.tar.gz of https://github.com/MohamedAfham/CrossPoint, unpacked into one folder; the images
            are those of 3D-R2N2 (Choy et al., 2016, https://arxiv.org/abs/1604.00449). Both are y up.
        views: images per pair, drawn without repeats while there are enough.
        image_size: side that images are resized to; None leaves them as they are, all of one size.
        points: the first so many of each cloud; None takes as many as the first cloud has.
        alpha: what becomes of a transparent background: "discard" keeps the colors under it, as the original code
            (black, in these renderings); "white" puts white there.
        skip_missing: leave out models without an image instead of refusing the tree.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if the layout is another one, a model has no image, or an argument is out of range.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        views: int = 1,
        image_size: int | None = 224,
        points: int | None = None,
        alpha: Alpha = "discard",
        skip_missing: bool = False,
    ) -> None:
        in_range("views", views, *VIEWS)
        in_range("image_size", image_size, *PIXELS)
        in_range("points", points, *POINTS)
        if alpha not in ("discard", "white"):
            raise ValueError(f"found alpha {alpha!r}, expected 'discard' or 'white'")
        self.root, self.views, self.image_size, self.alpha = Path(root), views, image_size, alpha
        self._index = _list_models(self.root, skip_missing)
        synsets = sorted({model.split("/")[0] for model in self._index.names()})
        self.classes = [SHAPENET_CLASSES.get(synset, synset) for synset in synsets]
        self.labels = np.array([synsets.index(m.split("/")[0]) for m in self._index.names()], dtype=np.int64)
        first = self._cloud_path(0)
        self.points = points if points is not None else len(read_ply(first))
        self._read_cloud(first)

    def __len__(self) -> int:
        return len(self._index.models)

    def __getitem__(self, item: tuple[int, int]) -> ObjectPair:
        """Item (index, seed): the seed draws the views.

        Raises:
            ValueError: if a file is damaged, a cloud has too few points, or images differ in size.
        """
        index, seed = item
        points = torch.from_numpy(self.read_points(index))
        model, files = self._index.model(index)
        folder = self.root / IMAGES / model / "rendering"
        drawn = draw_views(len(files), self.views, seed)
        images = [read_image(folder / files[view], self.image_size, self.alpha) for view in drawn]
        if len({image.shape for image in images}) > 1:
            raise ValueError(f"found images of several sizes in {folder}, expected one: set image_size")
        return ObjectPair(points, torch.stack(images), torch.tensor(self.labels[index]))

    def read_points(self, index: int) -> np.ndarray:
        """The cloud alone, (N, 3) float32."""
        return self._read_cloud(self._cloud_path(index))

    def where(self, index: int) -> str:
        """The file of a cloud."""
        return str(self._cloud_path(index))

    def _cloud_path(self, index: int) -> Path:
        return self.root / CLOUDS / f"{self._index.model(index)[0]}.ply"

    def _read_cloud(self, path: Path) -> np.ndarray:
        cloud = read_ply(path)
        if len(cloud) < self.points:
            raise ValueError(
                f"found {len(cloud)} points in {path}, expected at least {self.points}: ask for fewer with "
                "--data.dataset.points (in Python, points)"
            )
        return np.ascontiguousarray(cloud[: self.points])


def read_ply(path: Path) -> np.ndarray:
    """The vertices (P, 3) float32 of a .ply file.

    Raises:
        ValueError: if the file cannot be read, is empty, or has NaN or infinite coordinates.
    """
    regular_file(path, "a cloud as PLY", "replace it")
    try:
        with path.open("rb") as file:
            vertices = np.asarray(load_ply(file)["vertices"], dtype=np.float32)
    except Exception as error:  # trimesh's reader raises whatever it stumbles over
        raise ValueError(f"found {path} that cannot be read as PLY ({error}), expected vertices: replace it") from error
    if vertices.ndim != 2 or len(vertices) == 0 or not np.isfinite(vertices).all():
        raise ValueError(f"found no vertices or NaN coordinates in {path}, expected finite points: replace it")
    return vertices


def read_image(path: Path, size: int | None, alpha: Alpha) -> Tensor:
    """An image (3, H, W) uint8, resized to (3, size, size) if a size is given.

    Raises:
        ValueError: if the file is truncated or no image.
    """
    regular_file(path, "an image", "replace it")
    try:
        with Image.open(path) as stored:
            image = stored.convert("RGBA" if alpha == "white" else "RGB")
    except IMAGE_FAULTS as error:  # pillow's many words for a damaged file
        raise ValueError(f"found {path} that cannot be read whole ({error}), expected an image: replace it") from error
    if alpha == "white":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


@dataclass(frozen=True)
class _Index:
    """Models and their image files as arrays of bytes: no Python object for each of a million images.

    Loader workers share the memory of arrays, while counting the references of objects would copy them.
    """

    models: np.ndarray  # (n,) bytes, <synset>/<model>
    files: np.ndarray  # (images,) bytes, file names, model after model
    first: np.ndarray  # (n + 1,) int64, where the files of each model start

    def names(self) -> list[str]:
        return [os.fsdecode(model) for model in self.models.tolist()]

    def model(self, index: int) -> tuple[str, list[str]]:
        """Name and sorted image files of one model."""
        if not -len(self.models) <= index < len(self.models):
            raise IndexError(f"found index {index}, expected 0…{len(self.models) - 1}")
        index %= len(self.models)
        files = self.files[self.first[index] : self.first[index + 1]].tolist()
        return os.fsdecode(self.models[index]), [os.fsdecode(file) for file in files]


def _list_models(root: Path, skip_missing: bool) -> _Index:
    _check_layout(root)
    models: list[bytes] = []
    files: list[bytes] = []
    first, missing = [0], []
    for synset in _folders(root / CLOUDS):
        for cloud in sorted(entry.name for entry in os.scandir(root / CLOUDS / synset) if entry.name.endswith(".ply")):
            model = f"{synset}/{cloud.removesuffix('.ply')}"
            images = _images(root / IMAGES / model / "rendering")
            if not images:
                missing.append(model)
                continue
            models.append(os.fsencode(model))
            files += map(os.fsencode, images)
            first.append(len(files))
    if not models and not missing:
        raise ValueError(f"found no .ply file in {root / CLOUDS}, expected {LAYOUT}: {_diagnosis(root)}")
    if missing and (not skip_missing or not models):
        raise ValueError(
            f"found {len(missing)} of {len(models) + len(missing)} models without an image ({', '.join(missing[:3])}"
            f"{', …' if len(missing) > 3 else ''}), expected {IMAGES}/<synset>/<model>/rendering/*.png for each: "
            "add them, or leave these models out (--data.dataset.skip_missing true; in Python, skip_missing)"
        )
    return _Index(np.array(models), np.array(files), np.array(first))


def _check_layout(root: Path) -> None:
    if not root.is_dir():
        raise FileNotFoundError(f"found no folder {root}, expected one with {LAYOUT}: check the path")
    absent = [name for name in (CLOUDS, IMAGES) if not (root / name).is_dir()]
    if absent:
        raise ValueError(f"found no {' and no '.join(absent)} in {root}, expected {LAYOUT}: {_diagnosis(root)}")
    if next((root / IMAGES).glob("*/*.ply"), None) or next((root / CLOUDS).glob("*/*/rendering"), None):
        raise ValueError(f"found clouds and images mixed in {root}, expected {LAYOUT}: {_diagnosis(root)}")


def _diagnosis(root: Path) -> str:
    """What to do about a tree of another layout."""
    clouds, images = root / CLOUDS, root / IMAGES
    for above in root.resolve().parents[:2]:
        if (above / CLOUDS).is_dir() and (above / IMAGES).is_dir():
            return f"this is a level too deep, give {above}"
    for inner in _folders(root):
        if (root / inner / CLOUDS).is_dir():
            return f"this is a level too high, give {root / inner}"
    if next(images.glob("*/*.ply"), None) or next(clouds.glob("*/*/rendering"), None):
        return f"{CLOUDS} and {IMAGES} are swapped, rename them"
    if clouds.is_dir():
        kinds = Counter(Path(name).suffix for _, _, names in os.walk(clouds) for name in names).most_common(1)
        if kinds:
            return (
                f"{CLOUDS} holds {kinds[0][1]} files *{kinds[0][0]} elsewhere, put .ply files right below each synset"
            )
    return "unpack shapenet.tar.gz and shapenet_render.tar.gz of CrossPoint there"


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _images(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.name.lower().endswith(IMAGE_SUFFIXES))
    except (FileNotFoundError, NotADirectoryError):
        return []
