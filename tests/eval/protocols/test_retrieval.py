import tracemalloc
import warnings

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity

from crosspoint.eval.protocols.retrieval import average_precision, nearest_items, retrieve_across, retrieve_within
from crosspoint.eval.results import Result


def slow_metrics(scores, relevant, ranks):
    """One query at a time, one item at a time; ties count against the query."""
    precision, recall, share = [], {k: [] for k in ranks}, {k: [] for k in ranks}
    for score, wish in zip(scores, relevant, strict=True):
        places = [int((score >= score[item]).sum()) for item in np.flatnonzero(wish)]
        precision.append(np.mean([sum(other <= place for other in places) / place for place in places]))
        for k in ranks:
            recall[k].append(min(places) <= k)
            share[k].append(sum(place <= k for place in places) / k)
        assert precision[-1] == pytest.approx(average_precision_score(wish, score))
    metrics = {"mAP": np.mean(precision)}
    metrics |= {f"recall@{k}": np.mean(recall[k]) for k in ranks}
    metrics |= {f"precision@{k}": np.mean(share[k]) for k in ranks}
    return {name: 100 * float(value) for name, value in metrics.items()}


def cosines(queries, items):
    return cosine_similarity(queries.astype(np.float64), items.astype(np.float64)).astype(np.float32)


def blobs(seed, count=120, classes=6, dimensions=8, copies=True):
    """Features in classes; some shapes twice, some at right angles to one another."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=count)
    features = generator.normal(size=(classes, dimensions))[labels] + generator.normal(size=(count, dimensions))
    if copies:
        features[::10] = features[5::10] * generator.uniform(0.1, 9, size=(len(features[::10]), 1))
        features[3::20] = np.eye(dimensions)[generator.integers(dimensions, size=len(features[3::20]))]
    return features.astype(np.float32), labels


@pytest.mark.parametrize("seed", range(4))
def test_retrieval_within_equals_a_slow_loop_and_scikit_learn(seed):
    features, labels = blobs(seed)
    labels[7] = 99  # alone in its class
    keep = [[item for item in range(len(labels)) if item != query] for query in range(len(labels)) if query != 7]
    queries = [query for query in range(len(labels)) if query != 7]
    scores = cosines(features, features)
    expected = slow_metrics(
        [scores[query][others] for query, others in zip(queries, keep, strict=True)],
        [(labels[others] == labels[query]) for query, others in zip(queries, keep, strict=True)],
        [1, 5, 20],
    )
    result = retrieve_within(features, labels, ranks=[1, 5, 20])
    assert result.metrics == pytest.approx(expected)
    assert result.constants["queries"] == 119 and result.constants["items"] == 120
    assert sum(row["queries"] for row in result.records) == 119
    assert np.average([row["mAP"] for row in result.records], weights=[row["queries"] for row in result.records]) == (
        pytest.approx(expected["mAP"])
    )


@pytest.mark.parametrize("seed", range(3))
def test_retrieval_across_equals_a_slow_loop_and_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    shapes, labels = blobs(seed, count=40)
    names = generator.permutation(1000)[:40]
    shown = np.repeat(np.arange(34), generator.integers(1, 4, size=34))  # the last six have no image
    generator.shuffle(shown)
    images = shapes[shown] + generator.normal(size=(len(shown), 8)).astype(np.float32)
    result = retrieve_across(images, names[shown], shapes, names, labels, ranks=[1, 10])
    scores = cosines(images, shapes)
    relevant = {"object": shown[:, None] == np.arange(40), "class": labels[shown][:, None] == labels}
    for level, mask in relevant.items():
        there, back = slow_metrics(scores, mask, [1, 10]), slow_metrics(scores.T[:34], mask.T[:34], [1, 10])
        for direction, expected in (("image_to_shape", there), ("shape_to_image", back)):
            for name, value in expected.items():
                assert result.metrics[f"{direction}_{level}_{name}"] == pytest.approx(value), (direction, level, name)
    assert len(result.metrics) == 20
    assert result.constants["shapes_with_images"] == 34 and result.constants["images"] == len(shown)


def test_a_ranking_by_hand():
    """Angles 0 | 10 20 30 40: the relevant ones are first and third."""
    angles = np.deg2rad([0, 10, 20, 30, 40])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert average_precision(np.array([0.9, 0.7]), np.array([0.6, 0.7, 0.8, 0.9]))[0] == pytest.approx((1 + 2 / 3) / 2)
    result = retrieve_across(features[:1], [8], features[1:], [7, 6, 8, 5], [0, 1, 0, 1], ranks=[1])
    assert result.metrics["image_to_shape_object_mAP"] == pytest.approx(100 / 3)
    assert result.metrics["image_to_shape_class_mAP"] == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert result.metrics["image_to_shape_class_recall@1"] == 100
    assert result.metrics["shape_to_image_object_mAP"] == 100
    np.testing.assert_array_equal(nearest_items(features, features, 3)[0], [0, 1, 2])


def test_an_item_does_not_find_itself():
    """Copies under one label find each other; with a copy under another label nothing is found first."""
    pairs = np.eye(5).repeat(2, axis=0)
    assert retrieve_within(pairs, np.arange(5).repeat(2), ranks=[1]).metrics["recall@1"] == 100
    crossed = retrieve_within(pairs, np.tile([0, 1], 5), ranks=[1])
    assert crossed.metrics["recall@1"] == 0 and crossed.metrics["mAP"] < 50


def test_a_collapsed_encoder_finds_nothing_and_chance_is_the_share_of_relevant_items():
    labels = np.repeat(np.arange(4), 25)
    flat = retrieve_within(np.ones((100, 7)), labels, ranks=[1, 10])
    assert flat.metrics["mAP"] == pytest.approx(100 * 24 / 99)
    assert flat.metrics["recall@1"] == flat.metrics["precision@10"] == 0
    assert retrieve_within(np.zeros((100, 7)), labels).metrics["mAP"] == pytest.approx(100 * 24 / 99)
    noise = retrieve_within(np.random.default_rng(0).normal(size=(800, 16)), np.arange(800) % 4)
    assert abs(noise.metrics["precision@10"] - 25) < 2 and abs(noise.metrics["mAP"] - 25) < 2


def test_order_length_and_chunks_do_not_matter(tmp_path):
    features, labels = blobs(5)
    result = retrieve_within(features, labels)
    for chunk in (1, 7, 500):
        assert retrieve_within(features, labels, chunk=chunk) == result
    order = np.random.default_rng(0).permutation(len(labels))
    stretched = features * 2.0 ** np.random.default_rng(1).integers(-4, 5, size=(len(labels), 1))
    for other in (retrieve_within(features[order], labels[order]), retrieve_within(stretched, labels)):
        assert other.metrics == pytest.approx(result.metrics) and other.constants == result.constants
    words = np.array([f"class {label}" for label in labels])
    named = retrieve_within(features, words)
    assert named.metrics == result.metrics and named.records[0]["class"] == "class 0"
    result.save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == result


def test_nearest_items_equal_a_stable_sort_in_any_chunks():
    features, _ = blobs(2)
    expected = np.argsort(-cosines(features[:30], features), axis=1, kind="stable")[:, :5]
    for chunk in (1, 8, 500):
        np.testing.assert_array_equal(nearest_items(features[:30], features, 5, chunk=chunk), expected)


def test_memory_grows_with_the_chunk_and_not_with_all_pairs():
    features, labels = blobs(0, count=4000, dimensions=4, copies=False)
    tracemalloc.start()
    retrieve_within(features, labels, chunk=50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4000 * 4000  # bytes: one for each pair would be as many, float32 similarities four times


def test_bad_input_is_one_line():
    features, labels = blobs(0, count=12)
    broken = features.copy()
    broken[3, 3] = np.nan
    objects = np.arange(12)
    within = {
        "set: .* in 1 feature rows": (broken, labels),
        "set: found labels of shape": (features, labels[1:]),
        "found 12 classes of one member each": (features, objects),
    }
    across = {
        "images: .* in 1 feature rows": (broken, objects, features, objects, labels),
        "found 7 image features, expected 8": (features[:, 1:], objects, features, objects, labels),
        r"objects \[3\] more than once": (features, objects, features, np.where(objects == 4, 3, objects), labels),
        r"images of objects \[99\]": (features, np.where(objects == 4, 99, objects), features, objects, labels),
        "shapes: found labels of shape": (features, objects, features, objects, labels[1:]),
    }
    cases = [(retrieve_within, message, arrays, {}) for message, arrays in within.items()]
    cases += [(retrieve_across, message, arrays, {}) for message, arrays in across.items()]
    cases += [
        (retrieve_within, message, (features, labels), options)
        for message, options in {
            r"ranks \[12\], expected numbers from 1 to 11": {"ranks": [12]},
            r"ranks \[0\]": {"ranks": [0]},
            r"ranks \[\]": {"ranks": []},
            "chunk 0": {"chunk": 0},
        }.items()
    ]
    for protocol, message, arrays, options in cases:
        with warnings.catch_warnings(), pytest.raises(ValueError, match=message) as error:
            protocol(*arrays, **options)
        assert "\n" not in str(error.value)
