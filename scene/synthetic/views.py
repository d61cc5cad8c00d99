"""Photographs of a world: the rays of `crosspoint.renderers.raycast` and its textures, lit by a sun that casts shadows.

The shading of `crosspoint.renderers.shading` puts its light beside the camera, which suits single objects; a street
needs one sun for all views, shadows, a sky, and haze between near and far.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from crosspoint.renderers.appearance import interpolate
from crosspoint.renderers.cameras import Cameras
from crosspoint.renderers.fragments import Fragments
from crosspoint.renderers.rendering import differing
from crosspoint.scene.synthetic.world import Sky, World


def camera_ring(views: int = 1, size: tuple[int, int] = (192, 640), fov: float = 80.0) -> Cameras:
    """Level cameras from the LiDAR's frame, the first one forward, the others evenly spaced counter-clockwise.

    Args:
        views: 1 to 6.
        size: (H, W) in pixels.
        fov: horizontal field of view in degrees, by default near that of KITTI's cameras.

    Raises:
        ValueError: if a number is out of range.
    """
    if not 1 <= views <= 6 or not 0.0 < fov < 170.0:
        raise ValueError(f"found {views} cameras of {fov}°, expected 1 to 6 of 0° to 170°")
    yaw = 2 * np.pi * np.arange(views) / views
    forward = np.stack([np.cos(yaw), np.sin(yaw), np.zeros(views)], axis=1)
    right = np.stack([np.sin(yaw), -np.cos(yaw), np.zeros(views)], axis=1)
    R = torch.from_numpy(np.stack([right, np.tile([0.0, 0.0, -1.0], (views, 1)), forward], axis=1))
    centers = torch.from_numpy(0.4 * forward + np.array([0.0, 0.0, -0.15]))  # on a roof rack, around the LiDAR's mast
    focal = size[1] / 2 / np.tan(np.deg2rad(fov) / 2)
    K = torch.tensor([[focal, 0.0, size[1] / 2], [0.0, focal, 0.45 * size[0]], [0.0, 0.0, 1.0]], dtype=torch.float64)
    return Cameras(K.repeat(views, 1, 1), R, -(R @ centers[..., None])[..., 0], size)


def moved(cameras: Cameras, pose: np.ndarray) -> Cameras:
    """Cameras on a LiDAR at a pose (4, 4) in the world, as cameras of the world."""
    rotation, position = torch.from_numpy(pose[:3, :3]), torch.from_numpy(pose[:3, 3])
    R = cameras.R @ rotation.T
    return replace(cameras, R=R, t=cameras.t - R @ position)


def photograph(world: World, camera: Cameras, supersample: int = 2) -> tuple[Tensor, Fragments]:
    """What one camera of the world sees.

    Args:
        world: to be photographed.
        camera: one camera, in the world's frame.
        supersample: samples along each axis of a pixel, taken where neighboring pixels differ; 1 for one everywhere.

    Returns:
        The image (3, H, W) uint8, and the fragments (1, H, W) at its pixel centers.
    """
    fragments = world.tracer(camera)
    height, width = camera.size
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    canvas = colors(world, camera, fragments, x.reshape(-1), y.reshape(-1)).view(height, width, 3)
    if supersample > 1:
        rough = differing(torch.nn.functional.pad(canvas, (0, 1), value=1.0), 0.12)
        rows, columns = rough.nonzero(as_tuple=True)
        v, u = torch.meshgrid(torch.arange(supersample), torch.arange(supersample), indexing="ij")
        rows = (rows[:, None] * supersample + v.reshape(-1)).reshape(-1)
        columns = (columns[:, None] * supersample + u.reshape(-1)).reshape(-1)
        fine = camera.scaled(supersample)
        samples = colors(world, fine, world.tracer.at(fine, rows, columns), columns + 0.5, rows + 0.5)
        canvas[rough] = samples.view(-1, supersample**2, 3).mean(dim=1)
    return canvas.clamp_(0.0, 1.0).mul_(255.0).add_(0.5).to(torch.uint8).permute(2, 0, 1).contiguous(), fragments


def colors(world: World, camera: Cameras, fragments: Fragments, x: Tensor, y: Tensor) -> Tensor:
    """Colors (P, 3) float32 of P fragments of one camera at image points x, y (P,)."""
    face, depth = fragments.face.reshape(-1), fragments.depth.reshape(-1)
    to_world = (camera.R[0].T @ torch.linalg.inv(camera.K[0])).float()
    rays = torch.stack([x, y, torch.ones_like(x)], dim=1) @ to_world.T
    canvas = heaven(world.sky, torch.nn.functional.normalize(rays, dim=1))
    seen = (face >= 0).nonzero()[:, 0]
    hit, weights = face[seen].long(), fragments.barycentric.reshape(-1, 3)[seen]
    light = illumination(world, hit, weights, rays[seen])
    haze = torch.exp(-depth[seen] / world.sky.haze)[:, None]
    albedo = world.appearance.color(hit, weights, 0.8)
    canvas[seen] = albedo * light * haze + torch.from_numpy(world.sky.horizon).float() * (1.0 - haze)
    return canvas


def illumination(world: World, face: Tensor, weights: Tensor, rays: Tensor) -> Tensor:
    """Light (P, 3) that arrives at surface points: from the sky all around, and from the sun where nothing hides it."""
    normal = torch.nn.functional.normalize(interpolate(world.normals, face, weights), dim=1)
    normal = torch.where((normal * rays).sum(dim=1, keepdim=True) > 0, -normal, normal)
    sun, direct, ambient = (torch.from_numpy(v).float() for v in (world.sky.sun, world.sky.direct, world.sky.ambient))
    light = ambient * (0.8 + 0.2 * normal[:, 2:])
    if not bool(direct.any()):
        return light
    cosine = (normal @ sun).clamp(min=0.0)
    lit = (cosine > 0).nonzero()[:, 0]
    # A centimeter off the surface, so that no face shades itself.
    origins = interpolate(world.corners, face[lit], weights[lit]) + 0.01 * normal[lit] + 0.01 * sun
    towards = sun.expand(len(lit), 3).contiguous()
    hidden = world.tracer.scene.run(origins.numpy(), towards.numpy(), query="OCCLUDED")
    cosine[lit[torch.from_numpy(np.asarray(hidden) >= 0)]] = 0.0
    return light + cosine[:, None] * direct


def heaven(sky: Sky, directions: Tensor) -> Tensor:
    """Colors (P, 3) of the sky in unit directions (P, 3): from the horizon's to the zenith's, with some clouds."""
    up = directions[:, 2].clamp(min=0.0)
    blend = up.sqrt()[:, None]
    x, y = directions[:, 0] / (up + 0.15), directions[:, 1] / (up + 0.15)
    wisps = torch.sin(1.7 * x + 2.0 * torch.sin(0.9 * y)) * torch.sin(1.3 * y + 1.5 * torch.sin(1.1 * x))
    color = torch.from_numpy(sky.horizon).float() * (1 - blend) + torch.from_numpy(sky.zenith).float() * blend
    return color + 0.12 * wisps.clamp(min=0.0)[:, None]
