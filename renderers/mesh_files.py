"""A mesh file → its parts as trimesh has them: each format by the reader that reads it right."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import trimesh
from trimesh.visual.texture import TextureVisuals

from crosspoint.renderers.archives import check_zip
from crosspoint.renderers.companions import Companions
from crosspoint.renderers.file_faults import what_it_is
from crosspoint.renderers.gltf import plain_gltf
from crosspoint.renderers.off import read_off
from crosspoint.renderers.ply import read_ply
from crosspoint.renderers.stl import check_stl
from crosspoint.renderers.wavefront import UV_KEY, Wavefront, plain_objects

MOST_RATIO = 50.0  # of XML that is packed; meshes reach 10


def read_parts(path: Path, root: str | Path | None = None) -> tuple[list[trimesh.Trimesh], list[str]]:
    """Parts with faces, and the names of materials and textures that were not found.

    Args:
        path: the file.
        root: folder that nothing is read outside of, see `Companions`.

    Raises:
        ValueError: if it cannot be read: with the format, the place where it is known, and the cause.
    """
    content, kind = path.read_bytes(), path.suffix.lower().removeprefix(".")
    instead = what_it_is(content, path.name)
    if instead is not None:
        raise ValueError(instead)
    if content.startswith(b"PK\x03\x04"):  # .3mf and the like
        check_zip(io.BytesIO(content), path.name, "a mesh", MOST_RATIO * len(content))
    files: Companions = Wavefront(path, root) if kind == "obj" else Companions(path, root)
    try:
        parts = _parts(content, kind, files)
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # parsers of twenty formats fail in as many ways on a broken file
        if type(error) is ValueError and str(error).startswith("found "):
            raise
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise ValueError(
            f"found {path.name} that cannot be read as {kind.upper()} ({said}): check or convert it"
        ) from error
    return [part for part in parts if len(part.faces)], files.not_found


def _parts(content: bytes, kind: str, files: Companions) -> list[trimesh.Trimesh]:
    if kind == "off":
        return [read_off(content, files.file_name)]
    if kind == "ply":
        return [read_ply(content, files)]
    if kind == "stl":
        check_stl(content, files.file_name)
    elif isinstance(files, Wavefront):
        content = plain_objects(content, files)
    elif kind in ("glb", "gltf"):
        content, kind = plain_gltf(content, files), "glb"
    scene = trimesh.load_scene(io.BytesIO(content), file_type=kind, resolver=files, process=False)
    parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh)]
    for part in parts:
        _move_texture(part)
    return parts


def _move_texture(part: trimesh.Trimesh) -> None:
    """Apply scale and offset of an MTL's texture."""
    visual = part.visual
    if not isinstance(visual, TextureVisuals) or visual.uv is None:
        return
    numbers = getattr(visual.material, "kwargs", {}).get(UV_KEY)
    if numbers is not None:
        scale, offset = np.array(numbers, dtype=np.float64).reshape(2, 2)
        visual.uv = visual.uv * scale + offset
