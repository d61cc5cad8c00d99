"""Embeddings of the views of rendered sets: written once by a frozen teacher, read in place of images."""
