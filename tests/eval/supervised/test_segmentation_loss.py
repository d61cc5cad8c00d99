"""The loss of segmentation: cross-entropy and Lovász-softmax of the labels that count."""

from __future__ import annotations

import torch

from crosspoint.eval.supervised.lovasz import lovasz_softmax
from crosspoint.eval.supervised.segmenter import segmentation_loss
from crosspoint.scene.data.sample import IGNORED


def test_the_loss_is_of_labels_that_count():
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(50, 4, generator=generator), torch.randint(-1, 4, (50,), generator=generator)
    counted = labels != IGNORED
    entropy = -logits.log_softmax(dim=1)[counted, labels[counted]].mean()
    expected = entropy + lovasz_softmax(logits.softmax(dim=1)[counted], labels[counted])
    assert torch.allclose(segmentation_loss(logits, labels), expected)
    nothing = logits.clone().requires_grad_()
    loss = segmentation_loss(nothing, torch.full((50,), IGNORED))
    loss.backward()
    assert loss == 0 and not nothing.grad.any()
