"""The commands below `crosspoint evaluate`: one a protocol, and `all` for several on several checkpoints.

The fields of a protocol become flags and YAML keys, its docstring the help.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from inspect import getdoc
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from crosspoint.cli.parser import Parser
from crosspoint.eval.protocols.named import protocol_class
from crosspoint.eval.protocols.protocol import Protocol, measure
from crosspoint.eval.study.config import STANDARD, StudyConfig
from crosspoint.eval.study.study import report_study
from crosspoint.eval.targets import Target
from crosspoint.plugins import SHORT_NAMES

ALL = "all"
SETTINGS = "settings"  # key of a study that holds the settings of each protocol, below its name
HELP = (
    "Several protocols on several checkpoints, in one folder: results.json, tables, report.html, pictures. Interrupted "
    "work goes on where it stopped: give the same command again. Every flag of a protocol's own command is one here, "
    "too, with the protocol's name before it: --settings.linear.C, --settings.semseg.mode."
)


class EvaluateParser(Parser):
    """Parser of `crosspoint evaluate`: a protocol of a user's own is called by its import path.

    Subcommands have no dots in their names, so the dots of an import path are replaced.
    """

    refused: ValueError | None = None  # why an import path is no protocol

    def parse_args(self, args: Any = None, *others: Any, **options: Any) -> Any:
        """Parse; the first word is the protocol."""
        if self.refused is not None:
            raise self.refused
        words = list(args or [])
        if words and "." in words[0]:
            words[0] = _command(words[0])
        return super().parse_args(words, *others, **options)

    def add_protocols(self, arguments: Sequence[str]) -> None:
        """Add one command a protocol, when this parser has its own place.

        Args:
            arguments: of the command line, which may name protocols by their import paths. What is wrong with one of
                them is said when they are parsed.
        """
        protocols = {name: protocol_class(name) for name in SHORT_NAMES["protocol"]}
        try:
            protocols |= {_command(name): protocol_class(name) for name in own_protocols(arguments)}
        except ValueError as error:
            self.refused = error
        commands = self.add_subcommands(required=True, dest="protocol")
        commands.add_subcommand(ALL, _study_parser([*protocols.values()]))
        for command, protocol in protocols.items():
            commands.add_subcommand(command, _protocol_parser(protocol))


def run_evaluation(chosen: Any) -> int:
    """Run what was parsed and instantiated; returns the exit code."""
    values = {key: value for key, value in vars(chosen[chosen.protocol]).items() if key != "config"}
    if chosen.protocol == ALL:
        return report_study(_study(values))
    protocol = chosen.protocol if chosen.protocol in SHORT_NAMES["protocol"] else chosen.protocol.replace("/", ".")
    made = protocol_class(protocol)
    known = {field.name for field in fields(made.target) if field.init}
    target = made.target(**{name: value for name, value in values.items() if name in known})
    return evaluate(made(**{name: value for name, value in values.items() if name not in known}), target)


def evaluate(protocol: Protocol, target: Target) -> int:
    """Measure one encoder by one protocol; print the result, and save it where the target says.

    Returns:
        0.

    Raises:
        FileNotFoundError: if the checkpoint or data are missing.
        ValueError: if one of them cannot be used, or the file of the result is there already.
    """
    if target.out is not None and target.out.exists():
        raise ValueError(f"found {target.out} already there, expected a new file: choose another --out")
    run = target.open()
    protocol.check_settings(run.data)
    reason = protocol.unsupported(run.checkpoint)
    if reason is not None:
        raise ValueError(
            f"found {reason} ({run.checkpoint.path}), expected one that {protocol.name} can be run on: choose another "
            "--checkpoint"
        )
    protocol.check(run.data)
    result, _ = measure(protocol, run)
    sys.stdout.write(f"{result}\n")
    if target.out is not None:
        result.save(target.out)
    return 0


def own_protocols(arguments: Sequence[str]) -> list[str]:
    """Import paths of protocols in a command line: its command, or --protocols, there or in the file of --config."""
    words = list(arguments)
    place = words.index("evaluate") + 1 if "evaluate" in words else len(words)
    given = [word for word in words[place : place + 1] if "." in word and not word.startswith("-")]
    if words[place : place + 1] == [ALL]:
        named = _value(words, "--protocols")
        given += _names(_of_file(_value(words, "--config")) if named is None else named)
    return [name for name in dict.fromkeys(given) if "." in name]


def _value(words: Sequence[str], flag: str) -> str | None:
    """The last value of a flag."""
    found = None
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name == flag:
            found = value if equals else following
    return found


def _of_file(path: str | None) -> Any:
    """The protocols of a YAML file; what is wrong with the file is said when it is parsed."""
    try:
        return yaml.safe_load(Path(path or "").read_text())["protocols"]
    except (KeyError, TypeError, OSError, ValueError, yaml.YAMLError):
        return ""


def _names(given: Any) -> list[str]:
    words = given.strip("[] ").split(",") if isinstance(given, str) else given
    return [str(word).strip(" '\"") for word in words]


def _command(name: str) -> str:
    return name.replace(".", "/")


def _protocol_parser(protocol: type[Protocol]) -> Parser:
    """Flags of what is measured, then those of the protocol."""
    parser = Parser(description=(getdoc(protocol) or "").split("\nArgs:")[0])
    parser.add_argument("--config", action="config", help="YAML file of the keys below")
    parser.add_class_arguments(protocol.target, skip=set() if protocol.trains else {"save_dir"})
    parser.add_class_arguments(protocol)
    return parser


def _study_parser(protocols: Sequence[type[Protocol]]) -> Parser:
    """Flags of a study, the short ones of its protocols, and all settings of each protocol below its name."""
    parser = Parser(description=HELP)
    parser.add_argument("--config", action="config", help="YAML file of the keys below")
    parser.add_class_arguments(StudyConfig, skip={"protocols"})
    known = ", ".join(SHORT_NAMES["protocol"])
    parser.add_argument(
        "--protocols",
        type=str | list[str],
        default=STANDARD,
        help=f"some of {known}, or import paths, with commas between them",
    )
    shared: dict[str, list[type[Protocol]]] = {}
    for protocol in protocols:
        parser.add_class_arguments(protocol, f"{SETTINGS}.{protocol.name}")
        for flag in protocol.study_flags:
            shared.setdefault(flag, []).append(protocol)
    actions = {action.dest: action for action in parser._actions}
    for flag, users in shared.items():
        first, names = users[0], ", ".join(protocol.name for protocol in users)
        described = str(actions[f"{SETTINGS}.{first.name}.{first.study_flags[flag]}"].help).split("(type:")[0]
        kind = _field_type(first, first.study_flags[flag])
        parser.add_argument(f"--{flag}", type=kind | None, default=None, help=f"{described.strip()} ({names})")
    for action in actions.values():
        if action.dest.split(".")[0] == SETTINGS:
            action.help = argparse.SUPPRESS  # hundreds of lines; the help of each protocol has them
    return parser


def _field_type(owner: type, path: str) -> Any:
    """Type of a field, or of a field of a field."""
    head, _, rest = path.partition(".")
    kind = get_type_hints(owner)[head]
    return _field_type(kind, rest) if rest else kind


def _study(values: dict[str, Any]) -> StudyConfig:
    """The configuration that was parsed: protocols are those that are chosen, with short flags over their settings."""
    protocols = []
    for name in _names(values.pop("protocols")):
        kind = protocol_class(name)
        protocol = values[SETTINGS][kind.name]
        for flag, path in kind.study_flags.items():
            if values[flag] is not None:
                protocol = _with(protocol, path, values[flag])
        protocols.append(protocol)
    own = {field.name for field in fields(StudyConfig)}
    return StudyConfig(**{name: value for name, value in values.items() if name in own}, protocols=protocols)


def _with(made: Any, path: str, value: Any) -> Any:
    """A dataclass with another value of a field, or of a field of a field."""
    head, _, rest = path.partition(".")
    return replace(made, **{head: _with(getattr(made, head), rest, value) if rest else value})
