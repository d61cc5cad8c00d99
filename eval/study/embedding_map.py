"""Map of the test clouds that a report draws of a network, and their nearest neighbors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.manifold import TSNE

from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.retrieval import nearest_items
from crosspoint.eval.report.query_selection import NEAREST, choose_mapped, choose_queries
from crosspoint.renderers.atomic import atomic_write

SCENERY = "scenery.npz"
PERPLEXITY = 30.0


def draw_scenery(run: EvaluationRun, path: Path) -> None:
    """Write `mapped` (m,), `positions` (m, 2), `queries` (q,) and `found` (q, 5) of the test clouds once."""
    if path.is_file():
        return
    features, labels, seed = run.features("test"), run.data.clouds("test").labels, run.data.seed
    mapped, queries = choose_mapped(len(features), seed), choose_queries(labels, seed)
    with atomic_write(path) as file:
        np.savez(
            file,
            mapped=mapped,
            positions=embed(features[mapped], seed),
            queries=queries,
            found=neighbors(features, queries, min(NEAREST, len(features) - 1)),
        )


def embed(features: np.ndarray, seed: int) -> np.ndarray:
    """Positions (n, 2) of features (n, C) by t-SNE on their directions.

    Van der Maaten and Hinton, 2008, https://jmlr.org/papers/v9/vandermaaten08a.html.
    """
    if len(features) < 4:  # nothing to arrange
        return np.stack([np.arange(len(features)), np.zeros(len(features))], axis=1).astype(np.float32)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    directions = features / np.where(length > 0, length, 1.0)
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(directions)


def neighbors(features: np.ndarray, queries: np.ndarray, count: int) -> np.ndarray:
    """Indices (q, count) of the features (n, C) most similar to those of queries (q,), which do not find themselves."""
    found = nearest_items(features[queries], features, count + 1)
    others = [row[row != query][:count] for row, query in zip(found, queries, strict=True)]
    return np.stack(others) if others else np.zeros((0, count), dtype=np.int64)
