"""Weak labels: maps of classes or regions for camera images, made by vision foundation models."""
