"""Pairs to pre-train on, and labeled clouds to measure on."""
