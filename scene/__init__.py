"""LiDAR and cameras: samples, datasets, sparse networks, and methods that learn from point–pixel pairs.

This page is the public API of scenes.
"""

if __name__ != "crosspoint.scene":
    raise ImportError("found the folder `scene` imported by its bare name, expected: import crosspoint.scene")

from crosspoint.scene.data.batch import LidarBatch, stack_samples
from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import Boxes, LidarSample
from crosspoint.scene.data.superpixels import SuperpixelConfig
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.datasets.build import open_scenes
from crosspoint.scene.datasets.validate import check_scenes
from crosspoint.scene.methods.cmcr import CMCR, CmcrWeights
from crosspoint.scene.methods.olivine import OLIVINE, DistributionSchedule, OlivineWeights
from crosspoint.scene.methods.ppkt import PPKT
from crosspoint.scene.methods.regression import Regression
from crosspoint.scene.methods.scene_method import SceneMethod
from crosspoint.scene.methods.simipu import SimIPU
from crosspoint.scene.methods.slidr import SLidR
from crosspoint.scene.methods.voxel_method import VoxelMethod
from crosspoint.scene.models.birdseye_encoder import BirdsEyeEncoder
from crosspoint.scene.models.masked_images import MaskConfig
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.occupancy import OccupancyConfig, OccupancyHead
from crosspoint.scene.models.pixel_encoder import PixelEncoder, ResNetMaps
from crosspoint.scene.models.pointnet2 import PointNet2
from crosspoint.scene.models.voxelnet import VoxelNet
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelConfig, voxelize

__all__ = [
    "CMCR",
    "OLIVINE",
    "PPKT",
    "BirdsEyeEncoder",
    "Boxes",
    "CmcrWeights",
    "DistributionSchedule",
    "LidarBatch",
    "LidarDataset",
    "LidarSample",
    "MaskConfig",
    "MinkUNet",
    "OccupancyConfig",
    "OccupancyHead",
    "OlivineWeights",
    "PixelEncoder",
    "PointNet2",
    "Regression",
    "ResNetMaps",
    "SLidR",
    "SceneAugmentation",
    "SceneMethod",
    "SimIPU",
    "SparseTensor",
    "SuperpixelConfig",
    "VoxelConfig",
    "VoxelMethod",
    "VoxelNet",
    "check_scenes",
    "open_scenes",
    "pair_points",
    "stack_samples",
    "voxelize",
]
