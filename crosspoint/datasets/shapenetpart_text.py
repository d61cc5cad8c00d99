"""ShapeNetPart's text archives (Yi et al. 2016, https://doi.org/10.1145/2980179.2980238), read where they lie.

`shapenetcore_partanno_segmentation_benchmark_v0_normal`: `<synset>/<id>.txt`, rows of x y z, a normal and a part 0…49.
`shapenetcore_partanno_segmentation_benchmark_v0`: `<synset>/points/<id>.pts` and `points_label/<id>.seg`, parts of the
category counted from 1. Both have `synsetoffset2category.txt` and `train_test_split/shuffled_<split>_file_list.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from crosspoint.datasets.field_columns import unnamed_fields
from crosspoint.fields import Fields
from crosspoint.renderers.files import read_whole, reading, regular_file
from crosspoint.renderers.records import read_json

INDEX = "synsetoffset2category.txt"


def find_text(root: Path) -> Path | None:
    """The folder of a text archive: this one, or the only one right below it; None where there is none."""
    if (root / INDEX).is_file():
        return root
    below = sorted(path.parent for path in root.glob(f"*/{INDEX}")) if root.is_dir() else []
    return below[0] if len(below) == 1 else None


def read_text(
    root: Path, splits: tuple[str, ...], points: int, seed: int, parts: Mapping[str, int], fields: Fields = ()
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clouds, categories and parts of some splits.

    Clouds differ in size: `points` of each are drawn, with repeats only where it has fewer.

    Args:
        root: folder of the archive.
        splits: "train", "val" and "test", some of them.
        points: of a cloud.
        seed: of the draws.
        parts: how many parts each category has, in the order of the categories' labels.
        fields: ("normals",) for those of the archive …_v0_normal.

    Returns:
        (n, points, 3 + 3 F) float32, (n,) int64 and (n, points) int64.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file holds something else.
    """
    if points < 1:
        raise ValueError(f"found {points} points, expected at least 1")
    categories = _categories(root, parts)
    first = dict(zip(parts, np.cumsum([0, *parts.values()])[:-1].tolist(), strict=True))
    clouds: list[np.ndarray] = []
    labels: list[int] = []
    kinds: list[np.ndarray] = []
    for place in [place for split in splits for place in _listed(root, split)]:
        synset, _, model = place.rpartition("/")
        synset = synset.rpartition("/")[2]
        category = categories.get(synset)
        if category is None:
            raise ValueError(f"found {place} in a list of {root}, expected a synset of {INDEX}")
        cloud, part = _model(root, synset, model, first[category], fields)
        drawn = np.random.default_rng([seed, len(clouds)]).choice(len(cloud), points, replace=len(cloud) < points)
        clouds.append(cloud[drawn])
        labels.append(list(parts).index(category))
        kinds.append(part[drawn])
    if not clouds:
        raise ValueError(f"found no cloud of {', '.join(splits)} in {root}, expected some in its lists")
    return np.stack(clouds).astype(np.float32), np.array(labels, dtype=np.int64), np.stack(kinds).astype(np.int64)


def _categories(root: Path, parts: Mapping[str, int]) -> dict[str, str]:
    found = {}
    text = read_whole(root / INDEX, "a category and its synset a line").decode(errors="replace")
    for line in text.splitlines():
        words = line.split()
        if words:
            if len(words) != 2 or words[0] not in parts:
                raise ValueError(f"found {line!r} in {root / INDEX}, expected a category and its synset")
            found[words[1]] = words[0]
    return found


def _listed(root: Path, split: str) -> list[str]:
    path = root / "train_test_split" / f"shuffled_{split}_file_list.json"
    return read_json(path, list[str], f"the list of the split {split}", "unpack the archive again")


def _model(root: Path, synset: str, model: str, first: int, fields: Fields) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3 + 3 F) and parts (N,) of one model."""
    rows, cloud = root / synset / f"{model}.txt", root / synset / "points" / f"{model}.pts"
    again = "unpack the archive again"
    if rows.is_file():
        with reading(rows, "rows of numbers", again):
            table = np.loadtxt(rows, ndmin=2)
            points, parts = table[:, :3], table[:, -1].astype(np.int64)
        values = table[:, 3:-1]
    elif cloud.is_file():
        labels = root / synset / "points_label" / f"{model}.seg"
        with reading(cloud, "rows x y z", again):
            points = np.loadtxt(cloud, ndmin=2)[:, :3]
        values = points[:, 3:]
        regular_file(labels, "a part for each point", again)
        with reading(labels, "a part for each point", again):
            parts = np.loadtxt(labels, ndmin=1).astype(np.int64) - 1 + first
    else:
        raise FileNotFoundError(f"found no {rows}, expected it or {cloud}: {again}")
    if points.shape[1:] != (3,) or len(points) == 0 or len(points) != len(parts) or not np.isfinite(points).all():
        raise ValueError(
            f"found {len(points)} points and {len(parts)} parts in {synset}/{model}, expected as many of each"
        )
    if fields:
        points = np.concatenate([points, unnamed_fields(values, fields, f"{synset}/{model}")], axis=1)
    return points, parts
