"""An embedded driving world: streets from a seed, seen by a spinning LiDAR and by cameras, with every label."""

from crosspoint.scene.synthetic.asset import BOX_CLASSES, CLASSES
from crosspoint.scene.synthetic.dataset import SyntheticScenes
from crosspoint.scene.synthetic.imperfect import Imperfection, imperfect
from crosspoint.scene.synthetic.lidar import HDL_64, Lidar
from crosspoint.scene.synthetic.views import camera_ring
from crosspoint.scene.synthetic.world import World, make_world
from crosspoint.scene.synthetic.writing import write_scenes

__all__ = [
    "BOX_CLASSES",
    "CLASSES",
    "HDL_64",
    "Imperfection",
    "Lidar",
    "SyntheticScenes",
    "World",
    "camera_ring",
    "imperfect",
    "make_world",
    "write_scenes",
]
