"""The point encoders by name: how a configuration or a checkpoint becomes a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import nn

from crosspoint.models.dgcnn import DGCNN
from crosspoint.models.dgcnn_partseg import PartSegDGCNN
from crosspoint.models.pointnet import PointNet

PointNetwork = Literal["dgcnn", "pointnet", "dgcnn_partseg"]


@dataclass(frozen=True)
class EncoderConfig:
    """Which network encodes clouds; sizes that a network does not have are ignored.

    Args:
        network: name of the network
        k: neighbors per point, itself included (both DGCNNs)
        channels: of the EdgeConv layers (dgcnn)
        embedding: width before pooling (dgcnn: features are twice as many; pointnet)
    """

    network: PointNetwork = "dgcnn"
    k: int = 15
    channels: list[int] = field(default_factory=lambda: [64, 64, 128, 256])
    embedding: int = 1024


def build_encoder(config: EncoderConfig) -> nn.Module:
    """The network, with random weights from torch's global generator."""
    match config.network:
        case "dgcnn":
            return DGCNN(k=config.k, channels=config.channels, embedding=config.embedding)
        case "pointnet":
            return PointNet(embedding=config.embedding)
        case "dgcnn_partseg":
            return PartSegDGCNN(k=config.k)
    raise ValueError(f"found network {config.network!r}, expected dgcnn, pointnet or dgcnn_partseg")


def encoder_config(encoder: nn.Module) -> EncoderConfig:
    """The configuration that `build_encoder` needs for a network like this one.

    Raises:
        ValueError: if the network is none of the toolkit's own.
    """
    match encoder:
        case DGCNN():
            return EncoderConfig(network="dgcnn", **encoder.config)  # type: ignore[arg-type]
        case PointNet():
            return EncoderConfig(network="pointnet", embedding=encoder.config["embedding"])
        case PartSegDGCNN():
            return EncoderConfig(network="dgcnn_partseg", k=encoder.config["k"])
    raise ValueError(
        f"found an encoder of type {type(encoder).__name__}, expected DGCNN, PointNet or PartSegDGCNN: "
        "save the weights of other networks with torch.save"
    )


def is_builtin(encoder: nn.Module) -> bool:
    """Whether a network is one of the toolkit's own, which files can hold with their settings."""
    return isinstance(encoder, DGCNN | PointNet | PartSegDGCNN)
