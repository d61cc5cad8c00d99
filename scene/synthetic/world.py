"""A street as one still mesh under one sun, and the ego vehicle's way through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from torch import Tensor

from crosspoint.renderers.appearance import Appearance
from crosspoint.renderers.normals import corner_normals, face_normals
from crosspoint.renderers.raycast import Raycast
from crosspoint.scene.data.sample import Boxes
from crosspoint.scene.synthetic.asset import BOX_CLASSES
from crosspoint.scene.synthetic.layout import Placed, furnish
from crosspoint.scene.synthetic.materials import MATERIALS, material_values, textures
from crosspoint.scene.synthetic.street import Street, ground

LIDAR_HEIGHT = 1.8  # meters above the road


@dataclass(frozen=True, eq=False)
class Sky:
    """The light of an hour and a weather; colors (3,) in [0, 1]."""

    sun: np.ndarray  # (3,) unit vector toward it
    direct: np.ndarray  # color of its light, black under clouds
    ambient: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    haze: float  # meters after which the horizon's color has covered 63 % of what lies behind

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Sky:
        """Bright or overcast, early or late."""
        azimuth, elevation = rng.uniform(0.0, 2 * np.pi), np.deg2rad(rng.uniform(22.0, 65.0))
        sun = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
        clouds = float(np.clip(rng.normal(0.35, 0.45), 0.0, 1.0))
        exposure = rng.uniform(0.9, 1.15)
        warm = np.array([1.0, 0.96, 0.86]) + rng.uniform(-0.04, 0.04)
        blue, gray = np.array([0.36, 0.56, 0.86]), np.array([0.75, 0.77, 0.8])
        return cls(
            sun=sun,
            direct=exposure * 0.75 * (1 - clouds) * warm,
            ambient=exposure * (0.45 + 0.35 * clouds) * np.array([0.95, 0.98, 1.03]),
            zenith=clouds * gray + (1 - clouds) * blue,
            horizon=np.array([0.86, 0.89, 0.92]) * rng.uniform(0.92, 1.05),
            haze=rng.uniform(250.0, 700.0),
        )


@dataclass(frozen=True, eq=False)
class World:
    """Everything that a LiDAR and cameras see of a sequence; x, y, z in meters, z up.

    Per-face arrays share their order with the faces of `mesh`, which `tracer` casts rays against.
    """

    mesh: trimesh.Trimesh
    tracer: Raycast
    labels: np.ndarray  # (F,) int64
    objects: np.ndarray  # (F,) int64, 1 + row of `boxes`, 0 for what has no box
    reflectivity: np.ndarray  # (F,) float64, for a laser
    softness: np.ndarray  # (F,) float64, meters by which a beam enters
    facing: np.ndarray  # (F, 3) float64 unit normals of the faces, outward
    normals: Tensor  # (F, 3, 3) float32 unit normals of the corners, shared by the faces of what is round
    corners: Tensor  # (F, 3, 3) float32
    appearance: Appearance
    boxes: Boxes  # in the world's frame
    poses: np.ndarray  # (frames, 4, 4) float64, from the LiDAR's frame to the world's
    sky: Sky


def make_world(seed: Sequence[int], frames: int = 10, spacing: float = 4.0) -> World:
    """Build the world of a sequence.

    Args:
        seed: any integers ≥ 0; the same ones give the same world everywhere.
        frames: places of the ego vehicle, which drives in the right lane.
        spacing: meters between them, give or take a fifth from sequence to sequence.

    Raises:
        ValueError: if a number is not positive.
    """
    if frames < 1 or not 0.0 < spacing < 100.0:
        raise ValueError(f"found {frames} frames {spacing} m apart, expected at least one, 0 to 100 m apart")
    rng = np.random.default_rng(list(seed))
    street, stations = _course(frames, spacing, rng)
    poses, sky = _drive(street, stations, rng), Sky.draw(rng)
    strips = [Placed(strip, np.zeros(3), 0.0) for strip in ground(street, rng)]
    return _assemble(strips + furnish(street, float(stations[-1]), rng), poses, sky, rng)


def make_poses(seed: Sequence[int], frames: int = 10, spacing: float = 4.0) -> np.ndarray:
    """The poses (frames, 4, 4) of `make_world`, without the rest of that world."""
    rng = np.random.default_rng(list(seed))
    return _drive(*_course(frames, spacing, rng), rng)


def _course(frames: int, spacing: float, rng: np.random.Generator) -> tuple[Street, np.ndarray]:
    """A street and the stations (frames,) along it at which frames are taken."""
    stations = spacing * rng.uniform(0.8, 1.2) * np.arange(frames)
    return Street.draw(float(stations[-1]), rng), stations


def _drive(street: Street, stations: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Poses (frames, 4, 4) of a LiDAR that stays upright and wanders a little in its lane."""
    sway, phase = rng.uniform(0.0, 0.25), rng.uniform(0.0, 2 * np.pi)
    poses = np.tile(np.eye(4), (len(stations), 1, 1))
    for pose, station in zip(poses, stations, strict=True):
        d = -street.lane / 2 + sway * np.sin(station / 15.0 + phase)
        heading = street.heading(station) + sway / 15.0 * np.cos(station / 15.0 + phase)
        pose[:3, :3] = about_z(heading)
        pose[:3, 3] = [*street.place(station, d), float(street.height(station, d)) + LIDAR_HEIGHT]
    return poses


def _assemble(placed: list[Placed], poses: np.ndarray, sky: Sky, rng: np.random.Generator) -> World:
    props = [item.prop for item in placed]
    counts = [len(prop.faces) for prop in props]
    starts = np.cumsum([0, *(len(prop.vertices) for prop in props)])
    vertices = np.concatenate([item.prop.vertices @ about_z(item.heading).T + item.position for item in placed])
    faces = np.concatenate([prop.faces + start for prop, start in zip(props, starts[:-1], strict=True)])
    # Single precision, as Embree keeps it: every sensor and every check sees the very same surface.
    vertices = vertices.astype(np.float32).astype(np.float64)
    materials = np.concatenate([prop.materials for prop in props])
    colors = np.concatenate([prop.colors for prop in props])
    things = np.cumsum([bool(prop.thing) for prop in props]) * [bool(prop.thing) for prop in props]
    # Bright colors are mostly bright in the near infrared, too, and no two surfaces of a kind are alike.
    brightness = (0.5 + colors.mean(axis=1)) * np.repeat(rng.uniform(0.7, 1.3, len(props)), counts)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    corners = vertices[faces]
    weighted = face_normals(corners)
    facing = weighted / np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-12)
    normals = np.repeat(facing[:, None], 3, axis=1)
    smooth = material_values("smooth")[materials]
    normals[smooth] = corner_normals(corners[smooth])
    return World(
        mesh=mesh,
        tracer=Raycast(mesh),
        labels=np.concatenate([prop.labels for prop in props]),
        objects=np.repeat(things, counts),
        reflectivity=material_values("reflectivity")[materials] * brightness,
        softness=material_values("depth")[materials],
        facing=facing,
        normals=torch.from_numpy(normals).float(),
        corners=torch.from_numpy(corners).float(),
        appearance=_appearance(colors, np.concatenate([prop.uv for prop in props]), materials),
        boxes=_boxes([item for item in placed if item.prop.thing]),
        poses=poses,
        sky=sky,
    )


def _appearance(colors: np.ndarray, uv: np.ndarray, materials: np.ndarray) -> Appearance:
    names, images = textures()
    numbers = np.array([-1 if m.texture is None else names.index(m.texture) for m in MATERIALS.values()])
    return Appearance(
        tint=torch.from_numpy(colors)[:, None].expand(-1, 3, -1),
        uv=torch.from_numpy(uv),
        texture=torch.from_numpy(numbers[materials]),
        textures=images,
    )


def _boxes(placed: list[Placed]) -> Boxes:
    geometry = np.zeros((len(placed), 7))
    for row, item in zip(geometry, placed, strict=True):
        low, high = item.prop.bounds
        row[:3] = about_z(item.heading) @ ((low + high) / 2) + item.position
        row[3:6], row[6] = high - low, item.heading
    labels = np.array([BOX_CLASSES.index(item.prop.thing) for item in placed], dtype=np.int64)
    return Boxes(torch.from_numpy(geometry), torch.from_numpy(labels))


def about_z(angle: float) -> np.ndarray:
    """Rotation (3, 3) by an angle in radians, x toward y."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
