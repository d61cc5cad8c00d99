"""The probe that watches pre-training: a linear SVM on a hold-out of the training data, never on a test split."""

from __future__ import annotations

from torch import nn

from crosspoint.eval.features import extract_features
from crosspoint.eval.protocols.linear_svm import linear_svm
from crosspoint.training.probe import HoldOut


def probe_hold_out(encoder: nn.Module, data: HoldOut) -> dict[str, float]:
    """Accuracy in percent on the hold-out, with C and scaling chosen by cross-validation on the rest."""
    device = next(encoder.parameters()).device
    fit, held = (extract_features(encoder, points, device=device) for points in (data.fit_points, data.held_points))
    result = linear_svm(fit, data.fit_labels, held, data.held_labels)
    return {"accuracy": result.metrics["accuracy"]}
