"""Methods that learn from LiDAR–camera pairs, one per file."""

from scene.methods.ppkt import PPKT
from scene.methods.simipu import SimIPU
from scene.methods.slidr import SLidR

__all__ = ["PPKT", "SLidR", "SimIPU"]
