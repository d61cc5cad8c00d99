"""Panoptic segmentation of LiDAR frames: a class and an object for every point."""
