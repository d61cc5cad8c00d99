"""Metrics of 3D detection, each after its benchmark's own rules."""
