"""Features of own data under a trained encoder, in one file: meshes, clouds, rendered sets, LiDAR frames."""

from crosspoint.eval.embedding.run import embed
from crosspoint.eval.embedding.tables import Embeddings

__all__ = ["Embeddings", "embed"]
