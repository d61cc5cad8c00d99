"""A mesh and cameras → images and fragments, on either backend."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import trimesh
from torch import Tensor

from crosspoint.renderers.cameras import Cameras
from crosspoint.renderers.fragments import Fragments, Tracer
from crosspoint.renderers.meshes import normalize
from crosspoint.renderers.shading import Style, Surface, composite, shade

# A new backend is a new file and one line here.
BACKENDS = {
    "raycast": "crosspoint.renderers.raycast.Raycast",
    "pytorch3d": "crosspoint.renderers.pytorch3d.PyTorch3D",
}


class Rendering(NamedTuple):
    """Views of one mesh."""

    images: Tensor  # (V, 3, H, W) uint8 on white, (V, 4, H, W) with alpha on a transparent background
    fragments: Fragments  # of the pixel centers

    @property
    def depth(self) -> Tensor:
        """Depth along the camera's axis (V, H, W) float32, in units of the scaled mesh; infinite where nothing is."""
        return self.fragments.depth


def open_backend(name: str) -> Callable[[trimesh.Trimesh], Tracer]:
    """The backend of a name, as a function from a mesh to its `Tracer`.

    Args:
        name: one of `BACKENDS`, or the import path of a user's own class, which is built with a mesh and is a `Tracer`.

    Raises:
        ValueError: if there is no such backend.
        ImportError: if what a built-in one needs is not installed.
    """
    path = BACKENDS.get(name, name)
    module, _, attribute = path.rpartition(".")
    if not module:
        raise ValueError(f"found the backend {name!r}, expected one of {', '.join(BACKENDS)}, or an import path")
    try:
        made: Callable[[trimesh.Trimesh], Tracer] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        if name in BACKENDS:
            raise
        raise ValueError(f"found no backend {name} ({error}), expected an import path: check its spelling") from error
    return made


def render(
    mesh: trimesh.Trimesh, cameras: Cameras, backend: str = "raycast", *, style: Style | None = None
) -> Rendering:
    """Render a mesh; `pytorch3d` returns its tensors on the GPU where there is one, `raycast` on the CPU.

    Cameras of `orbit`, `ring` and `sphere` stand around the unit sphere: for them, a mesh that leaves it, or fills less
    than half of it, is centered and scaled into it as by `normalize`, and depths are in its units. Other cameras see
    the mesh where it lies.

    Raises:
        ValueError: if the backend is unknown.
        ImportError: if the backend is not installed.
    """
    if cameras.framed and not _fills_sphere(mesh):
        mesh = normalize(mesh)
    images, fragments = zip(*draw(mesh, cameras, backend, style=style), strict=True)
    face, barycentric, depth = zip(*((f.face, f.barycentric, f.depth) for f in fragments), strict=True)
    joined = Fragments(torch.cat(face), torch.cat(barycentric), torch.cat(depth))
    return Rendering(torch.stack(images).permute(0, 3, 1, 2).contiguous(), joined)


def _fills_sphere(mesh: trimesh.Trimesh) -> bool:
    used = np.asarray(mesh.vertices)[np.unique(mesh.faces)]
    return bool(0.5 <= np.linalg.norm(used, axis=1).max(initial=0.0) <= 1.0 + 1e-6)


def draw(
    mesh: trimesh.Trimesh, cameras: Cameras, backend: str = "raycast", *, style: Style | None = None
) -> Iterator[tuple[Tensor, Fragments]]:
    """The views one by one, as image (H, W, C) uint8 and fragments (1, H, W); arguments and errors as in `render`."""
    style = style or Style()
    tracer = open_backend(backend)(mesh)
    surface: Surface | None = None
    for view in range(len(cameras)):
        camera = cameras[view]
        fragments = tracer(camera)
        surface = surface or Surface.of(mesh, style).to(fragments.face.device)
        canvas = shade(surface, camera, fragments, style)
        if style.supersample > 1:
            refine(canvas, tracer, surface, camera, style)
        yield composite(canvas, style.background), fragments


def refine(canvas: Tensor, tracer: Tracer, surface: Surface, camera: Cameras, style: Style) -> None:
    """Sample anew, in place, the pixels of canvas (H, W, 4) that differ from a neighbor.

    Those pixels become the mean of their `supersample`² samples; everywhere else one sample says as much (Whitted
    1980, https://doi.org/10.1145/358876.358882, section on aliasing).
    """
    factor = style.supersample
    rows, columns = torch.nonzero(differing(canvas), as_tuple=True)
    if len(rows) == 0:
        return
    y, x = torch.meshgrid(
        torch.arange(factor, device=rows.device), torch.arange(factor, device=rows.device), indexing="ij"
    )
    fine = tracer.at(
        camera.scaled(factor), rows[:, None] * factor + y.reshape(-1), columns[:, None] * factor + x.reshape(-1)
    )
    canvas[rows, columns] = shade(surface, camera, fine, style).mean(dim=1)


def differing(canvas: Tensor, threshold: float = 0.1) -> Tensor:
    """Pixels (H, W) bool of premultiplied RGBA (H, W, 4) that differ from a 4-neighbor by more than `threshold`."""
    rough = torch.zeros(canvas.shape[:2], dtype=torch.bool, device=canvas.device)
    solid = canvas[..., 3] > 0
    rows, columns = torch.nonzero(solid.any(dim=1))[:, 0], torch.nonzero(solid.any(dim=0))[:, 0]
    if len(rows) == 0:
        return rough
    # Only the surroundings of the object can differ, and they are a small part of most views.
    box = tuple(slice(max(int(side[0]) - 1, 0), int(side[-1]) + 2) for side in (rows, columns))
    inner, near = canvas[box], rough[box]
    across = ((inner[:, 1:] - inner[:, :-1]).abs() > threshold).any(dim=-1)
    down = ((inner[1:] - inner[:-1]).abs() > threshold).any(dim=-1)
    near[:, 1:] |= across
    near[:, :-1] |= across
    near[1:] |= down
    near[:-1] |= down
    return rough
