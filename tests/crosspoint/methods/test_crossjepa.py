from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Generator

from crosspoint import DGCNN, Compute, CrossPoint, TrainingConfig, load_pretrained, pretrain
from crosspoint.datasets.embedded.pairs import EmbeddedPair, EmbeddedPairs, stack_embedded
from crosspoint.methods.crossjepa import CrossJEPA
from crosspoint.models.embedded_views import EmbeddedViews
from crosspoint.transforms import CloudAugmentation
from tests.crosspoint.toys import ToyPairs, toy_method

STILL = CloudAugmentation(scale=(1.0, 1.0), rotation="none", translation=0.0, jitter=0.0, dropout=0.0)


class ToyEmbeddings:
    """Twelve numbers a view: of its object's class, of the view, and one that never changes."""

    def __init__(self, labels: np.ndarray) -> None:
        generator = torch.Generator().manual_seed(0)
        self.rows = torch.randn(len(labels), 3, 12, generator=generator) + torch.from_numpy(labels)[:, None, None]
        self.rows[..., 3] = 0.25
        self.folder = Path("toy")

        class teacher:
            feature_dim = 12

        self.teacher = teacher

    def moments(self) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self.rows.flatten(0, 1)
        return rows.mean(dim=0), rows.std(dim=0, correction=0)


class ToyEmbedded(EmbeddedPairs):
    """Toy clouds with toy embeddings, without a folder."""

    def __init__(self, per_class: int = 6) -> None:
        self.toys = ToyPairs(per_class)
        self.classes, self.labels = self.toys.classes, self.toys.labels
        self.stored: Any = ToyEmbeddings(self.labels)
        self.cameras = torch.randn(len(self.labels), 3, 16, generator=torch.Generator().manual_seed(1))

    def __getitem__(self, item: tuple[int, int]) -> EmbeddedPair:  # type: ignore[override] # no images
        index, seed = item
        views = np.random.default_rng(seed).permutation(3)[:2].tolist()
        colors = torch.full((2, 64), 1 / 64)
        points = torch.from_numpy(self.toys.points[index])
        return EmbeddedPair(
            points, self.stored.rows[index, views], self.cameras[index, views], colors, torch.tensor(self.labels[index])
        )

    def where(self, index: int) -> str:
        return f"toy {index}"

    def read_points(self, index: int) -> np.ndarray:
        return self.toys.read_points(index)


def method(**settings: Any) -> CrossJEPA:
    torch.manual_seed(0)
    encoder = DGCNN(k=5, channels=[8, 8], embedding=16)
    made = CrossJEPA(encoder, **{"embedding": 12, "hidden": 16, "clouds": STILL, **settings})
    made.training_samples(ToyEmbedded())
    return made


def batch(size: int = 4) -> EmbeddedPair:
    pairs = ToyEmbedded()
    return stack_embedded([pairs[index, index] for index in range(size)])


@pytest.mark.parametrize("distance", ["cosine", "smooth_l1"])
def test_the_loss_is_the_mean_distance_over_all_views(distance: Any) -> None:
    made, given = method(distance=distance), batch()
    loss = made.training_step(given, Generator().manual_seed(0))["loss"]
    mean, deviation = ToyEmbedded().stored.moments()
    features, parts = made.encoder(made.clouds(given.points, Generator().manual_seed(0))), []
    for row in range(4):
        for view in range(2):
            known = torch.cat([given.cameras[row, view], given.colors[row, view]])[None, None]
            guess = made.predictor(features[row : row + 1], known)[0, 0]
            target = (given.embeddings[row, view] - mean) / deviation
            target[3] = 0.0  # the number that never changes
            cosine = 1 - F.cosine_similarity(guess, target, dim=0)
            size = (guess - target).abs()
            parts.append(cosine if distance == "cosine" else torch.where(size < 1, size**2 / 2, size - 0.5).mean())
    assert torch.allclose(loss, torch.stack(parts).mean(), atol=1e-5)


def test_it_learns_what_a_linear_reader_of_classes_needs() -> None:
    made = method(hidden=64)
    optimizer = torch.optim.AdamW(made.parameters(), lr=3e-3)
    losses = []
    for step in range(60):
        loss = made.training_step(batch(24), Generator().manual_seed(step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_cameras_turn_with_their_clouds() -> None:
    made, given = method(rotation="any"), batch()
    points, cameras = made.augmented(given, Generator().manual_seed(3))
    before = given.points - given.points.mean(dim=1, keepdim=True)
    before = before / before.norm(dim=2).amax(dim=1)[:, None, None]
    matrices = given.cameras[..., :9].unflatten(-1, (3, 3)), cameras[..., :9].unflatten(-1, (3, 3))
    assert not torch.allclose(points, before, atol=1e-2)
    seen = [p[:, None] @ m.mT for p, m in zip((before, points), matrices, strict=True)]
    assert torch.allclose(*seen, atol=1e-5)
    assert torch.equal(cameras[..., 9:], given.cameras[..., 9:])


def test_facts_that_are_left_out_change_nothing() -> None:
    blind = method(camera=False, colors=False)
    given = batch()
    other = given._replace(cameras=torch.zeros_like(given.cameras), colors=torch.zeros_like(given.colors))
    losses = [blind.training_step(pairs, Generator().manual_seed(0))["loss"] for pairs in (given, other)]
    assert torch.equal(*losses)


def test_a_run_trains_resumes_exactly_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(out: Path, *, resume: bool = False) -> dict[str, torch.Tensor]:
        last = pretrain(
            method(),
            ToyEmbedded(),
            out=out,
            training=TrainingConfig(epochs=3, batch_size=6),
            compute=Compute(accelerator="cpu", workers=0),
            resume=resume,
        )
        return load_pretrained(last).encoder.state_dict()

    whole = run(tmp_path / "whole")
    plain, steps = CrossJEPA.training_step, itertools.count(1)

    def interrupted(self: CrossJEPA, batch: EmbeddedPair, generator: Generator) -> dict[str, torch.Tensor]:
        if next(steps) == 7:  # in the second epoch
            raise KeyboardInterrupt
        return plain(self, batch, generator)

    monkeypatch.setattr(CrossJEPA, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut")
    monkeypatch.setattr(CrossJEPA, "training_step", plain)
    again = run(tmp_path / "cut", resume=True)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_crosspoint_takes_embeddings_in_place_of_images() -> None:
    torch.manual_seed(0)
    network = DGCNN(k=5, channels=[8, 8], embedding=16)
    made = CrossPoint(network, EmbeddedViews(12), clouds=CloudAugmentation(points=48))
    samples = made.training_samples(ToyEmbedded())
    given = made.collate([samples[index, index] for index in range(4)])
    parts = made.training_step(given, Generator().manual_seed(0))
    parts["loss"].backward()
    assert set(parts) == {"loss", "intra", "cross"}
    assert made.image_head is not None
    assert all(weight.grad is not None for weight in made.image_head.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embedding": 0}, "found embedding 0"),
        ({"distance": "l3"}, "found the distance 'l3', expected one of cosine, smooth_l1"),
        ({"clouds": CloudAugmentation()}, "found clouds.rotation up, expected none"),
        ({"embedding": 13}, "found embeddings of 12 numbers .* set method.embedding to 12"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)


def test_pairs_of_the_other_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="expected pairs with embeddings: run crosspoint embed-views"):
        method().training_samples(ToyPairs())
    with pytest.raises(ValueError, match="expected both with embeddings or both with images"):
        toy_method().training_samples(ToyEmbedded())
