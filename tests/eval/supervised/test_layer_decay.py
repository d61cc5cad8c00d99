"""Layer-wise decay: which weights are how deep, written down by hand, and the rates that follow."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from crosspoint import DGCNN, PointEncoder, PointNet, PointTransformer
from crosspoint.eval.supervised.classification import Classifier
from crosspoint.eval.supervised.cloud_training import SupervisedTraining
from crosspoint.eval.supervised.config import FinetuneConfig, Resources
from crosspoint.eval.supervised.labeled_frames import LabeledFrames
from crosspoint.eval.supervised.layer_decay import decayed_groups
from crosspoint.eval.supervised.segmenter import SegmentationConfig, SegmentationTraining
from crosspoint.eval.supervised.semantic_segmentation import build_segmenter
from crosspoint.models.dgcnn_partseg import PartSegDGCNN
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.pointnet2 import PointNet2
from crosspoint.scene.models.voxelnet import VoxelNet
from tests.eval.supervised.yard import VOXELS, Yard, tiny

CPU = Resources(accelerator="cpu")

# Beginnings of the names of each layer's weights, from the input to the output.
MINKUNET = [
    ["stem"],
    ["down.0", "encoder.0.0"],
    ["encoder.0.1"],
    ["down.1", "encoder.1.0"],
    ["up.0", "decoder.0.0"],
    ["decoder.0.1"],
    ["up.1", "decoder.1.0"],
]
VOXELNET = [
    *[[f"stages.{stage}.{layer}"] for stage in range(4) for layer in range(2 if stage == 0 else 3)],
    ["out"],
]
TRANSFORMER = [["embed", "position", "class_token"], ["blocks.0"], ["blocks.1"], ["blocks.2", "norm"]]


class Own(PointEncoder):
    """An encoder that says nothing of its layers."""

    def __init__(self, shared: bool = False) -> None:
        super().__init__()
        self.feature_dim = 4
        self.last = nn.Linear(4, 4)
        self.shift = nn.Parameter(torch.zeros(3))
        self.first = nn.Linear(3, 4)
        self.shared = shared

    def weights_by_depth(self):
        return [[self.shift], [*self.first.parameters()]] if self.shared else super().weights_by_depth()


ENCODERS = {
    "MinkUNet": (lambda: tiny(encoder_blocks=(2, 1), decoder_blocks=(2, 1)), MINKUNET),
    "VoxelNet": (lambda: VoxelNet.small(grid=(16, 16, 40)), VOXELNET),
    "PointNet++": (PointNet2.small, [["stages.0"], ["stages.1"], ["stages.2"]]),
    "PointNet": (PointNet, [[f"layers.{layer}"] for layer in range(5)]),
    "DGCNN": (DGCNN, [*[[f"edges.{layer}"] for layer in range(4)], ["embed"]]),
    "part segmentation": (PartSegDGCNN, [["transform"], ["edge1"], ["edge2"], ["edge3"], ["embed"]]),
    "transformer": (lambda: PointTransformer(width=12, depth=3, heads=2, class_token=True), TRANSFORMER),
    "own": (Own, [["last", "shift"], ["first"]]),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_rates_are_those_of_the_layers_written_down_by_hand(name: str) -> None:
    make, layers = ENCODERS[name]
    encoder = make()
    rates = {}
    for group in decayed_groups(encoder, 0.4, 0.5):
        rates |= {id(weight): group["lr"] for weight in group["params"]}
    assert len(rates) == len(list(encoder.parameters()))
    for key, weight in encoder.named_parameters():
        (depth,) = [place for place, names in enumerate(layers) for start in names if f"{key}.".startswith(f"{start}.")]
        assert rates[id(weight)] == 0.4 * 0.5 ** (len(layers) - depth)


def test_the_default_minkunet_has_a_layer_for_each_of_its_blocks() -> None:
    assert len(MinkUNet().weights_by_depth()) == 1 + sum((2, 3, 4, 6)) + sum((2, 2, 2, 2))
    assert len(PointTransformer(width=12, heads=2).weights_by_depth()) == 1 + 12


def segmentation_groups(recipe):
    torch.manual_seed(0)
    network = build_segmenter(tiny(), 4, "finetuned", recipe.of("finetuned"))
    training = SegmentationTraining(network, LabeledFrames(Yard(1), VOXELS), recipe.of("finetuned"), CPU, 0)
    (optimizer,), (schedule,) = training.configure_optimizers()
    return network, optimizer, schedule


def test_no_decay_leaves_one_group_of_the_encoder_and_one_of_the_head() -> None:
    network, optimizer, _ = segmentation_groups(SegmentationConfig(layer_decay=1.0))
    encoder, head = optimizer.param_groups
    assert encoder["params"] == [*network.encoder.parameters()] and head["params"] == [*network.head.parameters()]
    assert (encoder["lr"], head["lr"]) == (0.02, 2.0)
    assert decayed_groups(nn.Linear(2, 2), 0.1, 1)[0]["lr"] == 0.1


def test_a_segmenter_steps_by_the_rates_of_its_layers() -> None:
    """The first step of SGD is the gradient times the rate; the head has its own, which no layer changes."""
    recipe = SegmentationConfig(epochs=3, layer_decay=0.5, learning_rate=0.08, head_learning_rate=2.0, weight_decay=0)
    network, optimizer, schedule = segmentation_groups(recipe)
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    for weight in network.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    expected = {"encoder.stem": 0.08 / 2**5, "encoder.down.0": 0.08 / 2**4, "encoder.encoder.0": 0.08 / 2**4}
    expected |= {"encoder.encoder.1": 0.08 / 2**3, "encoder.decoder.1": 0.08 / 2, "head": 2.0}
    for name, weight in network.named_parameters():
        for start, rate in expected.items():
            if name.startswith(start):
                assert torch.allclose(before[name] - weight, torch.tensor(rate), rtol=1e-4), name
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates == [0.08 / 2, 0.08 / 4, 0.08 / 8, 0.08 / 16, 0.08 / 32, 2.0]
    schedule.step()
    assert np.allclose([group["lr"] for group in optimizer.param_groups], 0.75 * np.array(rates))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_classifier_has_the_rates_of_its_layers_and_the_cosine_leaves_a_share_of_each(optimizer) -> None:
    network = Classifier(PointNet(embedding=8), nn.Linear(8, 3))
    recipe = FinetuneConfig(epochs=4, optimizer=optimizer, learning_rate=0.1, layer_decay=0.5)
    arrays = [torch.zeros(4, 5, 3), torch.zeros(4, dtype=torch.int64)]
    (made,), (schedule,) = SupervisedTraining(network, arrays, recipe, CPU, 0).configure_optimizers()
    assert made.param_groups[0]["params"] == [*network.head.parameters()]
    rates = [group["lr"] for group in made.param_groups]
    assert rates == [0.1, 0.05, 0.025, 0.0125, 0.00625, 0.003125]
    for epoch in range(1, 5):
        made.step()
        schedule.step()
        left = 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * epoch / 4))
        assert np.allclose([group["lr"] for group in made.param_groups], left * np.array(rates))
    whole = SupervisedTraining(network, arrays, replace(recipe, layer_decay=1.0), CPU, 0)
    ((plain,), _) = whole.configure_optimizers()
    assert len(plain.param_groups) == 1 and plain.param_groups[0]["params"] == [*network.parameters()]
    head = SupervisedTraining(network.head, arrays, recipe, CPU, 0)  # of a frozen encoder
    ((alone,), _) = head.configure_optimizers()
    assert [group["lr"] for group in alone.param_groups] == [0.1]


def test_encoders_without_layers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"found an encoder of type Linear with a layer_decay of 0\.9, expected"):
        decayed_groups(nn.Linear(2, 2), 0.1, 0.9)
    with pytest.raises(ValueError, match="found 3 weights in weights_by_depth of Own, expected each of its 5 once"):
        decayed_groups(Own(shared=True), 0.1, 0.9)
    with pytest.raises(ValueError, match=r"found layer_decay 2\.0, expected a number from 0\.01 to 1"):
        FinetuneConfig(layer_decay=2.0)
