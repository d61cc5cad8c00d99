"""The color of a mesh at any point of its surface: texture, material, vertex or face colors, or none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import trimesh
from PIL import Image
from torch import Tensor
from trimesh.visual.material import MultiMaterial, PBRMaterial, SimpleMaterial, empty_material
from trimesh.visual.texture import TextureVisuals

TINT = "_TINT"  # attribute (V, 3) of vertices that multiplies what the visual says; NaN where there is none


@dataclass(frozen=True, eq=False)
class Appearance:
    """Colors in [0, 1] as they are stored in the file (sRGB); the alpha of textures and colors is not used."""

    tint: Tensor | None = None  # (F, 3, 3) float32: face, corner, RGB; NaN where the mesh says nothing
    uv: Tensor | None = None  # (F, 3, 2) float32: face, corner, texture coordinates with the origin at the lower left
    texture: Tensor | None = None  # (F,) int64 number of the texture, -1 for none
    textures: tuple[Tensor, ...] = ()  # (H, W, 3) uint8 each

    @classmethod
    def of(cls, mesh: trimesh.Trimesh) -> Appearance:
        """Read the visual of a mesh, as trimesh or `load_mesh` left it."""
        plain = cls._of_visual(mesh)
        if TINT not in mesh.vertex_attributes:
            return plain
        own = torch.from_numpy(np.asarray(mesh.vertex_attributes[TINT], dtype=np.float32)[mesh.faces])
        if plain.tint is None:
            return cls() if bool(own.isnan().all()) else replace(plain, tint=own)
        both = own * torch.where(plain.tint.isnan(), 1.0, plain.tint)
        return replace(plain, tint=torch.where(own.isnan(), plain.tint, both))

    @classmethod
    def _of_visual(cls, mesh: trimesh.Trimesh) -> Appearance:
        visual = mesh.visual
        if isinstance(visual, TextureVisuals):
            return _of_materials(mesh.faces, visual)
        if visual is None:
            return cls()
        if visual.kind == "vertex":
            return cls(tint=_unit(visual.vertex_colors[mesh.faces]))
        if visual.kind == "face":
            return cls(tint=_unit(visual.face_colors[:, None].repeat(3, axis=1)))
        return cls()

    def to(self, device: torch.device | str) -> Appearance:
        """The same on another device."""
        moved = {name: getattr(self, name) for name in ("tint", "uv", "texture")}
        return replace(
            self,
            **{name: None if value is None else value.to(device) for name, value in moved.items()},
            textures=tuple(texture.to(device) for texture in self.textures),
        )

    def color(self, face: Tensor, barycentric: Tensor, default: float) -> Tensor:
        """Color (P, 3) of surface points; gray of value `default` where the mesh says nothing.

        Args:
            face: (P,) int64.
            barycentric: (P, 3) float32.
            default: gray value in [0, 1].
        """
        if self.tint is None:
            return barycentric.new_full((len(face), 3), default)
        color = interpolate(self.tint, face, barycentric)
        color = torch.where(color.isnan(), default, color)
        if self.texture is None or self.uv is None:
            return color
        uv = interpolate(self.uv, face, barycentric)
        number = self.texture[face]
        for i, texture in enumerate(self.textures):
            chosen = torch.nonzero(number == i)[:, 0]
            if len(chosen):
                color[chosen] *= _bilinear(texture, uv[chosen])
        return color

    def sampled_colors(self, faces: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
        """Colors (N, 3) uint8 at faces (N,) and barycentric weights (N, 3); None where the mesh has none."""
        if self.tint is None:
            return None
        color = self.color(torch.from_numpy(faces), torch.from_numpy(weights).float(), default=0.8)
        return (color * 255.0).round().to(torch.uint8).numpy()


def interpolate(values: Tensor, face: Tensor, barycentric: Tensor) -> Tensor:
    """Values (F, 3, C) of the corners at points of the faces → (P, C)."""
    corners = values[face]
    a, b, c = barycentric[:, :1], barycentric[:, 1:2], barycentric[:, 2:]
    return corners[:, 0] * a + corners[:, 1] * b + corners[:, 2] * c


def _unit(colors: np.ndarray) -> Tensor:
    """RGB in [0, 1] of RGBA uint8 (..., 4)."""
    return torch.from_numpy(np.asarray(colors)[..., :3].astype(np.float32) / 255.0)


def rgb_image(image: Image.Image) -> np.ndarray:
    """Pixels (H, W, 3) uint8 of an image of any mode; Pillow's own conversion cuts 16 bits off at 255."""
    if image.mode.startswith("I"):
        gray = np.asarray(image).astype(np.float64)
        gray = gray / (257.0 if gray.max(initial=0.0) > 255.0 or image.mode.startswith("I;16") else 1.0)
    elif image.mode == "F":
        gray = np.nan_to_num(np.asarray(image, dtype=np.float64))
        gray = gray * (255.0 if gray.max(initial=0.0) <= 1.0 else 1.0)
    else:
        return np.array(image.convert("RGB"))
    return gray.round().clip(0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)


def _of_materials(faces: np.ndarray, visual: TextureVisuals) -> Appearance:
    materials = visual.material.materials if isinstance(visual.material, MultiMaterial) else [visual.material]
    of_face = visual.face_materials if isinstance(visual.material, MultiMaterial) else None
    of_face = np.zeros(len(faces), dtype=np.int64) if of_face is None else np.asarray(of_face, dtype=np.int64)
    has_uv = visual.uv is not None and len(visual.uv) > 0
    tints, numbers = [], []
    textures: list[Tensor] = []
    for material in materials:
        own, image = _material(material)
        number = -1
        if image is not None and has_uv:
            number = len(textures)
            textures.append(torch.from_numpy(rgb_image(image)))
        elif image is not None:  # a texture that no coordinate refers to says nothing
            own = np.full(3, np.nan)
        tints.append(own)
        numbers.append(number)
    tint = torch.from_numpy(np.asarray(tints, dtype=np.float32)[of_face])  # (F, 3)
    if bool(tint.isnan().all()):
        return Appearance()
    if not textures:
        return Appearance(tint=tint[:, None].repeat(1, 3, 1))
    return Appearance(
        tint=tint[:, None].repeat(1, 3, 1),
        uv=torch.from_numpy(np.nan_to_num(np.asarray(visual.uv, dtype=np.float32)[faces])),
        texture=torch.from_numpy(np.asarray(numbers)[of_face]),
        textures=tuple(textures),
    )


def _material(material: Any) -> tuple[np.ndarray, Any]:
    """Tint (3,), NaN where the material says nothing, and texture image or None."""
    nothing, white = np.full(3, np.nan), np.ones(3)
    if isinstance(material, PBRMaterial):
        factor = material.baseColorFactor
        if material.baseColorTexture is not None:
            return (white if factor is None else np.asarray(factor)[:3] / 255.0), material.baseColorTexture
        return (nothing if factor is None else np.asarray(factor)[:3] / 255.0), None
    if isinstance(material, SimpleMaterial):
        # Where a file has no material, or one without Kd, trimesh puts its own: a small gray image, or a gray.
        image, stand_in = material.image, empty_material().image
        if image is not None and (image.size != stand_in.size or image.tobytes() != stand_in.tobytes()):
            return white, image  # Kd is left out: exporters often write 0 beside map_Kd
        unset = image is not None or np.array_equal(material.diffuse, SimpleMaterial().diffuse)
        return (nothing if unset else np.asarray(material.diffuse)[:3] / 255.0), None
    return nothing, None


def _bilinear(texture: Tensor, uv: Tensor) -> Tensor:
    """Texture (H, W, 3) uint8 at coordinates (P, 2), repeated outside [0, 1] → (P, 3) in [0, 1]."""
    height, width = texture.shape[:2]
    x = uv[:, 0] * width - 0.5
    y = (1.0 - uv[:, 1]) * height - 0.5
    left, top = x.floor(), y.floor()
    fx, fy = (x - left)[:, None], (y - top)[:, None]
    x0, y0 = left.long() % width, top.long() % height
    x1, y1 = (x0 + 1) % width, (y0 + 1) % height
    upper = texture[y0, x0] * (1 - fx) + texture[y0, x1] * fx
    lower = texture[y1, x0] * (1 - fx) + texture[y1, x1] * fx
    return (upper * (1 - fy) + lower * fy) / 255.0
