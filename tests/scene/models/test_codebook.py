from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import crosspoint.scene.models.codebook
from crosspoint.scene.models.codebook import Codebook, commitment, straight_through


def made(codes: int = 7, channels: int = 4, **options: object) -> Codebook:
    torch.manual_seed(0)
    return Codebook(codes, channels, **{"decay": 0.9, "revive": None, **options}).double()  # type: ignore[arg-type]


def features(count: int = 30, channels: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    points, pixels = torch.randn(2, count, channels, generator=generator, dtype=torch.float64)
    return F.normalize(points, dim=1), F.normalize(points + 0.3 * pixels, dim=1)


def slow_update(book: Codebook, points: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, weights and counts after one update: the formulas, code after code and row after row."""
    codes, weight, count = (x.clone() for x in (book.codes, book.weight, book.count))
    nearest = [[int((codes - row).square().sum(dim=1).argmin()) for row in rows] for rows in (points, pixels)]
    for own, other, chosen in ((points, pixels, nearest[0]), (pixels, points, nearest[1])):
        for k in range(len(codes)):
            rows = [i for i, c in enumerate(chosen) if c == k]
            count[k] = book.decay * count[k] + (1 - book.decay) * len(rows)
            weight[k] *= book.decay
            for i in rows:
                weight[k] += 0.5 * (1 - book.decay) * (own[i] + other[i])
        total = count.sum()
        count = (count + book.smoothing) / (total + len(codes) * book.smoothing) * total
    return F.normalize(weight / count[:, None], dim=1), weight, count


def test_updates_are_those_of_a_loop() -> None:
    book = made()
    for step in range(5):
        points, pixels = features(seed=step)
        expected = slow_update(book, points, pixels)
        book.update(points, pixels, torch.Generator())
        for found, wanted in zip((book.codes, book.weight, book.count), expected, strict=True):
            torch.testing.assert_close(found, wanted)
    assert not list(book.parameters())


def test_codes_begin_on_the_sphere_and_stay_there() -> None:
    book = made(codes=50)
    first = book.codes.clone()
    assert torch.allclose(first.norm(dim=1), torch.ones(50, dtype=torch.float64))
    for step in range(3):
        book.update(*features(seed=step), torch.Generator())
    assert torch.allclose(book.codes.norm(dim=1), torch.ones(50, dtype=torch.float64))
    unused = book.idle == 3
    assert unused.any() and torch.allclose(book.codes[unused], first[unused])
    assert not torch.allclose(book.codes[~unused], first[~unused])


@pytest.mark.parametrize("held", [2**19, 14])  # distances at once: all, or two rows
def test_the_nearest_code_is_that_of_the_squared_distances(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crosspoint.scene.models.codebook, "DISTANCES_CPU", held)
    book = made()
    book.codes.mul_(torch.rand(7, 1, dtype=torch.float64) + 0.5)  # lengths count, too
    rows = 3 * features()[0]
    slow = [int((book.codes - row).square().sum(dim=1).argmin()) for row in rows]
    assert book.nearest(rows).tolist() == slow


def test_values_are_codes_and_gradients_pass_straight_through() -> None:
    book, rows = made(), features()[0].requires_grad_()
    found = book(rows)
    assert torch.allclose(found, book.codes[book.nearest(rows)])
    grad = torch.randn(found.shape, dtype=torch.float64)
    found.backward(grad)
    assert rows.grad is not None and torch.equal(rows.grad, grad)
    assert straight_through(rows, found).requires_grad and not book.codes.requires_grad


def test_commitment_is_its_formula() -> None:
    book, (points, pixels) = made(), features()
    points.requires_grad_()
    own, other = (book.codes[book.nearest(rows)] for rows in (points, pixels))
    found = 0.25 * commitment(points, own, other)
    expected = 0.25 * (2 * F.mse_loss(points, own) + F.mse_loss(points, other))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(x, points, retain_graph=True)[0] for x in (found, expected)))
    nothing = points[:0]
    assert commitment(nothing, nothing, nothing).item() == 0


def test_perplexity_counts_the_codes_in_use() -> None:
    book = made(codes=8, channels=8)
    book.codes.copy_(torch.eye(8))
    rows = torch.eye(8, dtype=torch.float64)
    assert made(8, 8).update(rows[:1], rows[:1], torch.Generator()).item() == pytest.approx(1)
    book = made(codes=8, channels=8)
    book.codes.copy_(torch.eye(8))
    found = book.update(rows[[0, 1, 2, 3]], rows[[0, 1, 2, 0]], torch.Generator())
    shares = [3 / 8, 2 / 8, 2 / 8, 1 / 8]
    assert found.item() == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)))


def test_codes_that_nothing_chose_become_features() -> None:
    book, (points, pixels) = made(codes=40, revive=3), features(count=12)
    seen = torch.cat([points, pixels])
    for step in range(2):
        book.update(points, pixels, torch.Generator().manual_seed(step))
    idle = book.idle == 2
    before = book.codes.clone()
    assert idle.any() and not idle.all()
    book.update(points, pixels, torch.Generator().manual_seed(5))
    to_feature = (book.codes[:, None] - seen).norm(dim=2).amin(dim=1)
    assert (to_feature[idle] < 4 / 1024).all() and (to_feature[idle] > 0).all()
    assert torch.allclose(book.codes[idle].norm(dim=1), torch.ones(int(idle.sum()), dtype=torch.float64))
    assert len(book.codes[idle].unique(dim=0)) == int(idle.sum())  # noise tells apart those with the same feature
    assert (book.idle[idle] == 0).all() and torch.equal(book.weight[idle], book.codes[idle])
    assert (before[~idle] - book.codes[~idle]).norm(dim=1).max() < 0.2
    again = made(codes=40, revive=3)
    for step in (0, 1, 5):
        again.update(points, pixels, torch.Generator().manual_seed(step))
    assert torch.equal(again.codes, book.codes)


def test_without_features_nothing_moves() -> None:
    book = made(revive=2)
    first, nothing = book.codes.clone(), torch.zeros(0, 4, dtype=torch.float64)
    for _ in range(4):
        assert book.update(nothing, nothing, torch.Generator()).item() == pytest.approx(1)
    assert torch.allclose(book.codes, first) and torch.isfinite(book.count).all()


def test_an_unused_code_outlives_the_range_of_floats() -> None:
    book = made().float()
    first = book.codes.clone()
    book.weight.mul_(1e-30)
    book.update(*(rows[:0].float() for rows in features()), torch.Generator())
    assert torch.equal(book.codes, first)


def test_a_state_resumes_exactly() -> None:
    book, other = made(revive=2), made(revive=2)
    for step in range(3):
        book.update(*features(seed=step), torch.Generator().manual_seed(step))
    other.load_state_dict(book.state_dict())
    for one in (book, other):
        for step in range(3, 6):
            one.update(*features(seed=step), torch.Generator().manual_seed(step))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in book.state_dict().items())
    assert {*book.state_dict()} == {"codes", "weight", "count", "idle"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"codes": 0}, "expected 1 or more of both"),
        ({"decay": 1.0}, "expected a decay between 0 and 1"),
        ({"smoothing": 0.0}, "a smoothing above 0"),
        ({"revive": 0}, "expected 1 step or more, or null"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(**wrong)  # type: ignore[arg-type]
