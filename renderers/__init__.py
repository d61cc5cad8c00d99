"""Meshes → views: cameras, two backends that agree, shading, and rendered sets on disk."""

from renderers.cameras import Cameras, look_at, orbit, ring, sphere
from renderers.dataset import Summary, render_folder
from renderers.fragments import Fragments
from renderers.meshes import load_mesh, normalise, sample_surface
from renderers.rendered_set import RenderedSet
from renderers.rendering import Rendering, render
from renderers.shading import Style

__all__ = [
    "Cameras",
    "Fragments",
    "RenderedSet",
    "Rendering",
    "Style",
    "Summary",
    "load_mesh",
    "look_at",
    "normalise",
    "orbit",
    "render",
    "render_folder",
    "ring",
    "sample_surface",
    "sphere",
]
