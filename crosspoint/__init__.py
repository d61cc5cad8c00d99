"""CrossPoint: cross-modal self-supervised learning of 3D encoders."""

from crosspoint.checkpoints.load import load_encoder, save_encoder
from crosspoint.losses import info_nce, nt_xent
from crosspoint.methods.crosspoint import CrossPoint
from crosspoint.models.dgcnn import DGCNN
from crosspoint.models.pointnet import PointNet

__all__ = ["DGCNN", "CrossPoint", "PointNet", "info_nce", "load_encoder", "nt_xent", "save_encoder"]
