"""Pinhole cameras in the OpenCV convention, and where to put them around an object in the unit sphere.

x points right, y down, z forward; `x_cam = R x + t`; the center of the top-left pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

BLENDER_FOV = math.degrees(2 * math.atan(16 / 35))  # 49.1°: 35 mm lens, 32 mm sensor, the camera of 3D-R2N2's renders


@dataclass(frozen=True, eq=False)
class Cameras:
    """V pinhole cameras, whose images lie in arrays of one size.

    Raises:
        ValueError: if shapes do not fit, a number is not finite, or the size is not positive.
    """

    K: Tensor  # (V, 3, 3) float64, pixels
    R: Tensor  # (V, 3, 3) float64, world → camera
    t: Tensor  # (V, 3) float64
    size: tuple[int, int]  # (H, W)
    framed: bool = False  # whether they were placed around the unit sphere, so that it fills their images
    sizes: Tensor | None = None  # (V, 2) int64, H and W of each image at the top left of its array; None fills it

    def __post_init__(self) -> None:
        for name, tail in (("K", (3, 3)), ("R", (3, 3)), ("t", (3,))):
            value = torch.as_tensor(getattr(self, name), dtype=torch.float64)
            if value.shape[1:] != tail or len(value) != len(self.K):
                raise ValueError(f"found cameras with {name} of shape {tuple(value.shape)}, expected {('V', *tail)}")
            if not bool(torch.isfinite(value).all()):
                raise ValueError(f"found NaN or infinite numbers in the cameras' {name}, expected finite ones")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "size", image_size(self.size))
        if self.sizes is not None:
            sizes = torch.as_tensor(self.sizes, dtype=torch.int64)
            within = sizes.shape == (len(self.K), 2) and bool(((sizes >= 1) & (sizes <= torch.tensor(self.size))).all())
            if not within:
                raise ValueError(
                    f"found images of sizes {sizes.tolist()} in arrays of {self.size[0]}×{self.size[1]} pixels, "
                    f"expected {len(self.K)} sizes, from 1×1 to that of the arrays"
                )
            object.__setattr__(self, "sizes", sizes)

    def __len__(self) -> int:
        return len(self.K)

    def __getitem__(self, views: int | slice | list[int]) -> Cameras:
        chosen = [views] if isinstance(views, int) else views
        sizes = None if self.sizes is None else self.sizes[chosen]
        return Cameras(self.K[chosen], self.R[chosen], self.t[chosen], self.size, self.framed, sizes)

    @property
    def image_sizes(self) -> Tensor:
        """H and W of each camera's own image: (V, 2) int64."""
        return torch.tensor(self.size).expand(len(self.K), 2) if self.sizes is None else self.sizes

    @property
    def centers(self) -> Tensor:
        """Positions in the world (V, 3)."""
        return -(self.R.mT @ self.t[..., None])[..., 0]

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """World points (N, 3) → pixels (V, N, 2) as x, y, and depth (V, N); a depth ≤ 0 lies behind the camera."""
        camera = points.to(torch.float64) @ self.R.mT + self.t[:, None]
        homogeneous = camera @ self.K.mT
        return homogeneous[..., :2] / homogeneous[..., 2:], camera[..., 2]

    def unproject(self, pixels: Tensor, depth: Tensor) -> Tensor:
        """Pixels (V, N, 2) and their depth (V, N) → world points (V, N, 3): the inverse of `project`."""
        pixels = pixels.to(torch.float64)
        homogeneous = torch.cat([pixels, torch.ones_like(pixels[..., :1])], dim=-1)
        camera = depth.to(torch.float64)[..., None] * (homogeneous @ torch.linalg.inv(self.K).mT)
        return (camera - self.t[:, None]) @ self.R

    def scaled(self, factor: int) -> Cameras:
        """The same cameras with `factor` times as many pixels along each axis."""
        K = self.K.clone()
        K[:, :2] *= factor
        sizes = None if self.sizes is None else self.sizes * factor
        return Cameras(K, self.R, self.t, (self.size[0] * factor, self.size[1] * factor), self.framed, sizes)


def image_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """(H, W) of a size given as one side or two.

    Raises:
        ValueError: if a side is below one pixel.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"found an image size of {height}×{width} pixels, expected at least 1×1")
    return int(height), int(width)


def look_at(eye: Tensor, target: Tensor | None = None, up: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Rotations (V, 3, 3) and translations (V, 3) of cameras at `eye` (V, 3) that see `target` (3,) in the middle.

    `up` (3,), y by default, points up in the images; a camera that looks along it takes z (or x) instead.

    Raises:
        ValueError: if an eye lies on the target.
    """
    eye = torch.as_tensor(eye, dtype=torch.float64)
    target = eye.new_zeros(3) if target is None else target.to(eye)
    up = eye.new_tensor([0.0, 1.0, 0.0]) if up is None else up.to(eye)
    away = target - eye
    distance = away.norm(dim=-1, keepdim=True)
    if bool((distance == 0).any()):
        raise ValueError("found a camera on the point it looks at, expected some distance between them")
    forward = away / distance
    axes = torch.stack([up / up.norm(), *torch.eye(3, dtype=eye.dtype)[[2, 0]]])
    parallel = (forward @ axes.T).abs() > 1 - 1e-9  # (V, 3)
    up = axes[parallel.to(torch.int8).argmin(dim=1)]  # the first axis the camera does not look along
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=-1)
    R = torch.stack([right, torch.linalg.cross(forward, right), forward], dim=1)
    return R, -(R @ eye[..., None])[..., 0]


def orbit(
    views: int,
    size: int | tuple[int, int] = 224,
    *,
    seed: int | np.random.Generator = 0,
    elevation: tuple[float, float] = (25.0, 30.0),
    distance: tuple[float, float] = (1.02, 1.25),
    fov: float = BLENDER_FOV,
) -> Cameras:
    """Random views from slightly above, as in the renders of 3D-R2N2 (Choy et al. 2016, https://arxiv.org/abs/1604.00449).

    Args:
        views: number V of cameras.
        size: image side, or (H, W), in pixels.
        seed: seed or generator of azimuth ~ U(0°, 360°), elevation and distance.
        elevation: bounds in degrees of the uniform elevation.
        distance: bounds of the uniform distance, as multiples of the smallest at which the unit sphere fits the frame.
        fov: field of view of the shorter image side in degrees.

    Raises:
        ValueError: if a number is out of range, among them a distance below 1.
    """
    generator = np.random.default_rng(seed)
    azimuths = generator.uniform(0.0, 360.0, views)
    elevations = generator.uniform(*elevation, views)
    return _around(azimuths, elevations, generator.uniform(*distance, views), size, fov)


def ring(
    views: int,
    size: int | tuple[int, int] = 224,
    *,
    elevation: float = 30.0,
    distance: float = 1.02,
    fov: float = BLENDER_FOV,
) -> Cameras:
    """Evenly spaced views at one elevation (degrees), as in multi-view networks; arguments as in `orbit`."""
    azimuths = np.arange(views) * (360.0 / max(views, 1))
    return _around(azimuths, np.full(views, elevation), np.full(views, distance), size, fov)


def sphere(
    views: int, size: int | tuple[int, int] = 224, *, distance: float = 1.02, fov: float = BLENDER_FOV
) -> Cameras:
    """Views from all around on a Fibonacci spiral, which spreads any number of them evenly; arguments as in `orbit`."""
    index = np.arange(views)
    elevations = np.degrees(np.arcsin(1.0 - (2.0 * index + 1.0) / max(views, 1)))
    azimuths = index * (180.0 * (3.0 - math.sqrt(5.0)))  # the golden angle
    return _around(azimuths, elevations, np.full(views, distance), size, fov)


def _around(
    azimuth: np.ndarray, elevation: np.ndarray, distance: np.ndarray, size: int | tuple[int, int], fov: float
) -> Cameras:
    """Cameras on a sphere around the origin; angles in degrees, distances in multiples of the closest full view."""
    height, width = image_size(size)
    if len(azimuth) < 1:
        raise ValueError(f"found {len(azimuth)} views, expected at least one")
    if not 0.0 < fov < 180.0:
        raise ValueError(f"found a field of view of {fov}°, expected one between 0° and 180°")
    if distance.min() < 1.0:
        raise ValueError(f"found a distance of {distance.min()}, expected at least 1: nearer, the sphere is cut")
    half = math.radians(fov) / 2
    a, e = np.radians(azimuth), np.radians(elevation)
    directions = np.stack([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)], axis=1)
    R, t = look_at(torch.from_numpy(directions * (distance / math.sin(half))[:, None]))
    focal = min(height, width) / 2 / math.tan(half)
    K = torch.tensor([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]], dtype=torch.float64)
    return Cameras(K.repeat(len(R), 1, 1), R, t, (height, width), framed=True)
