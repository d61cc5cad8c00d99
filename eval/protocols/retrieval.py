"""Retrieval by the cosine of frozen features: within one set of shapes, and from images to shapes and back.

mAP is the mean over queries of the average precision, as scikit-learn computes it. Recall@k is the share of queries
with a relevant item among their first k (Oh Song et al., CVPR 2016, https://arxiv.org/abs/1511.06452), precision@k the
mean share of relevant items among them.

Similarities are rounded to float32, so that copies of a shape tie however their products were summed. Ties count
against the query: a relevant item has the rank of the last item of the same similarity. So nothing depends on the
order of the items.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crosspoint.eval.arrays import as_array
from crosspoint.eval.classifiers.svm import check_features
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.benchmarks import clouds_label
from crosspoint.eval.protocols.protocol import Column, Measured, Protocol, on_dataset
from crosspoint.eval.results import Result

RANKS = (1, 5, 10)
CHUNK = 256  # queries at a time; memory is 17 bytes for each of them and each item


@dataclass(frozen=True)
class Retrieval(Protocol):
    """Retrieval by cosine within one split: each cloud seeks the others of its class.

    Args:
        split: name of the split in which clouds seek each other
    """

    name = "retrieval"
    unread = frozenset({"jobs", "allow_overlap"})

    split: str = "test"

    def feature_splits(self) -> tuple[str, ...]:
        """Of the split."""
        return (self.split,)

    def check(self, data: EvaluationData) -> None:
        """Refuse splits with fewer other clouds than the last rank."""
        check_ranks(len(data.clouds(self.split)) - 1, "other clouds")

    def run(self, run: EvaluationRun) -> Measured:
        """The figures of `retrieve_within`."""
        clouds = run.data.clouds(self.split)
        result = retrieve_within(run.features(self.split), clouds.labels)
        return on_dataset(result, f"{clouds.name} ({self.split})"), {}

    def columns(self, data: EvaluationData) -> list[Column]:
        """Mean average precision."""
        return [Column(f"retrieval mAP, {clouds_label(data.clouds(self.split), data.root)}", self.name, "mAP")]


def check_ranks(items: int, what: str) -> None:
    """Refuse fewer items than recall@k counts; raises ValueError."""
    if items < max(RANKS):
        raise ValueError(f"found {items} {what}, expected at least {max(RANKS)}, as recall@{max(RANKS)} counts them")


def has_classmates(labels: np.ndarray) -> bool:
    """Whether some item has another one of its class to find."""
    return len(np.unique(labels)) < len(labels)


def retrieve_within(
    features: np.ndarray, labels: np.ndarray, *, ranks: Sequence[int] = RANKS, chunk: int = CHUNK
) -> Result:
    """mAP, recall@k and precision@k in percent, where each item seeks the others of its class in the same set.

    Items that are alone in their class have nothing to find: they are sought in, but ask no query. Each class's mAP is
    in `records`.

    Args:
        features: (n, C) features.
        labels: (n,) labels.
        ranks: values of k, from 1 to n − 1.
        chunk: queries at a time; the result does not depend on it.

    Raises:
        ValueError: if shapes do not fit, a value is not finite, a rank is out of range, or no class has two members.
    """
    features, labels = as_array(features), as_array(labels)
    check_features(features, labels, "set")
    _check_numbers(ranks, chunk, len(labels) - 1)
    classes, codes, members = np.unique(labels, return_inverse=True, return_counts=True)
    asking = np.flatnonzero(members[codes] > 1)
    if not has_classmates(labels):
        raise ValueError(f"found {len(classes)} classes of one member each, expected one with two: nothing to retrieve")

    scores = _score(features[asking], features, {"class": (codes[asking], codes)}, ranks, chunk, own=asking)["class"]
    records = []
    for code in np.flatnonzero(members > 1):
        mean = 100.0 * float(scores.precision[codes[asking] == code].mean())
        records.append({"class": classes[code].item(), "queries": int(members[code]), "mAP": mean})
    constants = {
        "similarity": "cosine",
        "ranks": [*ranks],
        "items": len(labels),
        "queries": len(asking),
        "classes": len(classes),
        "features": features.shape[1],
    }
    return Result("retrieval/within", scores.metrics(""), constants, records)


def retrieve_across(
    images: np.ndarray,
    image_objects: np.ndarray,
    shapes: np.ndarray,
    shape_objects: np.ndarray,
    shape_labels: np.ndarray,
    *,
    ranks: Sequence[int] = RANKS,
    chunk: int = CHUNK,
) -> Result:
    """mAP, recall@k and precision@k in percent, where images seek shapes and shapes seek images.

    "object": relevant are the shape of which an image was made, and the images which were made of a shape. "class":
    relevant are all shapes, or images, of the same class. Shapes without images are sought in, but ask no query.

    Args:
        images: (v, C) features of images, in the space of the shapes' features.
        image_objects: (v,) numbers or names of the objects they show, all of them in `shape_objects`.
        shapes: (m, C) features of clouds.
        shape_objects: (m,) numbers or names of the objects, each once.
        shape_labels: (m,) labels of the objects.
        ranks: values of k, from 1 to the number of shapes and of images.
        chunk: queries at a time; the result does not depend on it.

    Raises:
        ValueError: if shapes do not fit, a value is not finite, a rank is out of range, an object is given twice, or
            an image shows an unknown one.
    """
    images, image_objects, shapes, shape_objects, shape_labels = (
        as_array(each) for each in (images, image_objects, shapes, shape_objects, shape_labels)
    )
    check_features(images, image_objects, "images")
    check_features(shapes, shape_objects, "shapes")
    check_features(shapes, shape_labels, "shapes")
    _check_numbers(ranks, chunk, min(len(images), len(shapes)))
    if images.shape[1] != shapes.shape[1]:
        raise ValueError(f"found {images.shape[1]} image features, expected {shapes.shape[1]} as the shapes have")
    owner = _places(image_objects, shape_objects)  # (v,) the shape that each image shows
    labels = np.unique(shape_labels, return_inverse=True)[1]
    shown = np.unique(owner)
    objects, classes = (owner, np.arange(len(shapes))), (labels[owner], labels)  # codes of images and of shapes
    there = {"object": objects, "class": classes}
    back = {level: (of_shape[shown], of_image) for level, (of_image, of_shape) in there.items()}
    metrics: dict[str, float] = {}
    for level, scores in _score(images, shapes, there, ranks, chunk).items():
        metrics |= scores.metrics(f"image_to_shape_{level}_")
    for level, scores in _score(shapes[shown], images, back, ranks, chunk).items():
        metrics |= scores.metrics(f"shape_to_image_{level}_")
    constants = {
        "similarity": "cosine",
        "ranks": [*ranks],
        "images": len(images),
        "shapes": len(shapes),
        "shapes_with_images": len(shown),
        "classes": int(labels.max()) + 1,
        "features": images.shape[1],
    }
    return Result("retrieval/across", metrics, constants)


def nearest_items(queries: np.ndarray, items: np.ndarray, count: int, *, chunk: int = CHUNK) -> np.ndarray:
    """Indices (q, count) of the items (m, C) most similar to each query (q, C), best first, of equal ones the first."""
    _check_numbers([count], chunk, len(items))
    found = [np.argsort(-block, axis=1, kind="stable")[:, :count] for _, block in similarities(queries, items, chunk)]
    return np.concatenate(found)


def similarities(queries: np.ndarray, items: np.ndarray, chunk: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and cosines (rows, m) float32 of queries (q, C) with items (m, C), `chunk` queries at a time."""
    items = _unit(items)
    for start in range(0, len(queries), chunk):
        rows = np.arange(start, min(start + chunk, len(queries)))
        yield rows, (_unit(queries[rows]) @ items.T).astype(np.float32)


def average_precision(relevant: np.ndarray, everything: np.ndarray) -> tuple[float, np.ndarray]:
    """Average precision of one query from similarities alone, and the ranks (r,) of the relevant items, from 1.

    Average precision is the mean over relevant items of the precision at each one's rank.

    Args:
        relevant: (r,) similarities of the relevant items.
        everything: (m,) similarities of all items, the relevant ones among them, sorted in ascending order.
    """
    relevant = np.sort(relevant)
    ranks = len(everything) - np.searchsorted(everything, relevant, "left")
    found = len(relevant) - np.searchsorted(relevant, relevant, "left")
    return float(np.mean(found / ranks)), ranks


@dataclass(frozen=True)
class _Scores:
    """Of each of q queries."""

    precision: np.ndarray  # (q,) average precisions
    found: dict[int, np.ndarray]  # for each k the (q,) numbers of relevant items of rank k or better

    def metrics(self, prefix: str) -> dict[str, float]:
        """Means in percent."""
        named = {"mAP": self.precision}
        named |= {f"recall@{k}": found > 0 for k, found in self.found.items()}
        named |= {f"precision@{k}": found / k for k, found in self.found.items()}
        return {prefix + name: 100.0 * float(values.mean()) for name, values in named.items()}


def _score(
    queries: np.ndarray,
    items: np.ndarray,
    codes: dict[str, tuple[np.ndarray, np.ndarray]],
    ranks: Sequence[int],
    chunk: int,
    own: np.ndarray | None = None,
) -> dict[str, _Scores]:
    """Scores of queries (q, C) among items (m, C) for each notion of what is relevant: items of the query's code.

    Args:
        queries: (q, C) features.
        items: (m, C) features.
        codes: for each notion (q,) integers of the queries and (m,) of the items; each query's is found among these.
        ranks: values of k.
        chunk: queries at a time.
        own: (q,) the items that are the queries themselves, which are not to be found.
    """
    counts = len(queries)
    scores = {level: _Scores(np.empty(counts), {k: np.empty(counts, np.int64) for k in ranks}) for level in codes}
    for rows, block in similarities(queries, items, chunk):
        if own is not None:
            block[np.arange(len(rows)), own[rows]] = -np.inf
        ordered = np.sort(block, axis=1)
        for level, (asked, given) in codes.items():
            relevant = asked[rows, None] == given
            if own is not None:
                relevant[np.arange(len(rows)), own[rows]] = False
            for row, cosines, wish, everything in zip(rows, block, relevant, ordered, strict=True):
                scores[level].precision[row], places = average_precision(cosines[wish], everything)
                for k in ranks:
                    scores[level].found[k][row] = np.count_nonzero(places <= k)
    return scores


def _unit(features: np.ndarray) -> np.ndarray:
    features = features.astype(np.float64)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1.0)


def _places(image_objects: np.ndarray, shape_objects: np.ndarray) -> np.ndarray:
    """The index in `shape_objects` of each of `image_objects`."""
    known, first, times = np.unique(shape_objects, return_index=True, return_counts=True)
    if times.max() > 1:
        twice = known[times > 1][:3].tolist()
        raise ValueError(f"found objects {twice} more than once among the shapes, expected one shape of each")
    unknown = np.setdiff1d(image_objects, known)
    if len(unknown):
        raise ValueError(f"found images of objects {unknown[:3].tolist()} without a shape, expected known objects")
    return first[np.searchsorted(known, image_objects)]


def _check_numbers(ranks: Sequence[int], chunk: int, most: int) -> None:
    if not ranks or not all(1 <= k <= most for k in ranks):
        raise ValueError(f"found ranks {[*ranks]}, expected numbers from 1 to {most}, the items to find: ask for fewer")
    if chunk < 1:
        raise ValueError(f"found chunk {chunk}, expected at least 1")
