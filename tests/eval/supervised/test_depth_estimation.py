"""Depth estimation as a whole: what can be learned is learned, what is frozen stays, interrupted training goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from crosspoint.eval.metrics.depth import depth_errors
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.depth_config import DepthConfig
from crosspoint.eval.supervised.depth_estimation import build_estimator, depth_estimation, shown_frames
from crosspoint.eval.supervised.depth_frames import DepthFrames
from crosspoint.eval.supervised.depth_training import DepthTraining, measure_depth, predicted_depth
from crosspoint.eval.supervised.trainer import seeded
from crosspoint.models.image_stages import ImageStages
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.data.sparse_depth import DEPTH

CPU = Resources(accelerator="cpu", evaluation_batch=2)
SHORT = DepthConfig(epochs=2, batch_size=2, turn=0.0)


class Tones(LidarDataset):
    """Images of two halves, each as bright as it is far."""

    def __init__(self, count: int, seed: int) -> None:
        self.name, self.count, self.seed = f"tones {seed}", count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> LidarSample:
        rng = np.random.default_rng([self.seed, index])
        left, right = rng.uniform(3, 40, 2)
        depth = torch.full((1, 64, 96), float(left))
        depth[:, :, 48:] = float(right)
        images = (depth * 6).round().to(torch.uint8)[:, None].repeat(1, 3, 1, 1)
        depth[:, 40:] = 0
        return LidarSample(f"{index}", torch.zeros(0, 3), {}, images, {DEPTH: depth})


TRAIN, TEST = Tones(6, 0), Tones(3, 1)


@pytest.fixture(scope="module")
def encoder() -> ImageStages:
    with seeded(0):
        return ImageStages("test_efficientnet").eval()


def test_a_probe_learns_what_its_features_tell(encoder: ImageStages) -> None:
    recipe = DepthConfig(epochs=40, batch_size=3, learning_rate=0.03)
    before = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    result = depth_estimation(encoder, Tones(24, 0), TEST, mode="linear", recipe=recipe, resources=CPU)
    constant = [
        depth_errors(np.full((64, 96), 13.0), frame.pixel_maps[DEPTH][0].numpy())
        for frame in (TEST[i] for i in range(3))
    ]
    floor = np.mean([errors["abs_rel"] for errors in constant if errors is not None])
    assert result.metrics["abs_rel"] < 0.6 * floor
    assert [row["epoch"] for row in result.records] == list(range(1, 41))
    assert result.records[0]["train_loss"] > 2 * result.records[-1]["train_loss"]
    assert all(torch.equal(weight, before[name]) for name, weight in encoder.state_dict().items())


def test_kept_features_change_nothing(encoder: ImageStages) -> None:
    results = [
        depth_estimation(
            encoder,
            TRAIN,
            TEST,
            mode="linear",
            recipe=SHORT,
            validation=TEST,
            resources=replace(CPU, kept_features=kept),
        )
        for kept in (8.0, 0.0)
    ]
    assert results[0].records == results[1].records and results[0].metrics == results[1].metrics
    assert results[0].constants["chosen_by"] == "validation_delta1"
    assert results[0].metrics["validation_delta1"] == pytest.approx(results[0].metrics["delta1"])


@pytest.mark.parametrize("mode", ["finetuned", "scratch"])
def test_all_weights_are_trained(mode: str, encoder: ImageStages, tmp_path: Path) -> None:
    result = depth_estimation(
        encoder, TRAIN, TEST, mode=mode, recipe=SHORT, seed=3, resources=CPU, out=tmp_path / "out"
    )
    again = depth_estimation(encoder, TRAIN, TEST, mode=mode, recipe=SHORT, seed=3, resources=CPU)
    assert (result.metrics, result.records) == (again.metrics, again.records)
    weights = load_file(tmp_path / "out" / "network.safetensors")
    with seeded(3):
        start = build_estimator(encoder, mode, SHORT.of(mode))
    own = start.state_dict()
    still = [name for name, weight in start.named_parameters() if torch.equal(weights[name], own[name])]
    assert still == []
    same = torch.equal(
        own["encoder.trunk.model.conv_stem.weight"], encoder.state_dict()["trunk.model.conv_stem.weight"]
    )
    assert same == (mode == "finetuned")
    kept = np.load(tmp_path / "out" / "predictions.npz")
    assert kept["errors"].shape == (3, 9) and kept["shown"].shape == (2, 1, 64, 96)
    assert kept["frames"].tolist() == shown_frames(3)
    np.testing.assert_allclose(kept["errors"].mean(axis=0)[0], result.metrics["abs_rel"], rtol=1e-5)


def test_what_was_interrupted_goes_on(encoder: ImageStages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, given = replace(SHORT, epochs=3), {"mode": "finetuned", "seed": 1, "resources": CPU}
    expected = depth_estimation(encoder, TRAIN, TEST, recipe=recipe, **given)
    steps, step = [], DepthTraining.training_step

    def interrupted(self: DepthTraining, batch: object, batch_idx: int) -> object:
        steps.append(batch_idx)
        if len(steps) == 5:  # in the second epoch
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    monkeypatch.setattr(DepthTraining, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        depth_estimation(encoder, TRAIN, TEST, recipe=recipe, out=tmp_path / "out", **given)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="of another network, data, recipe or seed, expected the training that was"):
        depth_estimation(encoder, TRAIN, TEST, recipe=replace(recipe, clip=1.0), out=tmp_path / "out", **given)
    found = depth_estimation(encoder, TRAIN, TEST, recipe=recipe, out=tmp_path / "out", **given)
    assert (found.metrics, found.records) == (expected.metrics, expected.records)
    with pytest.raises(ValueError, match="found a trained network in"):
        depth_estimation(encoder, TRAIN, TEST, recipe=recipe, out=tmp_path / "out", **given)


def test_the_rate_rises_and_falls_once(encoder: ImageStages) -> None:
    recipe = DepthConfig(epochs=10, batch_size=6, turn=0.0, mirror=False)
    result = depth_estimation(encoder, TRAIN, TEST, mode="finetuned", recipe=recipe, resources=CPU)
    rates = [row["learning_rate"] for row in result.records]
    assert rates[0] == pytest.approx(1e-4 / 25)
    peak = int(np.argmax(rates))
    assert 2 <= peak <= 4 and rates[peak] > 0.9e-4
    assert rates == [*sorted(rates[: peak + 1]), *sorted(rates[peak + 1 :], reverse=True)]


def test_a_mirrored_image_is_asked_too(encoder: ImageStages) -> None:
    with seeded(0):  # of a few seeds the small decoder's units are all dead, and mirroring changes nothing
        network = build_estimator(encoder, "finetuned", SHORT)
    frames = DepthFrames(TEST, SHORT)
    batch = frames.collate([frames[0, 0], frames[1, 0]])
    with torch.no_grad():
        plain = predicted_depth(network, batch, mirror=False)
        flipped = predicted_depth(network, batch._replace(images=batch.images.flip(3)), mirror=False)
        mean = predicted_depth(network, batch, mirror=True)
    torch.testing.assert_close(mean, (plain + flipped.flip(2)) / 2)
    assert not torch.allclose(mean, plain)


def test_figures_are_means_over_images_in_their_own_sizes(encoder: ImageStages) -> None:
    recipe = replace(SHORT, area="garg").of("linear")
    network = build_estimator(encoder, "linear", recipe)
    frames = DepthFrames(TEST, recipe)
    measured = measure_depth(network, frames, recipe, CPU, torch.device("cpu"), shown=[1])
    for index in range(3):
        truth = TEST[index].pixel_maps[DEPTH][0].numpy()
        assert measured.errors[index] == pytest.approx(
            depth_errors(np.full((64, 96), 10.0), truth, area="garg"), rel=1e-4
        )
    assert len(measured.shown) == 1 and measured.shown[0].shape == (1, 64, 96)
    np.testing.assert_allclose(measured.shown[0].astype(np.float32), 10.0, rtol=1e-3)
    assert shown_frames(1) == [0] and shown_frames(100) == [33, 66]


def test_what_cannot_be_trained(encoder: ImageStages) -> None:
    with pytest.raises(ValueError, match="found the mode 'half', expected one of"):
        depth_estimation(encoder, TRAIN, TEST, mode="half")
    with pytest.raises(ValueError, match="found an image network with 1 stage"):
        depth_estimation(ImageStages("test_vit"), TRAIN, TEST, mode="linear")
