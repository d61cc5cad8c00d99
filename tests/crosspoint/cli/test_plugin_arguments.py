"""Arguments of a plug-in from YAML and flags: what both say is joined, a class inside another one, too."""

from __future__ import annotations

from typing import Any

import pytest

from crosspoint.cli.plugin_arguments import Section
from crosspoint.eval.protocols.finetune import Finetune
from crosspoint.eval.supervised.config import ScaleAndShift
from crosspoint.transforms import CloudAugmentation

SECTION = Section("settings.finetune", None, Finetune)
SCALED = {"scale": [0.5, 1.0]}


@pytest.mark.parametrize(
    ("given", "flags", "augmentation"),
    [
        (SCALED, [], ScaleAndShift((0.5, 1.0))),
        (SCALED, [("recipe.epochs", "3")], ScaleAndShift((0.5, 1.0))),
        (SCALED, [("recipe.augmentation.shift", "0.1")], ScaleAndShift((0.5, 1.0), 0.1)),
        ({"class_path": "ScaleAndShift", "init_args": SCALED}, [("recipe.epochs", "3")], ScaleAndShift((0.5, 1.0))),
        ({"class_path": "CloudAugmentation"}, [("recipe.epochs", "3")], CloudAugmentation()),
        (None, [("recipe.epochs", "3")], None),
    ],
)
def test_a_class_of_yaml_stays_beside_flags(
    given: dict[str, Any] | None, flags: list[tuple[str, str]], augmentation: object
) -> None:
    chosen = SECTION.parse({"recipe": {"augmentation": given, "dropout": 0.25}}, flags, None)
    assert chosen is not None
    recipe = chosen.build().recipe
    assert (recipe.augmentation, recipe.dropout) == (augmentation, 0.25)
    assert recipe.epochs == (3 if ("recipe.epochs", "3") in flags else 250)


def test_a_class_of_yaml_that_is_none_is_refused_beside_flags() -> None:
    given = {"recipe": {"augmentation": {"class_path": "crosspoint.datasets.Nothing"}}}
    with pytest.raises(ValueError, match=r"found .*Nothing.* for settings\.finetune\.recipe\.augmentation, expected"):
        SECTION.parse(given, [("recipe.epochs", "3")], None)
