"""Procedural shapes: labeled meshes that need no download."""
