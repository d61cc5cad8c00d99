"""CrossPoint: cross-modal self-supervised learning of 3D encoders."""

from crosspoint.checkpoints import load_encoder, save_encoder
from crosspoint.crosspoint import CrossPoint
from crosspoint.dgcnn import DGCNN
from crosspoint.losses import info_nce, nt_xent
from crosspoint.pointnet import PointNet

__all__ = ["DGCNN", "CrossPoint", "PointNet", "info_nce", "load_encoder", "nt_xent", "save_encoder"]
