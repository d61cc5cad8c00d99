"""Meshes → views: cameras, two backends that agree, shading, and rendered sets on disk."""

if __name__ != "crosspoint.renderers":
    raise ImportError("found the folder `renderers` imported by its bare name, expected: import crosspoint.renderers")


from crosspoint.renderers.cameras import Cameras, look_at, orbit, ring, sphere
from crosspoint.renderers.cluster import ClusterConfig, on_cluster
from crosspoint.renderers.dataset import Summary, render_folder
from crosspoint.renderers.fragments import Fragments
from crosspoint.renderers.meshes import load_mesh, normalize, sample_surface
from crosspoint.renderers.rendered_set import RenderedSet
from crosspoint.renderers.rendering import Rendering, render
from crosspoint.renderers.shading import Style

__all__ = [
    "Cameras",
    "ClusterConfig",
    "Fragments",
    "RenderedSet",
    "Rendering",
    "Style",
    "Summary",
    "load_mesh",
    "look_at",
    "normalize",
    "on_cluster",
    "orbit",
    "render",
    "render_folder",
    "ring",
    "sample_surface",
    "sphere",
]
