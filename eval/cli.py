"""The commands below `crosspoint evaluate`: one a protocol, and `all` for several on several checkpoints.

The fields of a protocol become flags and YAML keys, its docstring the help.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import fields, replace
from inspect import getdoc
from typing import Any, get_type_hints

from crosspoint.cli.dataset_arguments import OPTIONS, dataset_rows, read_dataset_options, take_dataset_flags
from crosspoint.cli.parser import Parser, described, take_cluster
from crosspoint.cli.plugin_arguments import Section, split_flags
from crosspoint.eval.protocols.named import protocol_class
from crosspoint.eval.protocols.protocol import Protocol, evaluate
from crosspoint.eval.study.config import STANDARD, StudyConfig
from crosspoint.eval.study.study import report_study
from crosspoint.plugins import SHORT_NAMES, plain
from crosspoint.renderers.cluster import ClusterConfig, on_cluster

EXIT_BAD_INPUT = 2
ALL = "all"
SETTINGS = "settings"  # key of a study that holds the settings of each protocol, below its name
HELP = (
    "Several protocols on several checkpoints, in one folder: results.json, tables, report.html, pictures. Interrupted "
    "work goes on where it stopped: give the same command again. Every flag of a protocol's own command is one here, "
    "too, with the protocol's name before it: --settings.linear.C, --settings.semseg.mode."
)


def evaluate_command(words: Sequence[str]) -> int:
    """`crosspoint evaluate PROTOCOL …`; returns the exit code.

    Args:
        words: what was typed after `evaluate`: a short name, the import path of a user's own protocol, or `all`.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if there is no such protocol, or something cannot be used.
    """
    if not words or words[0].startswith("-"):
        sys.stdout.write(_overview())
        return 0 if words and words[0] in ("--help", "-h") else EXIT_BAD_INPUT
    name, *rest = words
    if name == ALL:
        study, cluster = read_study(rest)
        with on_cluster(cluster):
            return report_study(study)
    made = protocol_class(name)
    parser = protocol_parser(made, name)
    known = {action.dest.split(".")[0] for action in parser._actions} | {"split"}
    dataset = _dataset_of(rest) if OPTIONS in known else None
    flags: list[tuple[str, str]] = []
    if dataset is not None:
        rest, flags = take_dataset_flags(rest, dataset, known)
        parser.further_rows = [("", ""), *dataset_rows(dataset, known)]
        parser.further_keys = [row[0].removeprefix("--") for row in parser.further_rows]
    values = vars(parser.instantiate(parser.read(rest)))
    values.pop("config")
    cluster = ClusterConfig() if made.trains else take_cluster(values)
    if OPTIONS in known:
        values[OPTIONS] = read_dataset_options(values["dataset"], values[OPTIONS], flags, known)
    known = {field.name for field in fields(made.target) if field.init}
    target = made.target(**{key: value for key, value in values.items() if key in known})
    with on_cluster(cluster):
        result = evaluate(made(**{key: value for key, value in values.items() if key not in known}), target)
    sys.stdout.write(f"{result}\n")
    if target.out is not None:
        result.save(target.out)
    return 0


def _dataset_of(words: Sequence[str]) -> str | None:
    """The dataset that the words name."""
    for place, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag == "--dataset":
            return value if equals else next(iter(words[place + 1 :]), None)
    return None


def _overview() -> str:
    """The protocols, a line each."""
    rows = [f"  {ALL:<12}{HELP.split('. ')[0]}"]
    for name in SHORT_NAMES["protocol"]:
        headline = (getdoc(protocol_class(name)) or "").split("\n")[0]
        rows.append(f"  {name:<12}{textwrap.shorten(headline, 106, placeholder=' …')}")
    head = ["usage: crosspoint evaluate PROTOCOL …", "", "Measure an encoder.", ""]
    return "\n".join([*head, *rows, "", "PROTOCOL --help tells more; an import path names a protocol of your own.", ""])


def _names(given: Any) -> list[str]:
    words = given.strip("[] ").split(",") if isinstance(given, str) else given
    return [str(word).strip(" '\"") for word in words]


def protocol_parser(protocol: type[Protocol], name: str) -> Parser:
    """Flags of what is measured, then those of the protocol."""
    parser = Parser(prog=f"crosspoint evaluate {name}", description=described(protocol))
    parser.add_argument("--config", action="config", help="YAML file of the keys below")
    parser.add_class_arguments(protocol.target, skip={*protocol.unread} | (set() if protocol.trains else {"save_dir"}))
    parser.add_class_arguments(protocol)
    if not protocol.trains:
        parser.add_class_arguments(ClusterConfig)
    return parser


def read_study(words: Sequence[str]) -> tuple[StudyConfig, ClusterConfig]:
    """What was typed after `crosspoint evaluate all` → a study, and where it is done.

    First its own flags are read, those of the protocols' settings left aside; then the settings of each protocol that
    was chosen, by a parser of its own.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a key is unknown, a value of another type, or a protocol cannot be had.
    """
    everything = Section(SETTINGS, None, Protocol)
    left, flags = split_flags(words, [everything])
    built_in = [protocol_class(name) for name in SHORT_NAMES["protocol"]]
    parser = study_parser(built_in)
    values = vars(parser.instantiate(parser.read(left)))
    given = plain(values.pop(SETTINGS) or {})
    protocols = []
    for name in _names(values.pop("protocols")):
        kind = protocol_class(name)
        own = [
            (key.removeprefix(f"{kind.name}."), value)
            for key, value in flags[SETTINGS]
            if key.startswith(f"{kind.name}.")
        ]
        chosen = Section(f"{SETTINGS}.{kind.name}", None, kind).parse(given.get(kind.name) or {}, own, None)
        protocol = kind() if chosen is None else chosen.build()
        for flag, path in kind.study_flags.items():
            if values[flag] is not None:
                protocol = _with(protocol, path, values[flag])
        protocols.append(protocol)
    names = [protocol.name for protocol in protocols]
    unread = [key for key in [*given, *(key.split(".")[0] for key, _ in flags[SETTINGS])] if key not in names]
    if unread:
        raise ValueError(f"found settings of {unread[0]}, expected those of the chosen protocols: {', '.join(names)}")
    read = {flag for protocol in protocols for flag in protocol.study_flags}
    ignored = [flag for kind in built_in for flag in kind.study_flags if values[flag] is not None and flag not in read]
    if ignored:
        users = ", ".join(kind.name for kind in built_in if ignored[0] in kind.study_flags)
        raise ValueError(
            f"found --{ignored[0]}, which {', '.join(names)} {'does' if len(names) == 1 else 'do'} not read, expected "
            f"it for {users} alone: leave it out, or add one of these to --protocols"
        )
    own_fields = {field.name for field in fields(StudyConfig)}
    study = StudyConfig(**{key: value for key, value in values.items() if key in own_fields}, protocols=protocols)
    return study, take_cluster(values)


def study_parser(protocols: Sequence[type[Protocol]]) -> Parser:
    """Flags of a study, and the short ones of its protocols."""
    parser = Parser(prog="crosspoint evaluate all", description=HELP)
    parser.add_argument("--config", action="config", help="YAML file of the keys below")
    parser.add_class_arguments(StudyConfig, skip={"protocols"})
    parser.add_class_arguments(ClusterConfig)
    known = ", ".join(SHORT_NAMES["protocol"])
    parser.add_argument(
        "--protocols",
        type=str | list[str],
        default=STANDARD,
        help=f"some of {known}, or import paths, with commas between them",
    )
    parser.add_argument(f"--{SETTINGS}", type=dict | None, default=None, help=argparse.SUPPRESS)
    shared: dict[str, list[type[Protocol]]] = {}
    for protocol in protocols:
        for flag in protocol.study_flags:
            shared.setdefault(flag, []).append(protocol)
    for flag, users in shared.items():
        owner, path = users[0], users[0].study_flags[flag]
        names = ", ".join(protocol.name for protocol in users)
        kind = _field_type(owner, path)
        parser.add_argument(f"--{flag}", type=kind | None, default=None, help=f"{_field_help(owner, path)} ({names})")
    return parser


def _field_help(owner: type, path: str) -> str:
    """What a docstring says of a field, or of a field of a field."""
    described_fields = Parser(add_help=False)
    described_fields.add_class_arguments(owner)
    found = next(action.help for action in described_fields._actions if action.dest == path)
    return str(found).split("(type:")[0].strip()


def _field_type(owner: type, path: str) -> Any:
    """Type of a field, or of a field of a field."""
    head, _, rest = path.partition(".")
    kind = get_type_hints(owner)[head]
    return _field_type(kind, rest) if rest else kind


def _with(made: Any, path: str, value: Any) -> Any:
    """A dataclass with another value of a field, or of a field of a field."""
    head, _, rest = path.partition(".")
    return replace(made, **{head: _with(getattr(made, head), rest, value) if rest else value})
