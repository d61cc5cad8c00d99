import copy
import os
import socket
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from torch import nn

from crosspoint.datasets.clouds import Clouds
from crosspoint.eval.supervised.cloud_training import Evaluation, predict, smoothed_cross_entropy, train_supervised
from crosspoint.eval.supervised.config import FinetuneConfig, Resources, ScaleAndShift
from crosspoint.eval.supervised.splits import label_subset, split_clouds
from crosspoint.transforms import CloudAugmentation

CPU = Resources(accelerator="cpu")
PLAIN = FinetuneConfig(epochs=3, batch_size=8, augmentation=None)


def clouds(counts, split="train", points=4, name="toy"):
    labels = np.repeat(np.arange(len(counts)), counts)
    drawn = np.random.default_rng(len(labels)).normal(size=(len(labels), points, 3)).astype(np.float32)
    return Clouds(drawn, labels, [f"class {label}" for label in range(len(counts))], name, split)


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 3))


def evaluation(figures):
    """Figures that a list foretells, one row an epoch, and the network's own answers on two clouds."""
    test = clouds([1, 1, 0], "test")
    splits = {"test": ([test.points], test)}
    if "validation" in figures[0]:
        splits["validation"] = splits["test"]
    calls = iter([row[split] for row in figures for split in splits])

    def score(predicted, _):
        told = next(calls, None)
        if told is None:
            raise InterruptedError("no figure is told of this epoch")
        return {"score": told}

    return Evaluation(splits, lambda logits, points: logits, score, "score", 1)


def run(network, told, **changes):
    train = clouds([10, 9, 8])
    settings = {"recipe": PLAIN, "resources": CPU, "seed": 0, "progress": False, **changes}
    return train_supervised(network, [train.points, train.labels], told, **settings)


def test_smoothing_is_the_formula_of_the_papers():
    generator = torch.Generator().manual_seed(0)
    logits, target = torch.randn(40, 50, generator=generator), torch.arange(40)
    expected = torch.full((40, 50), 0.2 / 49)
    expected[torch.arange(40), target] = 0.8
    found = smoothed_cross_entropy(logits, target, 0.2)
    assert torch.allclose(found, -(expected * logits.log_softmax(dim=1)).sum(dim=1).mean())
    assert torch.allclose(smoothed_cross_entropy(logits, target, 0.0), nn.functional.cross_entropy(logits, target))


def test_the_rate_falls_along_the_cosine():
    told = evaluation([{"test": 0.0}] * 6)
    trained = run(small_network(), told, recipe=replace(PLAIN, epochs=6))
    rates = [row["learning_rate"] for row in trained.records]
    cosine = 0.5 * (1 + np.cos(np.pi * np.arange(6) / 6))
    assert rates == pytest.approx(1e-3 + (0.1 - 1e-3) * cosine)  # CrossPoint: from 0.1 to 0.001
    assert FinetuneConfig(optimizer="adam").rate == 1e-3


def test_the_first_best_epoch_on_validation_is_kept_with_its_weights():
    told = [{"test": t, "validation": v} for t, v in [(10, 1), (20, 5), (90, 5), (30, 4)]]
    network = small_network()
    trained = run(network, evaluation(told), recipe=replace(PLAIN, epochs=4))
    result = trained.result("toy", "score", {})
    assert trained.epoch == 2 and [row["validation_score"] for row in trained.records] == [1, 5, 5, 4]
    assert result.metrics == {"score": 20, "validation_score": 5, "score_best_on_test": 90}
    assert result.constants["epoch_best_on_test"] == 3 and result.constants["chosen_by"] == "validation_score"
    # The rates of four epochs in two: what the network answered after the second.
    again = predict(network, [clouds([1, 1, 0], "test").points], lambda x, _: x, batch_size=2, device="cpu")
    assert np.allclose(again, trained.predicted, atol=1e-6)
    assert not network.training
    last = run(small_network(), evaluation([{"test": t} for t in (9, 7, 8)]))
    assert last.epoch == 3 and last.constants["chosen_by"] == "last epoch"
    assert not np.allclose(last.predicted, trained.predicted)


def test_what_is_drawn_depends_on_the_seed_alone():
    network = nn.Sequential(small_network(), nn.Dropout(0.5))
    recipe = replace(PLAIN, augmentation=ScaleAndShift())
    weights = {}
    for name, changes in {
        "first": {},
        "again": {},
        "one worker": {"resources": replace(CPU, workers=1)},
        "two workers": {"resources": replace(CPU, workers=2)},
        "seed": {"seed": 1},
        "no augmentation": {"recipe": PLAIN},
    }.items():
        torch.manual_seed(len(weights))  # not what decides
        before = torch.random.get_rng_state()
        trained = copy.deepcopy(network)
        run(trained, evaluation([{"test": 0.0}] * 3), **{"recipe": recipe, **changes})
        assert torch.equal(before, torch.random.get_rng_state())
        weights[name] = trained[0][1].weight
    equal = [name for name, weight in weights.items() if torch.equal(weight, weights["first"])]
    assert equal == ["first", "again", "one worker", "two workers"]


def test_a_run_that_diverges_ends_in_one_line():
    with pytest.raises(ValueError, match=r"found a loss of nan in epoch [12], expected a finite one: lower") as error:
        run(small_network(), evaluation([{"test": 0.0}] * 3), recipe=replace(PLAIN, learning_rate=1e30))
    assert "\n" not in str(error.value)


def test_ctrl_c_is_ctrl_c_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    class Interrupted(nn.Flatten):
        def forward(self, points):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(nn.Sequential(Interrupted(), nn.Linear(12, 3)), evaluation([{"test": 0.0}] * 3))
    run(small_network(), evaluation([{"test": 0.0}] * 3))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("epochs_done", [1, 3])
def test_an_interrupted_training_goes_on_exactly(epochs_done, tmp_path):
    """Killed in the middle of an epoch, and after the last one, before what it was for was written."""
    told = [{"test": t, "validation": v} for t, v in [(10, 1), (20, 5), (90, 2)]]
    network = nn.Sequential(small_network(), nn.Dropout(0.5))
    settings = {"recipe": replace(PLAIN, augmentation=ScaleAndShift())}
    whole, stopped, resumed = (copy.deepcopy(network) for _ in range(3))
    expected = run(whole, evaluation(told), **settings)

    if epochs_done < len(told):
        with pytest.raises(InterruptedError):  # in the epoch after them
            run(stopped, evaluation(told[:epochs_done]), folder=tmp_path, **settings)
    else:
        run(stopped, evaluation(told), folder=tmp_path, **settings)
    found = run(resumed, evaluation(told[epochs_done:] or told[:1]), folder=tmp_path, **settings)
    assert found.records == expected.records and found.epoch == expected.epoch == 2
    assert np.array_equal(found.predicted, expected.predicted)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name

    for change in ({"seed": 1}, {"recipe": PLAIN}):
        with pytest.raises(ValueError, match="of another network, data, recipe or seed, expected the training that"):
            run(copy.deepcopy(network), evaluation(told), folder=tmp_path, **{**settings, **change})


def two_processes(rank, port, folder):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
        "GROUP_RANK": "0",
    }
    warnings.simplefilter("ignore")  # of Lightning, about gloo
    network, figures = small_network(), [{"test": float(rank), "validation": v + rank} for v in (1, 3, 2)]
    recipe, resources = replace(PLAIN, batch_size=4), replace(CPU, devices=2)
    trained = run(network, evaluation(figures), recipe=recipe, resources=resources)
    assert trained.constants["processes"] == 2
    torch.save([network.state_dict(), trained.records, torch.from_numpy(trained.predicted)], f"{folder}/{rank}.pt")
    os._exit(0)  # threads of gloo can abort an interpreter that ends (https://github.com/pytorch/pytorch/pull/179291)


@pytest.mark.slow  # two interpreters that import everything
def test_two_processes_equal_one_on_the_joined_batch(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.start_processes(two_processes, (port, str(tmp_path)), nprocs=2, start_method="spawn")
    one = small_network()
    trained = run(one, evaluation([{"test": 0.0, "validation": v} for v in (1, 3, 2)]))
    for rank in (0, 1):
        weights, records, predicted = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, expected in one.state_dict().items():
            assert torch.allclose(weights[name], expected, atol=1e-5), name
        assert np.allclose(predicted.numpy(), trained.predicted, atol=1e-5)
        for found, expected in zip(records, trained.records, strict=True):  # the first process's figures, on both
            assert found == pytest.approx(expected, rel=1e-4)


def test_scale_and_shift_stay_within_their_limits():
    points = torch.randn(500, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    moved = ScaleAndShift()(points, torch.Generator().manual_seed(0))
    assert torch.equal(moved, ScaleAndShift()(points, torch.Generator().manual_seed(0)))
    factor = (moved[:, 1] - moved[:, 0]) / (points[:, 1] - points[:, 0])
    assert torch.allclose(factor[:, None] * (points - points[:, :1]), moved - moved[:, :1])  # one map for a cloud
    shift = moved[:, 0] - factor * points[:, 0]
    for drawn, low, high in ((factor, 2 / 3, 3 / 2), (shift, -0.2, 0.2)):
        assert low <= drawn.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < drawn.max() <= high
        assert abs(float(drawn.mean()) - (low + high) / 2) < 4 * (high - low) / np.sqrt(12 * 1500)
    assert abs(np.corrcoef(factor.T)).sum() < 3 + 0.6  # axes of their own


def test_a_share_of_the_labels_is_stratified_and_nested():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(4), [200, 100, 30, 1]))
    counts = {f: np.bincount(labels[label_subset(labels, f, 0)], minlength=4).tolist() for f in (0.01, 0.05, 0.1, 1.0)}
    assert counts == {0.01: [2, 1, 1, 1], 0.05: [10, 5, 2, 1], 0.1: [20, 10, 3, 1], 1.0: [200, 100, 30, 1]}
    small, large = (set(label_subset(labels, f, 0).tolist()) for f in (0.01, 0.1))
    assert small < large and small != set(label_subset(labels, 0.01, 1).tolist())


def test_splits_share_no_cloud():
    train, test = clouds([40, 20, 10]), clouds([3, 3, 3], "test")
    splits = split_clouds(train, test, 0.1, 0.5, 0)
    assert np.bincount(splits.validation.labels).tolist() == [4, 2, 1]
    assert np.bincount(splits.train.labels).tolist() == [18, 9, 4]
    rows = [{cloud.tobytes() for cloud in part.points} for part in splits]
    assert len(rows[0] | rows[1] | rows[2]) == 7 + 31 + 9
    assert len(split_clouds(train, test, 0.0, 1.0, 0).train) == 70
    own = split_clouds(train, test, clouds([2, 2, 2], "val"), 1.0, 0)
    assert len(own.train) == 70 and own.constants()["validation_split"] == "val"
    full = split_clouds(train, test, 0.1, 1.0, 0)
    assert np.array_equal(full.validation.points, splits.validation.points)  # whatever the fraction


def test_splits_that_do_not_fit_are_named():
    train, test = clouds([4, 4, 1]), clouds([3, 3, 3], "test")
    cases = {
        "label fraction of 0.0": (train, test, 0.1, 0.0),
        "validation share of 1.0": (train, test, 1.0, 1.0),
        "found no class of toy with enough clouds": (train, test, 0.05, 1.0),
        r"found 3 classes in toy \(train\) and 2 in toy \(test\)": (train, clouds([3, 3], "test"), 0.25, 1.0),
        r"found test labels \[2\] that are absent": (clouds([4, 4, 0]), test, 0.25, 1.0),
        "found 1 training cloud": (clouds([1, 0, 0]), test, 0.0, 1.0),
    }
    for message, arguments in cases.items():
        with pytest.raises(ValueError, match=message) as error:
            split_clouds(*arguments, 0)
        assert "\n" not in str(error.value)
    with pytest.warns(UserWarning, match=r"found 4 points a cloud in toy \(train\) and 5 in toy \(test\)"):
        split_clouds(train, clouds([3, 3, 3], "test", points=5), 0.25, 1.0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "0 epochs"),
        ({"batch_size": 1}, "batches of 1"),
        ({"optimizer": "lamb"}, "optimizer 'lamb', expected one of: sgd, adam"),
        ({"learning_rate": -1.0}, "learning_rate -1.0"),
        ({"weight_decay": -1.0}, "weight_decay -1.0"),
        ({"dropout": 1.0}, "found dropout 1.0"),
        ({"smoothing": 0.7}, "found smoothing 0.7"),
    ],
)
def test_recipes_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        FinetuneConfig(**change)
    with pytest.raises(ValueError, match="found scale"):
        ScaleAndShift(scale=(1.0, 0.5))
    with pytest.raises(ValueError, match="found evaluation_batch 0"):
        Resources(evaluation_batch=0)


def test_a_recipe_is_recorded_as_json_holds_it():
    constants = FinetuneConfig().constants()
    assert constants["augmentation"] == {"scale": [2 / 3, 3 / 2], "shift": 0.2, "kind": "ScaleAndShift"}
    assert constants["learning_rate"] == 0.1 and PLAIN.constants()["augmentation"] is None
    other = FinetuneConfig(augmentation=CloudAugmentation()).constants()["augmentation"]
    assert other["kind"] == "CloudAugmentation" and other["scale"] == [0.5, 2.0]
