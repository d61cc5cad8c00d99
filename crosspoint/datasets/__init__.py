"""Pairs to pre-train on, and labelled clouds to measure on."""
