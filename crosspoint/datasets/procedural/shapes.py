"""Procedural objects: labeled meshes in endless variety, so that nothing has to be downloaded to try everything.

Twenty-two families share outlines on purpose (stools, benches, tables and beds; vases, bottles, mugs and bowls; lamps,
plants and trees) and each draws its topology, proportions, style and materials anew, so that telling them apart takes
more than their bounding boxes.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np

from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.procedural.aircraft import AIRCRAFT
from crosspoint.datasets.procedural.furniture import FURNITURE
from crosspoint.datasets.procedural.scenery import SCENERY
from crosspoint.datasets.procedural.sketch import Shape, Sketch
from crosspoint.datasets.procedural.vehicles import VEHICLES
from crosspoint.datasets.procedural.vessels import VESSELS
from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.meshes import normalize, sample_surface

_FAMILIES = {**FURNITURE, **VESSELS, **VEHICLES, **AIRCRAFT, **SCENERY}
FAMILIES: tuple[str, ...] = tuple(_FAMILIES)
PART_NAMES: tuple[str, ...] = tuple(f"{name}/{part}" for name, family in _FAMILIES.items() for part in family.parts)
SPLITS = ("train", "test")


def make_shape(family: str, seed: int) -> Shape:
    """Draw one object of a family; the same (family, seed) gives the same object everywhere.

    Args:
        family: one of `FAMILIES`.
        seed: any integer ≥ 0.

    Returns:
        A colored mesh in meters, y up, front toward +z, with a part label per face.

    Raises:
        ValueError: if the family is unknown or the seed negative.
    """
    if family not in _FAMILIES:
        raise ValueError(f"found the family {family!r}, expected one of: {', '.join(FAMILIES)}")
    if seed < 0:
        raise ValueError(f"found the seed {seed}, expected an integer ≥ 0")
    rng = np.random.default_rng([zlib.crc32(family.encode()), seed])
    stretch = rng.uniform(0.85, 1.18, 3)
    sketch = Sketch()
    _FAMILIES[family].draw(sketch, rng)
    return sketch.finish(family, _FAMILIES[family].parts, stretch)


def shape_seed(seed: int, split: str, index: int) -> int:
    """The seed of the index-th object of a split; no two of (seed, split, index) share one.

    Raises:
        ValueError: if the split is unknown.
    """
    if split not in SPLITS:
        raise ValueError(f"found the split {split!r}, expected one of: {', '.join(SPLITS)}")
    words = np.random.SeedSequence([seed, SPLITS.index(split), index]).generate_state(2, np.uint32)
    return int(words[0]) << 32 | int(words[1])


def write_shapes(out: str | Path, train: int = 40, test: int = 20, seed: int = 0) -> int:
    """Write meshes as a ModelNet-like tree, `<out>/<class>/{train,test}/<class>_NNNN.ply` (colored).

    These meshes are y up, unlike ModelNet's: say so where they are rendered. Numbers run on from train to test, as in
    ModelNet. `<out>/shapes.json` keeps the arguments: a run that was stopped goes on where it was, one with other
    arguments is refused.

    Args:
        out: folder to fill; made where absent.
        train: objects per class of the train split.
        test: objects per class of the test split.
        seed: of the whole set; another seed gives other objects.

    Returns:
        The number of meshes in the tree that this call wrote.

    Raises:
        ValueError: if a count is negative, or both are 0, or `out` holds shapes of other arguments.
    """
    counts = {"train": train, "test": test}
    if min(counts.values()) < 0 or not any(counts.values()):
        raise ValueError(f"found {train} train and {test} test shapes a class, expected at least one and none negative")
    settings = {"train": train, "test": test, "seed": seed}
    record = Path(out) / "shapes.json"
    if not record.exists():
        with atomic_write(record) as file:
            file.write(json.dumps(settings).encode())
    elif record.read_text() != json.dumps(settings):
        raise ValueError(
            f"found shapes made with {record.read_text()} in {out}, expected {settings}: give a new folder"
        )
    written = 0
    for family in FAMILIES:
        for split, start in (("train", 0), ("test", train)):
            folder = Path(out) / family / split
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(counts[split]):
                path = folder / f"{family}_{start + index + 1:04d}.ply"
                if path.exists():
                    continue
                mesh = make_shape(family, shape_seed(seed, split, index)).mesh
                with atomic_write(path) as file:
                    mesh.export(file, file_type="ply", vertex_normal=False)
                written += 1
    return written


def shapes_clouds(
    split: str,
    per_class: int,
    points: int = 1024,
    seed: int = 0,
    yaw: float = 180.0,
    families: tuple[str, ...] = FAMILIES,
) -> Clouds:
    """Clouds of procedural objects with part labels, made in memory: about 5 ms an object.

    Args:
        split: "train" or "test"; the two share no object.
        per_class: objects of each family.
        points: of a cloud, drawn evenly over the surface.
        seed: of the objects and of the points drawn on them.
        yaw: each cloud is turned about y by an angle drawn evenly from ±`yaw` degrees, so that the pose gives no
            class away; 0 leaves all fronts toward +z.
        families: which classes to make, in this order.

    Returns:
        Clouds of meshes in the unit sphere, bounding boxes centered, with parts numbered through all families as in
        `PART_NAMES`.

    Raises:
        ValueError: if the split or a family is unknown, or a count is not positive.
    """
    if per_class < 1 or points < 1:
        raise ValueError(f"found {per_class} shapes a class and {points} points, expected at least one of each")
    clouds, labels, parts = [], [], []
    for label, family in enumerate(families):
        for index in range(per_class):
            drawn = shape_seed(seed, split, index)
            shape = make_shape(family, drawn)
            numbers = np.array([PART_NAMES.index(f"{family}/{part}") for part in shape.part_names])
            rng = np.random.default_rng([drawn, 1])
            sample = sample_surface(normalize(shape.mesh), points, rng)
            angle = np.deg2rad(rng.uniform(-yaw, yaw))
            c, s = np.cos(angle), np.sin(angle)
            clouds.append(sample.points @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]], dtype=np.float32))
            labels.append(label)
            parts.append(numbers[shape.parts[sample.faces]])
    return Clouds(
        points=np.stack(clouds),
        labels=np.array(labels, dtype=np.int64),
        classes=list(families),
        name="shapes",
        split=split,
        parts=np.stack(parts),
        part_names=list(PART_NAMES),
    )
