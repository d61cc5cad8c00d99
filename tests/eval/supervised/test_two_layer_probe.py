"""A probe of two layers on frozen features of LiDAR frames, beside the linear one."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from crosspoint import PointEncoder
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.labeled_frames import LabeledFrames
from crosspoint.eval.supervised.segmenter import SegmentationConfig, measure_segmenter
from crosspoint.eval.supervised.semantic_segmentation import build_segmenter, semantic_segmentation
from crosspoint.scene.segmentation_scores import segmentation_scores
from tests.eval.supervised.yard import VOXELS, Yard
from tests.scene.frames import with_field

CPU = Resources(accelerator="cpu", evaluation_batch=2)
SETTINGS = {"voxels": VOXELS, "resources": CPU}


class Height(PointEncoder):
    """How high a voxel lies: one feature, and no weight but one that must not change."""

    inputs = "voxels"

    def __init__(self):
        super().__init__()
        self.feature_dim, self.factor = 1, nn.Parameter(torch.ones(1))

    def forward(self, voxels):
        return self.factor * voxels.coordinates[:, 3:].float()


class Bands(Yard):
    """Frames in which a band of heights is one class, and what lies below and above it another."""

    def __getitem__(self, index):
        frame = super().__getitem__(index)
        inner = abs(frame.points[:, 2].numpy() - 1.25) < 0.75
        return with_field(frame, "label", inner.astype(np.int64))


def test_a_probe_of_two_layers_parts_what_no_line_does(tmp_path):
    recipe = SegmentationConfig(
        epochs=60, batch_size=1, learning_rate=0.02, head_learning_rate=0.2, augment=False, standardize=True, hidden=16
    ).of("mlp")
    assert (SegmentationConfig().of("mlp").epochs, SegmentationConfig().of("mlp").head_learning_rate) == (50, 0.05)
    figures = {}
    for mode in ("linear", "mlp"):
        settings = {**SETTINGS, "mode": mode, "recipe": recipe, "out": tmp_path / mode}
        result = semantic_segmentation(Height(), Bands(3), Bands(3), **settings)
        figures[mode] = result.metrics["miou"]
        kept = load_file(tmp_path / mode / "network.safetensors")
        assert kept["encoder.factor"].item() == 1 and result.constants["mode"] == mode
    assert figures["linear"] < 70 and figures["mlp"] > 90
    network = build_segmenter(Height(), 4, "mlp", recipe)
    shapes = [tuple(weight.shape) for weight in network.head.parameters()]
    assert shapes == [(16, 1), (16,), (16,), (4, 16), (4,)]  # a linear map, its BatchNorm, a linear layer
    network.load_state_dict(kept)
    confusion, _ = measure_segmenter(network, LabeledFrames(Bands(3), VOXELS), CPU, torch.device("cpu"))
    assert segmentation_scores(confusion)["miou"] == pytest.approx(figures["mlp"])
