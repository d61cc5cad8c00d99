"""Fragments → color, once for every backend: Phong's model (1975, https://doi.org/10.1145/360825.360839)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
import trimesh
from torch import Tensor

from crosspoint.renderers.appearance import Appearance, interpolate
from crosspoint.renderers.cameras import Cameras
from crosspoint.renderers.fragments import Fragments
from crosspoint.renderers.normals import corner_normals, face_normals

Background = Literal["white", "transparent"]


@dataclass(frozen=True)
class Style:
    """How surfaces look.

    Raises:
        ValueError: if a number is out of range or the background is unknown.
    """

    background: Background = "white"
    supersample: int = 2  # samples along each axis of a pixel, taken where neighboring pixels differ
    smooth: bool = True  # normals shared by neighboring faces; False shows the facets
    crease: float = 40.0  # degrees between two faces from which their edge stays sharp
    gray: float = 0.8  # of surfaces without color: lighter ones fade into a white background
    ambient: float = 0.45
    diffuse: float = 0.55  # with `ambient` 1 in sum: a lit surface shows its own color
    specular: float = 0.12
    shininess: float = 16.0
    light: tuple[float, float] = (-0.6, 0.9)  # from the camera to the right and up, as a share of its distance

    def __post_init__(self) -> None:
        if self.background not in ("white", "transparent"):
            raise ValueError(f"found the background {self.background!r}, expected white or transparent")
        if self.supersample < 1:
            raise ValueError(f"found supersample {self.supersample}, expected at least 1")


@dataclass(frozen=True, eq=False)
class Surface:
    """A mesh as shading reads it, by face."""

    corners: Tensor  # (F, 3, 3) float32
    facing: Tensor  # (F, 3) float32 normals of the faces, any length
    normals: Tensor | None  # (F, 3, 3) float32 unit normals of the corners, None for flat faces
    appearance: Appearance

    @classmethod
    def of(cls, mesh: trimesh.Trimesh, style: Style) -> Surface:
        """Read a mesh."""
        corners = np.asarray(mesh.vertices)[mesh.faces]
        normals = torch.from_numpy(corner_normals(corners, style.crease)).float() if style.smooth else None
        facing = torch.from_numpy(face_normals(corners)).float()
        return cls(torch.from_numpy(corners).float(), facing, normals, Appearance.of(mesh))

    def to(self, device: torch.device | str) -> Surface:
        """The same on another device."""
        normals = None if self.normals is None else self.normals.to(device)
        return replace(
            self,
            corners=self.corners.to(device),
            facing=self.facing.to(device),
            normals=normals,
            appearance=self.appearance.to(device),
        )


def shade(surface: Surface, camera: Cameras, fragments: Fragments, style: Style) -> Tensor:
    """Color of the fragments (1, H, W) of one camera.

    Returns:
        (H, W, 4) float32: RGB times alpha, and alpha, 1 on the surface and 0 beside it.
    """
    face = fragments.face.reshape(-1)
    canvas = torch.zeros((len(face), 4), dtype=torch.float32, device=face.device)
    seen = torch.nonzero(face >= 0)[:, 0]
    color = phong(surface, camera, face[seen].long(), fragments.barycentric.reshape(-1, 3)[seen], style)
    canvas[seen] = torch.nn.functional.pad(color, (0, 1), value=1.0)
    return canvas.view(*fragments.face.shape[1:], 4)


def phong(surface: Surface, camera: Cameras, face: Tensor, barycentric: Tensor, style: Style) -> Tensor:
    """Color (P, 3) in [0, 1] of points of the surface seen by one camera, lit from beside it, from both sides.

    Args:
        surface: the mesh.
        camera: one camera.
        face: (P,) int64.
        barycentric: (P, 3) float32.
        style: weights, shininess and place of the light.
    """
    eye = camera.centers[0]
    right, up = camera.R[0, 0], -camera.R[0, 1]
    light = eye + eye.norm() * (style.light[0] * right + style.light[1] * up)
    position = interpolate(surface.corners, face, barycentric)
    to_eye = _unit(eye.to(position) - position)
    to_light = _unit(light.to(position) - position)
    facing = surface.facing[face]
    normal = _unit(facing if surface.normals is None else interpolate(surface.normals, face, barycentric))
    normal = torch.where((facing * to_eye).sum(dim=1, keepdim=True) < 0, -normal, normal)
    cosine = (normal * to_light).sum(dim=1, keepdim=True)
    lit = cosine.clamp(min=0.0)
    # Phong's reflection: r · e with r = 2 (n · l) n − l.
    mirrored = 2 * cosine * (normal * to_eye).sum(dim=1, keepdim=True) - (to_light * to_eye).sum(dim=1, keepdim=True)
    highlight = torch.where(cosine > 0, mirrored.clamp(min=0.0) ** style.shininess, 0.0)
    albedo = surface.appearance.color(face, barycentric, style.gray)
    return (albedo * (style.ambient + style.diffuse * lit) + style.specular * highlight).clamp(0.0, 1.0)


def composite(canvas: Tensor, background: Background) -> Tensor:
    """Premultiplied RGBA (H, W, 4) → uint8 image (H, W, 3) on white, or (H, W, 4) with straight alpha."""
    color, alpha = canvas[..., :3], canvas[..., 3:]
    if background == "white":
        flat = color + (1.0 - alpha)
    else:
        flat = torch.cat([torch.where(alpha > 0, color / alpha.clamp(min=1e-6), 0.0), alpha], dim=-1)
    return flat.mul_(255.0).add_(0.5).to(torch.uint8)


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)
