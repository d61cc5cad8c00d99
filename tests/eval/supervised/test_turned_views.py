"""Test-time augmentation: the views, and answers that average them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.labeled_frames import LabeledFrames, in_dataset_order
from crosspoint.eval.supervised.segmenter import SegmentationConfig, Segmenter, measure_segmenter
from crosspoint.eval.supervised.semantic_segmentation import semantic_segmentation
from crosspoint.eval.supervised.turned_views import turned
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.ops.kernel_maps import Grid
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelConfig, voxelize
from crosspoint.scene.segmentation_scores import segmentation_scores
from tests.eval.supervised.yard import VOXELS, Yard, tiny
from tests.scene.frames import labels_of, returns

CPU = Resources(accelerator="cpu", evaluation_batch=2)
DEVICE = torch.device("cpu")


def moved_by_hand(xyz, view, views):
    """The angle, and the mirror before it, as one would write them down."""
    x, y, z = xyz.astype(np.float64).T
    y = -y if view % 2 else y
    angle = 2 * np.pi * (view // 2) / np.ceil(views / 2)
    return np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle), z], axis=1)


@pytest.mark.parametrize("views", [1, 2, 3, 4, 8])
def test_views_are_turned_by_equal_steps_and_every_second_one_is_mirrored(views):
    sample = LidarSample("one", torch.from_numpy(np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)))
    seen = [turned(sample, view, views).points.numpy() for view in range(views)]
    assert seen[0] is not None and turned(sample, 0, views) is sample
    for view, points in enumerate(seen):
        assert np.allclose(points, moved_by_hand(sample.points.numpy(), view, views), atol=1e-6)
    distances = [np.abs(one - other).max() for i, one in enumerate(seen) for other in seen[:i]]
    assert views == 1 or min(distances) > 0.1  # no view twice


def test_four_views_are_the_mirror_images_along_both_axes():
    sample = LidarSample("one", torch.tensor([[1.0, 2.0, 3.0]]))
    seen = {tuple(np.round(turned(sample, view, 4).points[0].tolist(), 5)) for view in range(4)}
    assert seen == {(1, 2, 3), (1, -2, 3), (-1, 2, 3), (-1, -2, 3)}


class Radial(nn.Module):
    """Logits from height and intensity alone, which no turn about z and no mirror changes."""

    def forward(self, voxels):
        height = voxels.coordinates[:, 3].float()
        return torch.stack([voxels.features[:, 0], -height, height - 3 + voxels.features[:, 0]], dim=1)


def segmenter(encoder, head):
    return Segmenter(encoder, head).eval()


def test_a_network_that_no_turn_changes_answers_as_before():
    """Voxels so small that each point has its own, whose height and intensity are the same in every view."""
    frames = LabeledFrames(Yard(2), VoxelConfig(kind="cartesian", size=1e-3, height=0.5))
    network = segmenter(Radial(), nn.Linear(3, 4))
    confusion, answers = measure_segmenter(network, frames, CPU, DEVICE)
    for views in (2, 3, 6):
        again, same = measure_segmenter(network, frames, CPU, DEVICE, views=views)
        assert np.array_equal(confusion, again) and all(map(np.array_equal, answers, same))
    assert len(np.unique(np.concatenate(answers))) > 1


def undecided(frame):
    """A random network that gives the points of a frame several classes, about which views disagree."""
    network = segmenter(tiny(3), nn.Linear(12, 4))
    voxels = voxelize(torch.from_numpy(returns(frame)), VOXELS)
    with torch.no_grad():
        features = network.encoder(SparseTensor(voxels.features, Grid(nn.functional.pad(voxels.coordinates, (1, 0)))))
        network.head.weight *= 30
        network.head.bias.copy_(-network.head.weight @ features.mean(dim=0))
    return network


def test_answers_are_those_of_a_slow_loop_over_views():
    test, views = Yard(3, 1), 5
    network = undecided(test[0])
    confusion, answers = measure_segmenter(network, LabeledFrames(test, VOXELS), CPU, DEVICE, views=views)
    expected, changed = np.zeros((4, 4), dtype=int), 0
    for index in range(3):
        cloud, truth = returns(test[index]), labels_of(test[index])
        chances = np.zeros((len(cloud), 4))
        for view in range(views):
            points = np.column_stack([moved_by_hand(cloud[:, :3], view, views), cloud[:, 3]]).astype(np.float32)
            voxels = voxelize(torch.from_numpy(points), VOXELS)
            with torch.no_grad():
                grid = Grid(nn.functional.pad(voxels.coordinates, (1, 0)))
                logits = network.head(network.encoder(SparseTensor(voxels.features, grid))).double().numpy()
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            odds /= odds.sum(axis=1, keepdims=True)
            for point, voxel in enumerate(voxels.inverse.tolist()):
                chances[point] += odds[voxel] / views
            if view == 0:
                first = logits.argmax(axis=1)[voxels.inverse]
        given = chances.argmax(axis=1)
        assert (given == answers[index]).mean() > 0.999  # a rounded point may fall into the next voxel
        changed += int((given != first).sum())
        for row, column in zip(truth, answers[index], strict=True):
            expected[row, column] += row >= 0
    assert np.array_equal(confusion, expected) and changed > 20


def run(out=None, **changes):
    recipe = SegmentationConfig(epochs=5, batch_size=1, norm_momentum=0.5, learning_rate=0.2, head_learning_rate=0.2)
    given = {"voxels": VOXELS, "recipe": recipe, "resources": CPU, "out": out, **changes}
    return semantic_segmentation(tiny(), Yard(3), Yard(2, 1), **given)


def test_one_view_is_the_result_without_and_more_views_stand_beside_it(tmp_path):
    plain, one = run(tmp_path / "plain"), run(tta=1)
    assert plain == one and "miou_one_view" not in plain.metrics and plain.constants["tta"] == 1
    more = run(tmp_path / "more", tta=4)
    assert more.records[:5] == plain.records[:5]  # the training is the same
    assert more.metrics["miou_one_view"] == plain.metrics["miou"] and more.constants["tta"] == 4
    with (
        np.load(tmp_path / "plain" / "predictions.npz") as first,
        np.load(tmp_path / "more" / "predictions.npz") as file,
    ):
        assert np.array_equal(first["offsets"], file["offsets"])
        assert (first["predicted"] != file["predicted"]).any()
    confusion = np.array([row["points_given"] for row in more.records[5:]])
    assert segmentation_scores(confusion)["miou"] == more.metrics["miou"] == more.metrics["miou_last_epoch"]


@pytest.mark.parametrize("views", [0, 65])
def test_too_few_and_too_many_views_are_refused(views):
    with pytest.raises(ValueError, match=rf"found tta {views}, expected a whole number from 1 to 64"):
        run(tta=views)


def test_resources_change_no_answer_of_several_views():
    frames = LabeledFrames(Yard(3, 1), VOXELS)
    network = undecided(Yard(3, 1)[0])
    kept = [
        measure_segmenter(network, frames, replace(CPU, evaluation_batch=size, workers=workers), DEVICE, views=3)[0]
        for size, workers in ((1, 0), (3, 1))
    ]
    assert np.array_equal(*kept)


def test_answers_are_kept_in_the_order_of_the_dataset(tmp_path):
    """A dataset may take its frames in another order, as RELLIS-3D does; files of answers follow the dataset."""

    class Backwards(Yard):
        def thinned(self, step):
            return range(len(self))[::-1][::step]

    recipe = SegmentationConfig(epochs=1, batch_size=3)
    for name, test in (("forwards", Yard(3, 1)), ("backwards", Backwards(3, 1))):
        given = {"voxels": VOXELS, "mode": "scratch", "recipe": recipe, "resources": CPU}
        semantic_segmentation(tiny(), Yard(3), test, out=tmp_path / name, **given)
    with (
        np.load(tmp_path / "forwards" / "predictions.npz") as one,
        np.load(tmp_path / "backwards" / "predictions.npz") as other,
    ):
        assert np.array_equal(one["predicted"], other["predicted"]) and np.array_equal(one["offsets"], other["offsets"])
    assert in_dataset_order(["b", "c", "a"], [1, 2, 0]) == ["a", "b", "c"]
