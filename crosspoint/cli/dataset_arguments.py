"""Flags of a command that are arguments of the dataset of frames it opens: `--version`, `--cameras` and so on."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Collection, Sequence
from typing import Any

from crosspoint.cli.parser import Parser, help_row, one_line
from crosspoint.plugins import import_plugin
from crosspoint.renderers.json_object import JsonObject

OPTIONS = "options"  # key of a configuration that holds such arguments


def take_dataset_flags(
    words: Sequence[str], dataset: str, own: Collection[str]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Take the flags that only the dataset knows out of what was typed.

    A flag without a value is true: `--skip_incomplete`.

    Args:
        words: what was typed.
        dataset: its short name or import path.
        own: the command's own arguments, which go before.

    Returns:
        What is left, and the names and values of the dataset's arguments.

    Raises:
        ValueError: if there is no such dataset.
    """
    names = set(_parameters(dataset)) - {*own}
    left: list[str] = []
    found: list[tuple[str, str]] = []
    place = 0
    while place < len(words):
        word = words[place]
        flag, equals, value = word.partition("=")
        place += 1
        if not flag.startswith("--") or flag[2:] not in names:
            left.append(word)
            continue
        if not equals:
            bare = place == len(words) or words[place].startswith("--")
            value = "true" if bare else words[place]
            place += not bare
        found.append((flag[2:], value))
    return left, found


def read_dataset_options(
    dataset: str, given: JsonObject | None, flags: Sequence[tuple[str, str]], own: Collection[str]
) -> JsonObject:
    """Arguments of a dataset's constructor by name, from a configuration and from flags over them, and no others.

    Raises:
        ValueError: if the dataset does not take one, or a value is of another type.
    """
    if not given and not flags:
        return {}
    made = import_plugin("dataset", dataset, _base())
    parser = Parser(add_help=False)
    parser.add_class_arguments(made, skip={*own} & {*_parameters(dataset)})
    for action in parser._actions:
        action.required = False
    try:
        values = parser.parse_args(
            [f"--{name}={value}" for name, value in flags], namespace=parser.parse_object(dict(given or {}))
        )
    except argparse.ArgumentError as error:
        raise ValueError(one_line(error, parser, owner=made.__name__)) from error
    built: dict[str, Any] = vars(parser.instantiate(values))
    asked = {*(given or {}), *(name for name, _ in flags)}
    return {name: value for name, value in built.items() if name in asked}


def dataset_rows(dataset: str, own: Collection[str]) -> list[tuple[str, str]]:
    """Rows of help for the arguments of a dataset."""
    parser = Parser(add_help=False)
    parser.add_class_arguments(import_plugin("dataset", dataset, _base()), skip={*own} & {*_parameters(dataset)})
    return [row for action in parser._actions if (row := help_row(action)) is not None]


def _parameters(dataset: str) -> list[str]:
    return list(inspect.signature(import_plugin("dataset", dataset, _base())).parameters)


def _base() -> type:
    from crosspoint.scene.data.lidar_dataset import LidarDataset  # imports torch, which --help can do without

    return LidarDataset
