"""One mesh → the members of one sample of a rendered set."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from crosspoint.renderers.cameras import Cameras, orbit, ring, sphere
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.meshes import TO_Y_UP, UpAxis, normalize, normalizing_transform, read_mesh, sample_surface
from crosspoint.renderers.ranges import PIXELS, POINTS, VIEWS, in_range
from crosspoint.renderers.rendering import draw
from crosspoint.renderers.shading import Style

Orbit = Literal["random", "ring", "sphere"]

PNG_LEVEL = 2  # of zlib: level 6 takes five times as long for files a tenth smaller


@dataclass(frozen=True)
class Recipe:
    """How the samples of a set are made; the arguments of `render_folder` say what each field is.

    Raises:
        ValueError: if a field is out of range.
    """

    views: int
    size: int
    points: int
    orbit: Orbit
    backend: str
    up_axis: UpAxis
    seed: int
    style: Style

    def __post_init__(self) -> None:
        in_range("views", self.views, *VIEWS)
        in_range("size", self.size, *PIXELS)
        in_range("points", self.points, *POINTS)
        if self.seed < 0:
            raise ValueError(f"found seed {self.seed}, expected 0 or more")
        if self.up_axis not in TO_Y_UP:
            raise ValueError(f"found the up axis {self.up_axis!r}, expected one of {', '.join(TO_Y_UP)}")
        if self.orbit not in get_args(Orbit):
            raise ValueError(f"found the orbit {self.orbit!r}, expected one of {', '.join(get_args(Orbit))}")

    def cameras(self, generator: np.random.Generator) -> Cameras:
        """The cameras of one sample; only a random orbit draws."""
        if self.orbit == "random":
            return orbit(self.views, self.size, seed=generator)
        return ring(self.views, self.size) if self.orbit == "ring" else sphere(self.views, self.size)


def render_sample(path: Path, facts: JsonObject, recipe: Recipe, root: Path | None = None) -> dict[str, bytes]:
    """Render and sample one mesh → content by ending.

    Args:
        path: of the mesh.
        facts: what the sample's JSON says beside the geometry; what the sample draws depends on the recipe's seed and
            on `facts["source"]` alone.
        recipe: how.
        root: folder outside of which no texture is read, see `load_mesh`. The JSON names those not found.

    Raises:
        ValueError: if the mesh cannot be used.
    """
    of_points, of_cameras = generators(recipe.seed, facts["source"])
    loaded = read_mesh(path, root)
    mesh = normalize(loaded, recipe.up_axis)
    cameras = recipe.cameras(of_cameras)
    surface = sample_surface(mesh, recipe.points, of_points)
    members = {"points.npy": npy(surface.points), "normals.npy": npy(surface.normals)}
    if surface.colors is not None:
        members["colours.npy"] = npy(surface.colors)
    for view, (image, _) in enumerate(draw(mesh, cameras, recipe.backend, style=recipe.style)):
        members[f"view{view:02d}.png"] = png(image.cpu().numpy())
    members["cameras.npz"] = npz(K=cameras.K, R=cameras.R, t=cameras.t, size=cameras.size)
    transform = normalizing_transform(loaded, recipe.up_axis)
    geometry = {"up_axis": recipe.up_axis, "transform": transform.tolist(), "faces": len(mesh.faces)}
    lost = {"not_found": loaded.metadata["not_found"]} if loaded.metadata["not_found"] else {}
    members["json"] = json.dumps({**facts, **geometry, **lost}).encode()
    return members


def generators(seed: int, source: str) -> tuple[np.random.Generator, np.random.Generator]:
    """Generators of a sample's points and of its cameras, so that more of the ones leave the others as they were."""
    digest = np.frombuffer(hashlib.sha256(source.encode()).digest(), dtype=np.uint32)
    children = np.random.SeedSequence([seed, *digest.tolist()]).spawn(2)
    return np.random.default_rng(children[0]), np.random.default_rng(children[1])


def png(image: np.ndarray) -> bytes:
    """PNG of an image (H, W, 3 or 4) uint8."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png", compress_level=PNG_LEVEL)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    """NumPy's file format of one array."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def npz(**arrays: object) -> bytes:
    """NumPy's archive of several arrays; NumPy gives its members no time, so that equal arrays give equal bytes."""
    buffer = io.BytesIO()
    members: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
    np.savez(buffer, **members)
    return buffer.getvalue()
