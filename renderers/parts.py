"""Parts of a scene → one mesh, every part with its own material and colors."""

from __future__ import annotations

import numpy as np
import trimesh
from trimesh.visual.color import ColorVisuals
from trimesh.visual.material import MultiMaterial, SimpleMaterial
from trimesh.visual.texture import TextureVisuals

from crosspoint.renderers.appearance import TINT


def join(parts: list[trimesh.Trimesh]) -> trimesh.Trimesh:
    """One mesh of several.

    trimesh's own concatenation packs all textures into one atlas, which resamples them and breaks those that repeat.
    """
    kinds = {part.visual.kind if isinstance(part.visual, ColorVisuals) else "texture" for part in parts}
    if "texture" not in kinds and len(kinds) == 1 and not any(TINT in part.vertex_attributes for part in parts):
        joined = trimesh.util.concatenate(parts)
        assert isinstance(joined, trimesh.Trimesh)
        return joined
    parts = [_split_face_colors(part) for part in parts]
    materials, uv, face_materials, tints = [], [], [], []
    for number, part in enumerate(parts):
        visual, count = part.visual, len(part.vertices)
        tint = np.full((count, 3), np.nan)
        if TINT in part.vertex_attributes:
            tint = np.asarray(part.vertex_attributes[TINT], dtype=np.float64)
        if isinstance(visual, TextureVisuals):
            materials.append(visual.material)
            uv.append(np.zeros((count, 2)) if visual.uv is None else visual.uv)
        else:
            if visual is not None and visual.kind == "vertex":
                tint = np.asarray(visual.vertex_colors)[:, :3] / 255.0
            materials.append(SimpleMaterial())
            uv.append(np.zeros((count, 2)))
        tints.append(tint)
        face_materials.append(np.full(len(part.faces), number))
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = np.concatenate([part.faces + offset for part, offset in zip(parts, offsets[:-1], strict=True)])
    visual = TextureVisuals(
        uv=np.concatenate(uv), material=MultiMaterial(materials), face_materials=np.concatenate(face_materials)
    )
    mesh = trimesh.Trimesh(np.concatenate([p.vertices for p in parts]), faces, visual=visual, process=False)
    tint = np.concatenate(tints)
    if not np.isnan(tint).all():
        mesh.vertex_attributes[TINT] = tint
    return mesh


def _split_face_colors(part: trimesh.Trimesh) -> trimesh.Trimesh:
    """The same with a vertex of its own for each corner, so that vertex colors say what face colors said."""
    if not isinstance(part.visual, ColorVisuals) or part.visual.kind != "face":
        return part
    corners = part.vertices.view(np.ndarray)[part.faces.reshape(-1)]
    faces = np.arange(len(corners)).reshape(-1, 3)
    colors = np.asarray(part.visual.face_colors).repeat(3, axis=0)
    return trimesh.Trimesh(corners, faces, vertex_colors=colors, process=False)
