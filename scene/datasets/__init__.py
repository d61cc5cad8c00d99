"""Datasets of LiDAR sweeps with images; each file says which files go where."""
