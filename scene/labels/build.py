"""Making a labeler by its short name or by the import path of a user's class."""

from __future__ import annotations

import inspect
from typing import Any

from crosspoint.plugins import SHORT_NAMES, import_plugin
from crosspoint.scene.labels.labeler import Labeler


def make_labeler(name: str, **options: Any) -> Labeler:
    """A labeler.

    Args:
        name: a short name of `crosspoint.plugins.SHORT_NAMES["labeler"]`, such as "semantic"; or the import path of a
            class of your own that extends `Labeler`.
        options: arguments of its class; those that are None keep their defaults.

    Raises:
        ValueError: if there is no such labeler, it has no such option, or an option is out of range.
    """
    made = import_plugin("labeler", name, Labeler)
    known = inspect.signature(made).parameters
    given = {option: value for option, value in options.items() if value is not None}
    for option in given:
        if option not in known:
            others = [other for other in SHORT_NAMES["labeler"] if option in _options(other)]
            raise ValueError(
                f"found {option} for the kind {name}, expected "
                + (f"it with {' or '.join(others)}" if others else f"some of {', '.join(known)}")
            )
    labeler: Labeler = made(**given)
    return labeler


def _options(name: str) -> list[str]:
    return list(inspect.signature(import_plugin("labeler", name, Labeler)).parameters)
