"""Render meshes: one mesh into views, depth and face ids, and a folder of meshes into a set that training reads.

    python examples/render.py --out runs/render --mesh FILE

FILE is a mesh in any format that trimesh reads, in any unit. Without one, a chair is made here.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import torch
from jsonargparse import auto_cli
from PIL import Image

from crosspoint.datasets.procedural.shapes import make_shape, write_shapes
from crosspoint.renderers import RenderedSet, load_mesh, normalize, orbit, render, render_folder


def main(out: Path, mesh: Path | None = None, views: int = 4, size: int = 224, per_class: int = 1) -> RenderedSet:
    """Draw a mesh from several sides, then a folder of meshes.

    Args:
        out: folder for pictures and the set
        mesh: file of a mesh
        views: number of cameras
        size: side of the images in pixels
        per_class: number of meshes of each class in the folder
    """
    out.mkdir(parents=True, exist_ok=True)

    # Cameras of `orbit` stand around the unit sphere, into which `normalize` scales the mesh.
    shape = normalize(make_shape("chair", seed=0).mesh if mesh is None else load_mesh(mesh))
    cameras = orbit(views, size=size, seed=0)
    rendering = render(shape, cameras)
    colors = rendering.images.permute(0, 2, 3, 1).numpy()  # (V, H, W, 3) uint8
    Image.fromarray(np.concatenate(colors, axis=1)).save(out / "views.png")

    # Depth is in the unit of the scaled mesh, and infinite where no surface is seen.
    depth = rendering.depth.numpy()
    seen = np.isfinite(depth)
    near, far = depth[seen].min(), depth[seen].max()
    shades = 1 - (np.where(seen, depth, far) - near) / max(far - near, 1e-6)
    painted = (255 * matplotlib.colormaps["magma"](shades)[..., :3]).astype(np.uint8)
    Image.fromarray(np.concatenate(painted, axis=1)).save(out / "depth.png")

    # Fragments say which face each pixel sees, and where on it. So a pixel is a point of the surface, exactly.
    faces, weights = rendering.fragments.face[0], rendering.fragments.barycentric[0]
    corners = torch.from_numpy(np.asarray(shape.vertices[shape.faces]))  # (F, 3 corners, 3)
    hit = faces >= 0
    surface = (weights[hit][:, :, None] * corners[faces[hit].long()]).sum(dim=1)  # (P, 3), a point for each pixel
    along = (surface @ cameras.R[0].double().T + cameras.t[0])[:, 2]  # from the camera
    error = (along - rendering.depth[0][hit]).abs().max()
    print(f"{len(surface):,} pixels of the first view, on the surface to {error:.1e} of the radius")

    # A folder of meshes becomes a set: clouds, views and cameras in shards. The same seed gives the same bytes.
    write_shapes(out / "shapes", train=per_class, test=per_class)
    summary = render_folder(out / "shapes", out / "set", views=views, size=size, points=1024, up_axis="y", jobs=1)
    print(summary)
    return RenderedSet(out / "set", "train")


if __name__ == "__main__":
    auto_cli(main, as_positional=False)
