"""Methods that learn from LiDAR–camera pairs, one per file."""

from crosspoint.scene.methods.cmcr import CMCR, CmcrWeights
from crosspoint.scene.methods.ppkt import PPKT
from crosspoint.scene.methods.scene_method import SceneMethod
from crosspoint.scene.methods.simipu import SimIPU
from crosspoint.scene.methods.slidr import SLidR

__all__ = ["CMCR", "PPKT", "CmcrWeights", "SLidR", "SceneMethod", "SimIPU"]
