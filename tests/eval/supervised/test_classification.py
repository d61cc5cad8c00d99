from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import nn

from crosspoint import DGCNN, Inputs, load_pretrained
from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.procedural.shapes import FAMILIES, shapes_clouds
from crosspoint.eval import Result, extract_features
from crosspoint.eval.supervised.classification import Classifier, classification_head, fine_tune, linear_head
from crosspoint.eval.supervised.config import FinetuneConfig, Resources

CPU = Resources(accelerator="cpu")
LONGER = FinetuneConfig(epochs=10, batch_size=3, optimizer="adam")
SHORT = {"recipe": FinetuneConfig(epochs=3, batch_size=8), "validation": 0.25, "resources": CPU}


class UsersOwn(nn.Module):
    """An encoder from elsewhere: it knows no more than its signature."""

    def __init__(self, features: int = 24) -> None:
        super().__init__()
        self.layer = nn.Linear(3, features)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return self.layer(points).sin().amax(dim=1)


def tiny(seed: int = 0) -> DGCNN:
    torch.manual_seed(seed)
    return DGCNN(k=4, channels=[8, 16], embedding=32)


@pytest.fixture(scope="module")
def splits() -> tuple[Clouds, Clouds]:
    return tuple(shapes_clouds(split, 8, points=64, families=FAMILIES[:3]) for split in ("train", "test"))


@pytest.fixture(scope="module")
def finetuned(splits) -> Result:
    return fine_tune(tiny(), *splits, **SHORT | {"recipe": LONGER})


def test_a_network_learns_eight_clouds_by_heart(splits):
    train = splits[0]
    few = Clouds(train.points[::3], train.labels[::3], train.classes, "eight", "train")
    recipe = FinetuneConfig(epochs=80, batch_size=8, optimizer="adam", dropout=0.0, augmentation=None)
    result = fine_tune(tiny(), few, few, recipe=recipe, validation=0.0, resources=CPU)
    assert result.metrics["accuracy"] == result.metrics["class_accuracy"] == 100
    assert result.constants["train"] == 8 and result.constants["epoch"] == 80
    assert result.records[0]["test_accuracy"] < 100
    assert result.records[-1]["train_loss"] < result.records[0]["train_loss"] - 0.3


def test_the_epoch_is_the_best_on_validation_and_figures_are_of_it(finetuned, tmp_path):
    records, constants = finetuned.records, finetuned.constants
    validation, test = ([row[f"{split}_accuracy"] for row in records] for split in ("validation", "test"))
    assert len(set(validation)) > 1 and len(set(test)) > 1
    assert constants["epoch"] == 1 + int(np.argmax(validation))
    chosen = records[constants["epoch"] - 1]
    assert finetuned.metrics == {
        "accuracy": chosen["test_accuracy"],
        "class_accuracy": chosen["test_class_accuracy"],
        "validation_accuracy": max(validation),
        "accuracy_best_on_test": max(test),
    }
    assert (constants["train"], constants["validation"], constants["test"]) == (18, 6, 24)
    finetuned.save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == finetuned


def test_the_choice_does_not_see_the_test_split(finetuned, splits):
    train, test = splits
    labels = np.random.default_rng(0).permutation(test.labels)
    other = fine_tune(tiny(), train, replace(test, labels=labels), **SHORT | {"recipe": LONGER})
    assert other.constants["epoch"] == finetuned.constants["epoch"]
    for name in ("train_loss", "validation_accuracy"):
        assert [row[name] for row in other.records] == [row[name] for row in finetuned.records]
    assert [row["test_accuracy"] for row in other.records] != [row["test_accuracy"] for row in finetuned.records]


def test_the_same_seed_gives_the_same_result(splits):
    first = fine_tune(tiny(), *splits, **SHORT)
    torch.manual_seed(5)  # not what decides
    batch_1 = Resources(accelerator="cpu", evaluation_batch=1, workers=1)
    assert fine_tune(tiny(), *splits, **SHORT | {"resources": batch_1}) == first
    assert fine_tune(tiny(), *splits, **SHORT | {"seed": 1}).records != first.records


def test_predictions_do_not_depend_on_the_batch(splits, tmp_path):
    predictions = []
    for size in (1, 64):
        resources = Resources(accelerator="cpu", evaluation_batch=size)
        recipe, out = replace(LONGER, batch_size=6), tmp_path / str(size)
        fine_tune(tiny(), *splits, recipe=recipe, validation=0.0, resources=resources, out=out)
        with np.load(out / "predictions.npz") as file:
            predictions.append(file["predicted"])
    assert np.array_equal(*predictions) and len(set(predictions[0])) > 1


@pytest.mark.parametrize("mode", ["finetuned", "frozen"])
def test_what_is_kept_gives_the_figures_again(mode, splits, tmp_path):
    train, test = splits
    encoder = tiny()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    result = fine_tune(encoder, train, test, mode=mode, **SHORT, out=tmp_path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())
    head = linear_head(64, 3) if mode == "frozen" else classification_head(64, 3, 0.5)
    network = Classifier(tiny(1), head)
    network.load_state_dict(load_file(tmp_path / "network.safetensors"))
    logits = extract_features(network, test.points)
    with np.load(tmp_path / "predictions.npz") as file:
        assert np.array_equal(logits.argmax(axis=1), file["predicted"])
        assert np.array_equal(file["truth"], test.labels)
        assert result.metrics["accuracy"] == pytest.approx(100 * np.mean(file["predicted"] == file["truth"]))
    pretrained = load_pretrained(tmp_path / "encoder.safetensors")
    exported = pretrained.encoder
    assert pretrained.inputs == Inputs(points=64, k=4)
    assert np.array_equal(extract_features(exported, test.points), extract_features(network.encoder, test.points))
    assert not (tmp_path / "training.ckpt").exists()
    same = [torch.equal(tensor, before[name]) for name, tensor in network.encoder.state_dict().items()]
    assert (
        all(same)
        if mode == "frozen"
        else not any(torch.equal(weight, before[name]) for name, weight in network.encoder.named_parameters())
    )
    with pytest.raises(ValueError, match="found a trained network in"):
        fine_tune(encoder, train, test, out=tmp_path)


def test_a_linear_head_on_frozen_features_is_logistic_regression(splits):
    """Without decay and to the end, its training loss is that of the best linear map on standardized features."""
    train = splits[0]
    torch.manual_seed(0)
    encoder = UsersOwn(4)
    recipe = FinetuneConfig(epochs=200, batch_size=24, smoothing=0.0, weight_decay=0.0, learning_rate=0.5)
    result = fine_tune(encoder, train, train, mode="frozen", recipe=recipe, validation=0.0, resources=CPU)
    features = extract_features(encoder, train.points).astype(np.float64)
    machine = LogisticRegression(C=1e8, max_iter=5000, tol=1e-8).fit(features, train.labels)
    expected = log_loss(train.labels, machine.predict_proba(features))
    assert expected - 1e-3 < result.records[-1]["train_loss"] < expected + 0.02
    assert result.records[0]["train_loss"] > expected + 0.2
    assert result.constants["augmentation"] is None and result.constants["dropout"] == 0


def test_from_scratch_forgets_the_weights_and_fine_tuning_does_not(splits):
    short = SHORT | {"recipe": FinetuneConfig(epochs=1, batch_size=8)}
    scratch = [fine_tune(tiny(seed), *splits, mode="scratch", **short).records for seed in (0, 1)]
    finetuned = [fine_tune(tiny(seed), *splits, **short).records for seed in (0, 1)]
    assert scratch[0] == scratch[1] and finetuned[0] != finetuned[1]
    with pytest.raises(ValueError, match="found an encoder of type UsersOwn to train from scratch"):
        fine_tune(UsersOwn(), *splits, mode="scratch", **short)


def test_any_module_with_features_will_do(splits):
    train, test = splits
    train, test = (replace(part, points=part.points.astype(np.float64)) for part in (train, test))
    result = fine_tune(
        UsersOwn(), train, test, **SHORT | {"recipe": FinetuneConfig(epochs=1, batch_size=8), "fraction": 0.01}
    )
    assert result.constants["encoder"] == "UsersOwn"
    assert (result.constants["train"], result.constants["validation"]) == (3, 6)  # one of each class, and a quarter
    with pytest.raises(ValueError, match=r"found features of shape \(1, 64, 3\), expected \(1, C\)"):
        fine_tune(nn.Identity(), train, test, **SHORT)
    with pytest.raises(ValueError, match="found the mode 'linear', expected one of: finetuned, scratch, frozen"):
        fine_tune(UsersOwn(), train, test, mode="linear", **SHORT)


def test_the_head_is_that_of_dgcnn():
    shapes = [2048 * 512, 2 * 512, 512 * 256, 2 * 256, 256 * 40 + 40]
    assert sum(weight.numel() for weight in classification_head(2048, 40, 0.5).parameters()) == sum(shapes)
    assert sum(weight.numel() for weight in linear_head(2048, 40).parameters()) == 2048 * 40 + 40
