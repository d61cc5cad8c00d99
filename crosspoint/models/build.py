"""Shim until evaluation asks encoders themselves."""

from crosspoint.models.point_encoder import PointEncoder


def encoder_config(encoder):
    if not isinstance(encoder, PointEncoder):
        raise ValueError("found an encoder")
    return encoder


def build_encoder(encoder):
    return encoder.fresh()


def is_builtin(encoder):
    return isinstance(encoder, PointEncoder)
