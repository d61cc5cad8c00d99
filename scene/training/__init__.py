"""Pre-training on scenes."""
