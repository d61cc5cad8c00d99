"""Methods that learn from LiDAR–camera pairs, one per file."""

from crosspoint.scene.methods.cmcr import CMCR, CmcrWeights
from crosspoint.scene.methods.olivine import OLIVINE
from crosspoint.scene.methods.ppkt import PPKT
from crosspoint.scene.methods.regression import Regression
from crosspoint.scene.methods.scene_method import SceneMethod
from crosspoint.scene.methods.simipu import SimIPU
from crosspoint.scene.methods.slidr import SLidR

__all__ = ["CMCR", "OLIVINE", "PPKT", "CmcrWeights", "Regression", "SLidR", "SceneMethod", "SimIPU"]
