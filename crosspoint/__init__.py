"""CrossPoint: cross-modal self-supervised learning of 3D encoders. This page is the public API of objects.

`crosspoint.renderers`, `crosspoint.scene` and `crosspoint.eval` have theirs on a page like this one.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from crosspoint.training.pretrain import pretrain
    from crosspoint.transforms import CloudAugmentation, ImageAugmentation

# Where each name is defined. They are imported when they are first asked for: torch takes seconds, in which a command
# could neither answer --help nor be interrupted.
_MODULES = {
    "DGCNN": "models.dgcnn",
    "CloudAugmentation": "transforms",
    "Compute": "training.config",
    "CrossPoint": "methods.crosspoint",
    "EdgeConv": "ops.edgeconv",
    "ImageAugmentation": "transforms",
    "ImageBackbone": "models.image_backbone",
    "ImageEncoder": "models.image_encoder",
    "Inputs": "checkpoints.record",
    "Method": "methods.method",
    "ObjectMethod": "methods.object_method",
    "ObjectPair": "datasets.pairs",
    "PairDataset": "datasets.pairs",
    "PartSegDGCNN": "models.dgcnn_partseg",
    "PointEncoder": "models.point_encoder",
    "PointNet": "models.pointnet",
    "PointTransformer": "models.point_transformer",
    "Pretrained": "checkpoints.pretrained",
    "ProbeConfig": "training.config",
    "TrainingConfig": "training.config",
    "info_nce": "losses",
    "knn": "ops.knn",
    "load_encoder": "checkpoints.pretrained",
    "load_pretrained": "checkpoints.pretrained",
    "nt_xent": "losses",
    "pretrain": "training.pretrain",
    "save_encoder": "checkpoints.pretrained",
}

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
    if name in _MODULES:
        return getattr(import_module(f"crosspoint.{_MODULES[name]}"), name)
    if not name.startswith("_") and find_spec(f"crosspoint.{name}") is not None:
        return import_module(f"crosspoint.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
