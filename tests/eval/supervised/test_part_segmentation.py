from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from crosspoint import DGCNN, PointEncoder, PointNet, PointTransformer, load_pretrained
from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.procedural.shapes import FAMILIES, shapes_clouds
from crosspoint.datasets.shapenetpart import shapenetpart_clouds
from crosspoint.eval import Result
from crosspoint.eval.metrics.part_iou import part_scores
from crosspoint.eval.protocols.partseg import PartSegmentation
from crosspoint.eval.supervised.config import FinetuneConfig, Resources, ScaleAndShift
from crosspoint.eval.supervised.part_segmentation import PARTS, Voting, category_parts, part_answers, segment_parts
from crosspoint.models.dgcnn_partseg import PartSegDGCNN
from crosspoint.models.part_segmenter import PartSegmenter
from crosspoint.transforms import CloudAugmentation

DATA = Path(__file__).parents[4] / "shared" / "data" / "labeled_parts_hdf5"
SHORT = {
    "recipe": FinetuneConfig(epochs=5, batch_size=2, optimizer="adam", augmentation=None),
    "k": 6,
    "validation": 0.25,
    "resources": Resources(accelerator="cpu"),
}


def encoder(seed: int = 0) -> PartSegDGCNN:
    torch.manual_seed(seed)
    return PartSegDGCNN(k=4)


@pytest.fixture(scope="module")
def splits() -> tuple[Clouds, Clouds]:
    return tuple(shapes_clouds(split, 8, points=64, families=FAMILIES[:2]) for split in ("train", "test"))


@pytest.fixture(scope="module")
def kept(splits, tmp_path_factory) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("kept")
    return segment_parts(encoder(), *splits, **SHORT, out=out), out


def test_a_network_learns_four_clouds_by_heart(splits):
    train = splits[0]
    few = replace(train, points=train.points[::4], labels=train.labels[::4], parts=train.parts[::4])
    recipe = FinetuneConfig(epochs=60, batch_size=4, optimizer="adam", dropout=0.0, augmentation=None)
    result = segment_parts(encoder(), few, few, **SHORT | {"recipe": recipe, "validation": 0.0})
    assert result.metrics["instance_miou"] > 85 > 60 > result.records[0]["test_instance_miou"]
    assert result.metrics["point_accuracy"] > 95
    assert (result.constants["epoch"], result.constants["chosen_by"]) == (60, "last epoch")


@pytest.mark.parametrize(
    "made",
    [
        lambda: DGCNN(k=4, channels=[8, 8], embedding=16),
        lambda: PointNet(embedding=16),
        lambda: PointTransformer(groups=8, size=6, width=12, depth=3, heads=2),
    ],
    ids=["dgcnn", "pointnet", "point_transformer"],
)
def test_parts_are_learned_from_any_encoder_with_levels(made, splits):
    torch.manual_seed(0)
    network = made()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    recipe = FinetuneConfig(epochs=12, batch_size=4, optimizer="adam", augmentation=None)
    result = segment_parts(network, *splits, **SHORT | {"recipe": recipe, "validation": 0.0})
    first, last = result.records[0], result.records[-1]
    assert last["test_point_accuracy"] > first["test_point_accuracy"] + 5
    assert result.constants["k"] == (6 if isinstance(network, DGCNN) else None)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in before.items())


def test_the_protocol_leaves_out_encoders_without_levels():
    class Mean(PointEncoder):
        feature_dim = 3

    checkpoints = [SimpleNamespace(inputs="points", network=network) for network in (Mean, PointNet)]
    found = [PartSegmentation().unsupported(checkpoint) for checkpoint in checkpoints]
    assert found == ["an encoder without forward_levels", None]


def test_the_epoch_is_the_best_on_validation_and_figures_are_of_it(kept, splits, tmp_path):
    result, out = kept
    validation = [row["validation_instance_miou"] for row in result.records]
    assert len(set(validation)) > 1
    assert result.constants["epoch"] == 1 + int(np.argmax(validation))
    best_on_test = max(row["test_instance_miou"] for row in result.records)
    assert result.metrics["instance_miou_best_on_test"] == best_on_test
    test = splits[1]
    parts_of_category = category_parts(test)
    with np.load(out / "predictions.npz") as file:
        assert np.array_equal(file["truth"], test.parts)
        of_all, of_own = (
            part_scores(file[name], test.parts, test.labels, parts_of_category) for name in ("parts", "own_parts")
        )
    for name, value in of_all.items():
        assert result.metrics[name] == value and result.metrics[f"{name}_own_parts"] == of_own[name]
    result.save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == result


def test_what_is_kept_gives_the_predictions_again(kept, splits):
    result, out = kept
    test = splits[1]
    network = PartSegmenter(PartSegDGCNN(k=6), categories=2, parts=result.constants["parts"]).eval()
    network.load_state_dict(load_file(out / "network.safetensors"))
    with torch.inference_mode():
        logits = network(torch.from_numpy(test.points), torch.eye(2)[test.labels])
    with np.load(out / "predictions.npz") as file:
        assert np.array_equal(logits.argmax(dim=2), file["parts"])
    pretrained = load_pretrained(out / "encoder.safetensors")
    exported = pretrained.encoder
    assert exported.config == {"k": 6, "fields": None} and pretrained.inputs.points == test.points.shape[1]
    assert all(torch.equal(exported.state_dict()[name], w) for name, w in network.encoder.state_dict().items())
    with pytest.raises(ValueError, match="found a trained network in"):
        segment_parts(encoder(), *splits, **SHORT, out=out)


def test_the_choice_does_not_see_the_test_split(kept, splits):
    train, test = splits
    parts = np.where(test.labels[:, None] == 0, test.parts[:, ::-1], test.parts)
    other = segment_parts(encoder(), train, replace(test, parts=parts), **SHORT)
    assert other.constants["epoch"] == kept[0].constants["epoch"]
    for name in ("train_loss", "validation_instance_miou"):
        assert [row[name] for row in other.records] == [row[name] for row in kept[0].records]
    assert other.metrics["point_accuracy"] != kept[0].metrics["point_accuracy"]


def test_the_same_seed_gives_the_same_result_in_any_batch(kept, splits, tmp_path):
    resources = Resources(accelerator="cpu", evaluation_batch=1)
    again = segment_parts(encoder(), *splits, **SHORT | {"resources": resources}, out=tmp_path)
    assert again == kept[0]
    with np.load(tmp_path / "predictions.npz") as found, np.load(kept[1] / "predictions.npz") as expected:
        for name in ("parts", "own_parts"):
            assert np.array_equal(found[name], expected[name])


def test_from_scratch_forgets_the_weights_and_fine_tuning_does_not(splits):
    short = SHORT | {"recipe": replace(PARTS, epochs=1), "fraction": 0.01}
    weights = [encoder(seed) for seed in (0, 1)]
    scratch = [segment_parts(each, *splits, mode="scratch", **short) for each in weights]
    finetuned = [segment_parts(each, *splits, **short) for each in weights]
    assert scratch[0] == scratch[1] and finetuned[0].records != finetuned[1].records
    assert (scratch[0].constants["train"], scratch[0].constants["validation"]) == (2, 4)
    assert [each.k for each in weights] == [4, 4]  # the encoder that was given keeps its own


def test_own_parts_are_the_best_of_the_category():
    parts_of_category = np.array([[True, False, True, False, False], [False, True, False, True, True]])
    scores = torch.randn(3, 20, 5, generator=torch.Generator().manual_seed(0))
    labels = [1, 0, 1]
    answers = part_answers(scores, torch.zeros(3, 20, 3), torch.eye(2)[labels], parts_of_category=parts_of_category)
    for cloud, category in enumerate(labels):
        for point in range(20):
            ranking = scores[cloud, point].argsort(descending=True).tolist()
            assert answers[cloud, 0, point] == ranking[0]
            assert answers[cloud, 1, point] == next(part for part in ranking if parts_of_category[category, part])


def test_votes_are_averages_of_each_cloud_on_its_own(splits):
    torch.manual_seed(0)
    segmenter = PartSegmenter(PartSegDGCNN(k=6), categories=2, parts=5).eval()
    nn.init.normal_(segmenter.decoder[-1].weight)  # so that probabilities are not all alike
    points, category = torch.from_numpy(splits[1].points[5:10]), torch.eye(2)[splits[1].labels[5:10]]
    number = torch.arange(5)
    move = ScaleAndShift()
    with torch.inference_mode():
        plain = segmenter(points, category).softmax(dim=2)
        alike = Voting(segmenter, 3, ScaleAndShift((1.0, 1.0), 0.0), 0)(points, category, number)
        assert torch.allclose(alike, plain, atol=1e-6)
        three = Voting(segmenter, 3, move, 0)(points, category, number)
        assert not torch.allclose(three, plain, atol=1e-3)
        assert torch.allclose(three.sum(dim=2), torch.ones(5, 64), atol=1e-5)
        alone = Voting(segmenter, 3, move, 0)(points[2:3], category[2:3], number[2:3])
        assert torch.allclose(alone, three[2:3], atol=1e-5)
        other = Voting(segmenter, 3, move, 1)(points, category, number)
        assert not torch.allclose(other, three, atol=1e-3)


def test_voted_figures_stand_beside_the_others(kept, splits):
    alike = ScaleAndShift((1.0, 1.0), 0.0)
    voted = segment_parts(encoder(), *splits, **SHORT, votes=2, voting=alike)
    for name, value in kept[0].metrics.items():
        assert voted.metrics[name] == value
    for name in ("instance_miou", "category_miou", "point_accuracy", "instance_miou_own_parts"):
        assert voted.metrics[f"{name}_voted"] == pytest.approx(voted.metrics[name], abs=1)
    assert voted.constants["votes"] == 2 and voted.constants["voting"] == {"scale": [1.0, 1.0], "shift": 0.0}
    assert not [name for name in kept[0].metrics if "voted" in name]


def test_parts_of_categories_come_from_names_and_from_labels(splits):
    train = splits[0]
    parts_of_category = category_parts(train)
    for category, family in enumerate(FAMILIES[:2]):
        assert {train.part_names[part].split("/")[0] for part in np.flatnonzero(parts_of_category[category])} == {
            family
        }
        assert set(np.unique(train.parts[train.labels == category])) <= set(np.flatnonzero(parts_of_category[category]))
    assert not parts_of_category[:, [name.split("/")[0] not in FAMILIES[:2] for name in train.part_names]].any()
    shared = Clouds(
        np.zeros((2, 3, 3), np.float32), np.array([0, 1]), ["0", "1"], "toy", "train",
        np.array([[0, 1, 1], [1, 1, 1]]), ["0/0", "-/1", "1/2"],
    )  # fmt: skip
    assert category_parts(shared).tolist() == [[True, True, False], [False, True, True]]
    assert category_parts(replace(shared, part_names=None)).tolist() == [[True, True], [False, True]]


def test_what_does_not_fit_is_named(splits):
    train, test = splits
    cases = {
        "found an encoder of type Linear, expected one with forward_levels": ({"encoder": nn.Linear(3, 4)}),
        "found the mode 'frozen', expected one of: finetuned, scratch": {"mode": "frozen"},
        "found 0 votes": {"votes": 0},
        "found clouds of 64 points, expected at least k = 65": {"k": 65},
        "found no parts in shapes": {"test": replace(test, parts=None)},
        r"found parts of shape \(16, 63\)": {"test": replace(test, parts=test.parts[:, 1:])},
        "found other part names in shapes": {"test": replace(test, part_names=["a"])},
        "augmentation that drops points": {"recipe": replace(PARTS, augmentation=CloudAugmentation())},
    }
    for message, change in cases.items():
        with pytest.raises(ValueError, match=message) as error:
            segment_parts(**{"encoder": encoder(), "train": train, "test": test, **SHORT, **change})
        assert "\n" not in str(error.value)


def test_real_archive_with_its_own_categories_and_parts():
    if not DATA.is_dir():
        pytest.skip("no labeled parts beside the repository")
    train, validation, test = (shapenetpart_clouds(DATA, split, points=64) for split in ("train", "val", "test"))
    recipe, fraction = replace(PARTS, epochs=1), 0.01
    result = segment_parts(
        encoder(), train, test, **SHORT | {"recipe": recipe, "validation": validation, "fraction": fraction}
    )
    constants = result.constants
    assert (constants["classes"], constants["parts"]) == (19, 94)
    assert (constants["train"], constants["validation"], constants["test"]) == (19, 38, 95)
    assert constants["validation_split"] == "val"
    parts_of_category = category_parts(train)
    assert parts_of_category.sum() == 94 and parts_of_category.any(axis=1).all()  # each part has one category
    assert 0 < result.metrics["instance_miou"] < 100
