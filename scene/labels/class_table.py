"""Tables of classes: which names of a model, or which phrases, make up each class of ours."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from crosspoint.renderers.files import short
from crosspoint.renderers.records import read_yaml
from crosspoint.scene.labels.manifest import check_classes

ClassTable = Mapping[str, Sequence[str]]

DRIVING: ClassTable = {
    "road": ["road"],
    "sidewalk": ["sidewalk"],
    "building": ["building"],
    "wall or fence": ["wall", "fence"],
    "pole": ["pole"],
    "traffic light or sign": ["traffic light", "traffic sign"],
    "vegetation": ["vegetation"],
    "terrain": ["terrain"],
    "person": ["person"],
    "rider": ["rider"],
    "car": ["car"],
    "truck": ["truck"],
    "bus": ["bus", "train"],
    "motorcycle": ["motorcycle"],
    "bicycle": ["bicycle"],
}
"""Cityscapes' 19 classes (Cordts et al., 2016, https://arxiv.org/abs/1604.01685), put together where points of a LiDAR
tell them apart badly; none of its points is in the sky."""

PROMPTS: ClassTable = {
    name: [name]
    for name in (
        *("barrier", "bicycle", "bus", "car", "truck", "trailer", "motorcycle", "construction vehicle"),
        *("pedestrian", "traffic cone", "road", "sidewalk", "terrain", "vegetation", "building", "other ground"),
    )
}
"""The 16 prompts of OLIVINE (Zhang et al., 2024, https://arxiv.org/abs/2405.14271), nuScenes' classes, in its order."""


def read_table(path: Path) -> dict[str, list[str]]:
    """Read a table of classes: a YAML file with a line for each class, `name: phrase` or `name: [phrase, phrase]`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no YAML, or no such table.
    """
    content = read_yaml(path, object, "a YAML file of classes: name: [phrase, …]")
    if not isinstance(content, dict):
        raise ValueError(f"found {type(content).__name__} in {path}, expected a line for each class: name: [phrase, …]")
    table = {name: [entry] if isinstance(entry, str) else entry for name, entry in content.items()}
    check_table(table, str(path))
    return table


def check_table(table: ClassTable, where: str) -> None:
    """Check that each class has a name and phrases, and that no phrase belongs to two.

    Raises:
        ValueError: if one has not, or there is no class.
    """
    check_classes(list(table), where)
    if not table:
        raise ValueError(f"found no class in {where}, expected at least one")
    owner: dict[str, str] = {}
    for name, phrases in table.items():
        words = phrases if isinstance(phrases, list | tuple) else []
        if not words or not all(isinstance(word, str) and word.strip() for word in words):
            raise ValueError(
                f"found {short(phrases)} for the class {name!r} in {where}, expected a phrase or a list of them"
            )
        for word in words:
            if owner.setdefault(word, name) != name:
                raise ValueError(
                    f"found {word!r} for the classes {owner[word]!r} and {name!r} in {where}, expected it for one"
                )


def numbers_of(table: ClassTable, names: Sequence[str], model: str) -> Tensor:
    """Which of our numbers each class of a model becomes.

    Args:
        table: K classes.
        names: of the model's C classes, in its order.
        model: what it is called in messages.

    Returns:
        (C,) int64: 1…K in the table's order; 0 for a class that it does not name.

    Raises:
        ValueError: if the table names a class that the model does not know.
    """
    numbers = torch.zeros(len(names), dtype=torch.int64)
    for number, (ours, theirs) in enumerate(table.items(), start=1):
        for name in theirs:
            places = [place for place, known in enumerate(names) if known == name]
            if not places:
                raise ValueError(
                    f"found {name!r} for the class {ours!r}, expected one of the classes of {model}: "
                    f"{_nearest(name, names)}; --classes FILE gives another table"
                )
            numbers[places] = number
    return numbers


def _nearest(name: str, names: Sequence[str]) -> str:
    by_lower = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"did you mean {by_lower[near[0]]!r}?" if near else ", ".join(names)
