"""Shim until evaluation reads `load_pretrained`."""

from __future__ import annotations

from typing import NamedTuple

from crosspoint.checkpoints import pretrained as _p
from crosspoint.checkpoints.files import *  # noqa
from crosspoint.checkpoints.files import load_weights_strict, read_checkpoint, require_file, strip_prefix  # noqa
from crosspoint.checkpoints.record import Inputs

ENCODER_PREFIX = "method.encoder."


class TrainedOn(NamedTuple):
    points: int | None
    k: int | None


def load_encoder(path, *, k=None):
    encoder = _p.load_encoder(path, k=k)
    inputs = _p.load_pretrained(path).inputs
    return remember_training(
        encoder, TrainedOn(inputs.points, inputs.k if inputs.points and "k" in encoder.config else None)
    )


def remember_training(encoder, clouds):
    encoder.trained_on = clouds
    return encoder


def trained_on(encoder):
    return getattr(encoder, "trained_on", None) or TrainedOn(None, None)


def save_encoder(encoder, path):
    known = trained_on(encoder)
    _p.save_encoder(encoder, path, Inputs(points=known.points, k=known.k))
