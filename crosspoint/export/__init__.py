"""Encoders for other runtimes: ONNX, torch.export, or safetensors, held to the network that they came from."""

from crosspoint.export.formats import FORMATS
from crosspoint.export.run import Exported, export_encoder

__all__ = ["FORMATS", "Exported", "export_encoder"]
