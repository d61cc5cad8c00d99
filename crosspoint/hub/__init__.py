"""Weights by name: folders with all that belongs to an encoder, the table of published ones, Hugging Face's hub."""

from crosspoint.hub.folder import push_to_hub, save_pretrained
from crosspoint.hub.table import PublishedModel, published_models

__all__ = ["PublishedModel", "published_models", "push_to_hub", "save_pretrained"]
