"""CrossPoint: cross-modal self-supervised learning of 3D encoders. This page is the public API of objects.

`crosspoint.renderers`, `crosspoint.scene` and `crosspoint.eval` have theirs on a page like this one.
"""

from typing import TYPE_CHECKING

from crosspoint.checkpoints.pretrained import Pretrained, load_encoder, load_pretrained, save_encoder
from crosspoint.checkpoints.record import Inputs
from crosspoint.datasets.pairs import ObjectPair, PairDataset
from crosspoint.losses import info_nce, nt_xent
from crosspoint.methods.crosspoint import CrossPoint
from crosspoint.methods.method import Method
from crosspoint.methods.object_method import ObjectMethod
from crosspoint.models.dgcnn import DGCNN
from crosspoint.models.dgcnn_partseg import PartSegDGCNN
from crosspoint.models.image_backbone import ImageBackbone
from crosspoint.models.image_encoder import ImageEncoder
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.models.point_transformer import PointTransformer
from crosspoint.models.pointnet import PointNet
from crosspoint.ops.edgeconv import EdgeConv
from crosspoint.ops.knn import knn
from crosspoint.training.config import Compute, ProbeConfig, TrainingConfig
from crosspoint.transforms import CloudAugmentation, ImageAugmentation

if TYPE_CHECKING:
    from crosspoint.training.pretrain import pretrain

__all__ = [
    "DGCNN",
    "CloudAugmentation",
    "Compute",
    "CrossPoint",
    "EdgeConv",
    "ImageAugmentation",
    "ImageBackbone",
    "ImageEncoder",
    "Inputs",
    "Method",
    "ObjectMethod",
    "ObjectPair",
    "PairDataset",
    "PartSegDGCNN",
    "PointEncoder",
    "PointNet",
    "PointTransformer",
    "Pretrained",
    "ProbeConfig",
    "TrainingConfig",
    "info_nce",
    "knn",
    "load_encoder",
    "load_pretrained",
    "nt_xent",
    "pretrain",
    "save_encoder",
]


def __getattr__(name: str) -> object:
    """`pretrain`, when it is first asked for: it brings the training engine along, which takes seconds."""
    if name == "pretrain":
        from crosspoint.training.pretrain import pretrain

        return pretrain
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
