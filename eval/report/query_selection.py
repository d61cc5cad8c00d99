"""Clouds of a test split whose neighbors a report shows, and those that it maps."""

from __future__ import annotations

import numpy as np

QUERIES = 12
NEAREST = 5  # shapes that a query shows
MAPPED = 2500  # clouds in a map; every one brings a picture


def choose_queries(labels: np.ndarray, seed: int, count: int = QUERIES) -> np.ndarray:
    """Sorted indices of up to `count` items of labels (n,), of as many classes as there can be."""
    generator = np.random.default_rng([seed, 3])
    order = generator.permutation(len(labels))
    seen: dict[int, int] = {}
    turns = []  # how many of its class came before each
    for index in order:
        label = int(labels[index])
        turns.append(seen.get(label, 0))
        seen[label] = turns[-1] + 1
    return np.sort(order[np.argsort(turns, kind="stable")[:count]])


def choose_mapped(items: int, seed: int, most: int = MAPPED) -> np.ndarray:
    """Sorted indices of up to `most` of some items."""
    return np.sort(np.random.default_rng([seed, 4]).permutation(items)[:most])
