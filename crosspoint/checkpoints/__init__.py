"""Checkpoints: the record in a file, and the readers of other codes' weights."""
