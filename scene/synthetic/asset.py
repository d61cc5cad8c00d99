"""A thing that stands in the world: its surface, and what every face of it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from trimesh.visual.color import ColorVisuals

from crosspoint.datasets.procedural.sketch import Shape
from crosspoint.scene.synthetic.materials import MATERIAL_NAMES, material_values

# The words of Cityscapes, SemanticKITTI and nuScenes; as in nuScenes and Cityscapes, trunks belong to vegetation.
CLASSES = (
    "road",
    "sidewalk",
    "terrain",
    "building",
    "fence",
    "vegetation",
    "pole",
    "traffic sign",
    "car",
    "pedestrian",
)
BOX_CLASSES = ("car", "pedestrian")
Role = tuple[str, str]  # of a part: its class and its material


@dataclass(frozen=True, eq=False)
class Prop:
    """A triangle mesh in meters, x forward, y left, z up, standing around the origin on z = 0."""

    vertices: np.ndarray  # (V, 3) float64
    faces: np.ndarray  # (F, 3) int64
    colors: np.ndarray  # (F, 3) float32 in [0, 1]
    uv: np.ndarray  # (F, 3, 2) float32 texture coordinates of the corners
    materials: np.ndarray  # (F,) int64, indices into MATERIAL_NAMES
    labels: np.ndarray  # (F,) int64, indices into CLASSES
    thing: str = ""  # its class among BOX_CLASSES; empty for what gets no box

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest coordinates, each (3,)."""
        return self.vertices.min(axis=0), self.vertices.max(axis=0)

    @property
    def size(self) -> np.ndarray:
        """Length, width and height (3,)."""
        low, high = self.bounds
        return high - low


def prop_of(shape: Shape, roles: dict[str, Role], thing: str = "", scale: float = 1.0) -> Prop:
    """Give the parts of a procedural shape (y up, front toward +z) their classes and materials.

    Args:
        shape: with vertex colors.
        roles: class and material of each part's name.
        thing: box class, if it gets a box.
        scale: factor on all lengths.
    """
    vertices = np.asarray(shape.mesh.vertices)[:, [2, 0, 1]] * scale  # a rotation: z → x, x → y, y → z
    faces = np.asarray(shape.mesh.faces)
    labels = np.array([CLASSES.index(roles[part][0]) for part in shape.part_names])[shape.parts]
    materials = np.array([MATERIAL_NAMES.index(roles[part][1]) for part in shape.part_names])[shape.parts]
    visual = shape.mesh.visual
    assert isinstance(visual, ColorVisuals)  # as `Sketch` makes them
    colors = visual.vertex_colors[faces[:, 0], :3].astype(np.float32) / 255.0
    return Prop(vertices, faces, colors, box_mapping(vertices, faces, materials), materials, labels, thing)


def box_mapping(vertices: np.ndarray, faces: np.ndarray, materials: np.ndarray) -> np.ndarray:
    """Texture coordinates (F, 3, 2): each face is projected along the axis it faces most; v grows upward on walls."""
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    across = np.array([(1, 2), (0, 2), (0, 1)])[np.abs(normals).argmax(axis=1)]  # (F, 2)
    uv = np.take_along_axis(corners, across[:, None], axis=2)
    return (uv / material_values("period")[materials][:, None, None]).astype(np.float32)


def roughened(prop: Prop, material: str, amount: float, rng: np.random.Generator) -> Prop:
    """Move the vertices of one material at random by a normal distribution of `amount` meters: leafy outlines."""
    chosen = np.unique(prop.faces[prop.materials == MATERIAL_NAMES.index(material)])
    vertices = prop.vertices.copy()
    vertices[chosen] += rng.normal(0.0, amount, (len(chosen), 3))
    vertices[:, 2] = np.maximum(vertices[:, 2], min(0.0, prop.vertices[:, 2].min()))
    return Prop(vertices, prop.faces, prop.colors, prop.uv, prop.materials, prop.labels, prop.thing)
