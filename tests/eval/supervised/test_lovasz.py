import doctest
from itertools import pairwise

import pytest
import torch

import crosspoint.eval.supervised.lovasz
from crosspoint.eval.supervised.lovasz import lovasz_softmax


def jaccard_loss(mistaken: set[int], members: set[int]) -> float:
    """1 − IoU of a class whose points are `members`, when those points are mistaken (equation 3 of the paper)."""
    return len(mistaken) / len(members | mistaken)


def by_definition(probabilities, labels, ignored=-1):
    """Equations 7 to 9 of the paper, point by point: the extension of the Jaccard loss at the errors of each class."""
    rows = [(p, int(y)) for p, y in zip(probabilities, labels, strict=True) if y != ignored]
    losses = []
    for wanted in sorted({y for _, y in rows}):
        members = {place for place, (_, y) in enumerate(rows) if y == wanted}
        errors = [1 - p[wanted] if y == wanted else p[wanted] for p, y in rows]
        order = sorted(range(len(rows)), key=lambda place: -float(errors[place].detach()))
        sets = [set(order[:count]) for count in range(len(rows) + 1)]
        values = [jaccard_loss(mistaken, members) for mistaken in sets]
        losses.append(sum(errors[i] * (b - a) for i, (a, b) in zip(order, pairwise(values), strict=True)))
    return sum(losses) / len(losses)


def drawn(n, classes, seed=0, ignored=-1):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(-1, classes, (n,), generator=generator)
    return logits, torch.where(labels == -1, ignored, labels)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("ignored", [-1, 255])
def test_value_and_gradient_are_those_of_the_definition(classes, ignored):
    logits, labels = drawn(40, classes, ignored=ignored)
    first, second = (logits.clone().requires_grad_() for _ in range(2))
    found = lovasz_softmax(first.softmax(dim=1), labels, ignored=ignored)
    expected = by_definition(second.softmax(dim=1), labels, ignored)
    assert torch.allclose(found, expected, atol=1e-12)
    found.backward()
    expected.backward()
    assert torch.allclose(first.grad, second.grad, atol=1e-12)


def test_only_classes_that_occur_count():
    probabilities = drawn(30, 6)[0].softmax(dim=1)
    labels = torch.tensor([4, 2, 2] * 10)
    assert torch.allclose(lovasz_softmax(probabilities, labels), by_definition(probabilities, labels))
    wider = torch.cat([probabilities, torch.rand(30, 3, dtype=torch.float64)], dim=1)
    assert torch.equal(lovasz_softmax(wider, labels), lovasz_softmax(probabilities, labels))


def test_hard_answers_cost_the_mean_jaccard_loss():
    labels, given = (torch.randint(0, 4, (200,), generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    hard = torch.nn.functional.one_hot(given, 4).double()
    losses = []
    for wanted in range(4):
        truth, answer = ({int(i) for i in (x == wanted).nonzero()} for x in (labels, given))
        losses.append(1 - len(truth & answer) / len(truth | answer))
    assert float(lovasz_softmax(hard, labels)) == pytest.approx(sum(losses) / 4, abs=1e-12)
    perfect = torch.nn.functional.one_hot(labels, 4).double()
    assert lovasz_softmax(perfect, labels) == 0
    assert float(lovasz_softmax(perfect.roll(1, dims=1), labels)) == pytest.approx(1)


def test_the_gradient_is_that_of_differences():
    logits, labels = drawn(12, 3, seed=3)
    assert torch.autograd.gradcheck(
        lambda x: lovasz_softmax(x.softmax(dim=1), labels), logits.requires_grad_(), eps=1e-7, atol=1e-6
    )


def test_the_order_of_points_does_not_matter():
    logits, labels = drawn(500, 5, seed=1)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(2))
    probabilities = logits.softmax(dim=1)
    assert torch.allclose(lovasz_softmax(probabilities[order], labels[order]), lovasz_softmax(probabilities, labels))


def test_nothing_to_count_costs_nothing():
    logits = drawn(5, 3)[0].requires_grad_()
    loss = lovasz_softmax(logits.softmax(dim=1), torch.full((5,), -1))
    loss.backward()
    assert loss == 0 and torch.equal(logits.grad, torch.zeros(5, 3, dtype=torch.float64))


def test_many_points_in_float32_lose_no_digits():
    """The differences of the Jaccard loss are a millionth each here; subtracting would leave one digit of them."""
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.randn(200_000, 2, generator=generator).softmax(dim=1).requires_grad_()
    labels = torch.randint(0, 2, (200_000,), generator=generator)
    exact = probabilities.detach().double().requires_grad_()
    lovasz_softmax(probabilities, labels).backward()
    lovasz_softmax(exact, labels).backward()
    found, expected = probabilities.grad.double().flatten(), exact.grad.flatten()
    assert torch.equal(found[expected == 0], expected[expected == 0])  # of points after the last member of a class
    relative = ((found - expected) / expected)[expected != 0].abs()
    assert len(relative) > 300_000 and relative.quantile(0.999) < 1e-6  # points with equal errors may change places


def test_halves_are_taken_in_full_precision():
    logits, labels = drawn(300, 4)
    probabilities = logits.softmax(dim=1).bfloat16()
    loss = lovasz_softmax(probabilities, labels)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, lovasz_softmax(probabilities.float(), labels))


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"found probabilities \(4, 3\) and labels \(5,\), expected \(n, K\)"):
        lovasz_softmax(torch.zeros(4, 3), torch.zeros(5, dtype=torch.int64))


def test_examples_in_docstrings():
    result = doctest.testmod(crosspoint.eval.supervised.lovasz)
    assert result.attempted > 0 and result.failed == 0
