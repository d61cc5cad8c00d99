"""Metrics of what a network answers."""
