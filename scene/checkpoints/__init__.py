"""Readers of weights of scene networks and image networks."""
