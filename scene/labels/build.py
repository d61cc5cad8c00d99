"""Labelers by the short names that the command line has for them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal, get_args

from crosspoint.scene.labels.labeler import Labeler
from crosspoint.scene.labels.open_vocabulary import OpenLabeler
from crosspoint.scene.labels.regions import RegionLabeler
from crosspoint.scene.labels.semantic import SemanticLabeler

LabelerName = Literal["semantic", "open", "regions"]

LABELERS: dict[LabelerName, type[Labeler]] = {
    "semantic": SemanticLabeler,
    "open": OpenLabeler,
    "regions": RegionLabeler,
}


def make_labeler(name: LabelerName, **options: Any) -> Labeler:
    """A labeler.

    Args:
        name: its short name.
        options: arguments of its class; those that are None keep their defaults.

    Raises:
        ValueError: if there is no such labeler, it has no such option, or an option is out of range.
    """
    if name not in LABELERS:
        raise ValueError(f"found the kind {name!r}, expected one of {', '.join(get_args(LabelerName))}")
    given = {option: value for option, value in options.items() if value is not None}
    for option in given:
        if option not in _options(name):
            others = [other for other in LABELERS if option in _options(other)]
            raise ValueError(
                f"found {option} for the kind {name}, expected "
                + (f"it with {' or '.join(others)}" if others else f"one of {', '.join(_options(name))}")
            )
    return LABELERS[name](**given)


def _options(name: LabelerName) -> list[str]:
    return [field.name for field in fields(LABELERS[name])]  # type: ignore[arg-type]  # all of them are dataclasses
