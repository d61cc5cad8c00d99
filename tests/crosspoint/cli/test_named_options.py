"""Options that messages name: every flag, key and argument in the words of the package is one that there is."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from crosspoint.cli import (
    data,
    embed,
    embed_views,
    export,
    label,
    models,
    predict,
    pretrain,
    quickstart,
    render,
    replay,
    show,
    superpixels,
    synthesize,
)
from crosspoint.cli.parser import function_parser
from crosspoint.eval.cli import protocol_parser, study_parser
from crosspoint.eval.protocols.named import protocol_class
from crosspoint.plugins import SHORT_NAMES, import_plugin
from crosspoint.scene.data.lidar_dataset import LidarDataset

ROOT = Path(__file__).parents[3]
FLAG = re.compile(r"(?<![\w-])--([A-Za-z][\w.]*\w|[A-Za-z])")
SECTIONS = "data|training|compute|probe|method|encoder|image_encoder|recipe|resources|augmentation|voxels|superpixels"
KEY = re.compile(rf"(?<![\w.\-/])(?:{SECTIONS})\.[a-z_][\w.]*\w")
NAME = re.compile(r"`(\w+)`")
OTHERS = {"help", "version", "debug", "print_config", "key", "local", "force", "shm"}  # pip's, docker's, huggingface's
OTHERS |= {"nthreads", "nworkers", "head"}  # dask's, ray's
FOREIGN = (
    "crosspoint/__init__.py",
    "crosspoint/cli/legacy.py",
    "crosspoint/checkpoints/",
)  # modules; old flags; weights
COMMANDS = (
    *(render.render, label.label, synthesize.synthesize, replay.replay, quickstart.quickstart, show.show),
    *(data.data, embed.embed, embed_views.embed_views, export.export, models.models),
    *(predict.predict, superpixels.superpixels),
)
FILES = {"data.py", "training.ckpt", "encoder.safetensors"}


def messages(folder: str) -> Iterator[tuple[Path, int, str]]:
    """Every string of a folder's sources that is no docstring: file, line, text."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                yield path.relative_to(ROOT), node.lineno, node.value


@cache
def options() -> frozenset[str]:
    """Flags and keys of all commands, with those of all built-in plug-ins."""
    protocols = [protocol_class(name) for name in SHORT_NAMES["protocol"]]
    parsers = [protocol_parser(kind, kind.name) for kind in protocols] + [study_parser(protocols), pretrain._parser()]
    for command in COMMANDS:
        parsers.append(function_parser(command, command.__name__))
    names = {action.dest for parser in parsers for action in parser._actions}
    names |= {
        f"settings.{kind.name}.{action.dest}"
        for kind, parser in zip(protocols, parsers, strict=False)
        for action in parser._actions
    }
    for section in pretrain.SECTIONS:
        names.add(section.key)
        for name in SHORT_NAMES[section.kind] if section.kind else (None,):
            made = section.base if name is None else import_plugin(section.kind, name, section.base)
            keys = {action.dest for action in section.parser_of(made)._actions}
            names |= {f"{section.key}.{key}" for key in keys}
            names |= {f"{section.key}.init_args.{key}" for key in keys}
            if section.key == "data.dataset" and issubclass(made, LidarDataset):
                names |= keys  # flags of show and evaluate
    whole = {key[: place.start()] for key in names for place in re.finditer(r"\.", key)}  # method.augmentation
    return frozenset(names | whole | OTHERS)


@pytest.mark.parametrize("folder", ["renderers", "crosspoint", "scene", "eval"])
def test_flags_and_keys_in_messages_are_there(folder: str) -> None:
    unknown = []
    for path, line, text in messages(folder):
        if str(path).startswith(FOREIGN):
            continue
        found = {*FLAG.findall(text), *KEY.findall(text)} - FILES
        unknown += [f"{path}:{line}: {name}" for name in found if name not in options()]
    assert unknown == []


def test_arguments_in_messages_of_datasets_are_there() -> None:
    known = {"sequences"}  # a folder of SemanticKITTI, too
    for name in SHORT_NAMES["dataset"]:
        known |= {*inspect.signature(import_plugin("dataset", name, object)).parameters}
    for path, line, text in messages("scene/datasets"):
        assert not {*NAME.findall(text)} - known, f"{path}:{line}"


def test_no_message_of_a_command_names_an_argument_of_python() -> None:
    """`skip_broken=True` is nothing that can be typed; two messages are for Python alone."""
    found = [
        f"{path}: {text}"
        for folder in ("renderers", "crosspoint", "scene", "eval")
        for path, _, text in messages(folder)
        if re.search(r"\b\w+=(True|False)\b", text)
    ]
    assert [one.split(":")[0] for one in found] == ["eval/features.py", "eval/results.py"]


@pytest.mark.parametrize("text", ["give --no_such_flag", "set training.epocs", "set augmentation.size"])
def test_a_wrong_name_would_be_seen(text: str) -> None:
    assert not {*FLAG.findall(text), *KEY.findall(text)} <= options()


def test_every_help_text_is_a_phrase_of_its_own() -> None:
    """Not the second half of a sentence whose first half is the flag: `--root`, "where they lie"."""
    from crosspoint.cli.parser import help_row

    begun = re.compile(r"(of|in|at|between|where|by|on|behind|for|that|if|from|to|and|below|beside)\b")
    parsers = [protocol_parser(protocol_class(name), name) for name in SHORT_NAMES["protocol"]]
    for command in COMMANDS:
        parsers.append(function_parser(command, command.__name__))
    for section in pretrain.SECTIONS:
        for name in SHORT_NAMES[section.kind] if section.kind else (None,):
            made = section.base if name is None else import_plugin(section.kind, name, section.base)
            parsers.append(section.parser_of(made))
    rows = [row for parser in [*parsers, pretrain._parser()] for a in parser._actions if (row := help_row(a))]
    assert len(rows) > 200
    assert [row for row in {*rows} if begun.match(row[1])] == []
