"""Classifiers on frozen features: support vector machines and their cross-validation."""
