"""The parser of every command: flags that are YAML keys, help on one screen, errors on one line."""

from __future__ import annotations

import argparse
import difflib
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import fields, is_dataclass
from inspect import getdoc
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from crosspoint.renderers.cluster import ClusterConfig, on_cluster
from crosspoint.renderers.json_object import JsonObject

UNKNOWN_KEY = re.compile(r"unrecognized arguments: (?:-+)?(?P<flag>[\w.\-]+)|does not accept option '(?P<key>[^']+)'")

WRONG_VALUE = re.compile(r'Parser key "(?P<key>[^"]+)": Expected an? (?P<type>.+)\. Got value: (?P<value>.*)$')
WRONG_UNION = re.compile(
    r'Parser key "(?P<key>[^"]+)": Does not validate .* Subtypes: \[(?P<types>.+?)\] Errors: .* '
    r"Given value: (?P<value>.*)$"
)
NO_VALUE = re.compile(r"argument (?P<flag>--[\w.]+): expected one argument")
MISSING = re.compile(r"arguments are required: (?P<names>[^()]+)$")


class Parser(ArgumentParser):
    """jsonargparse's parser: unknown keys name the nearest, abbreviations are unknown, help is one line an option."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"exit_on_error": False, "allow_abbrev": False, **kwargs})
        self.further_rows: list[tuple[str, str]] = []  # of help, for arguments of plug-ins
        self._needed: set[str] = set()
        self.further_keys: list[str] = []  # that are read elsewhere, to name the nearest of an unknown key

    def read(self, arguments: Sequence[str]) -> Namespace:
        """Parse what was typed.

        Raises:
            ValueError: if a key is unknown or missing, or a value is of another type.
        """
        self._needed = {action.dest for action in self._actions if action.required}  # while it parses, none is
        try:
            return self.parse_args(_repeated(self, _switched(self, arguments)))
        except argparse.ArgumentError as error:
            raise ValueError(one_line(error, _command_parser(self, arguments))) from error

    def read_over(self, given: JsonObject, arguments: Sequence[str]) -> Namespace:
        """Parse what was typed, over what YAML files hold.

        Raises:
            ValueError: as `read`.
        """
        try:
            return self.parse_args(_switched(self, arguments), namespace=self.parse_object(dict(given)))
        except argparse.ArgumentError as error:
            raise ValueError(one_line(error, self)) from error

    def format_help(self, formatter: Any = None) -> str:
        """Usage, what it does, then every argument on a line or two."""
        needed = [action for action in self._actions if action.dest in self._needed or action.required]
        rows = [row for action in self._actions if (row := help_row(action, action in needed)) is not None]
        rows += self.further_rows
        width = shutil.get_terminal_size((100, 24)).columns
        column = min(34, max((len(name) for name, _ in rows), default=0) + 2)
        positionals = " ".join(_positional_name(a) for a in self._actions if _is_positional(a))
        flags = " ".join(f"{a.option_strings[0]} {a.dest.upper()}" for a in needed if a.option_strings)
        command = " ".join(f"{self.prog} {positionals} {flags}".replace("[options] ", "").split())
        lines = [f"usage: {command} [--key value …]", ""]
        if self.description:
            lines += [*textwrap.wrap(" ".join(self.description.split()), width), ""]
        for name, text in rows:
            wrapped = textwrap.wrap(text, max(20, width - column - 2)) or [""]
            if len(name) + 2 > column:
                lines.append(f"  {name}")
            else:
                lines.append(f"  {name:<{column}}{wrapped.pop(0)}".rstrip())
            lines += [f"  {'':<{column}}{line}" for line in wrapped]
        return "\n".join(lines) + "\n"


def _repeated(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> list[str]:
    """Flags of lists without a default, given once for each entry, as jsonargparse appends them: `--flag+ entry`."""
    lists = {
        name.removesuffix("+")
        for action in _command_parser(parser, arguments)._actions
        for name in action.option_strings
        if name.endswith("+") and action.default is None
    }
    words = list(arguments)
    for place, word in enumerate(arguments):
        flag, _, value = word.partition("=")
        entry = value or next(iter(arguments[place + 1 :]), "")
        if flag in lists and not entry.startswith("["):
            words[place] = word.replace(flag, f"{flag}+", 1)
    return words


def _switched(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> list[str]:
    """Switches that are given without a value are on: `--verify` is `--verify true`."""
    switches = {
        name
        for action in _command_parser(parser, arguments)._actions
        for name in action.option_strings
        if getattr(action, "_typehint", None) is bool
    }
    words: list[str] = []
    for place, word in enumerate(arguments):
        words.append(word)
        following = next(iter(arguments[place + 1 :]), "--")
        if word in switches and following.startswith("--"):
            words.append("true")
    return words


def one_line(
    error: Exception, parser: argparse.ArgumentParser, *, prefix: str = "", owner: str = "this command"
) -> str:
    """An error on one line, in the words of a user.

    Args:
        error: what was raised.
        parser: whose keys the nearest one is looked for among.
        prefix: before its keys where they stand in a configuration.
        owner: whose keys they are.
    """
    message = " ".join(str(error).split())
    unknown = UNKNOWN_KEY.search(message)
    if isinstance(error, argparse.ArgumentError) and unknown:
        key = unknown["flag"] or unknown["key"]
        known = list(_keys(parser))
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
        hint = f"did you mean {prefix}{near[0]}?" if near else "see --help for those it has"
        return f"found the unknown key {prefix + key!r}, expected one of {owner}'s: {hint}"
    wrong = WRONG_VALUE.search(message)
    if isinstance(error, argparse.ArgumentError) and wrong:
        return f"found {wrong['value']} for {prefix}{wrong['key']}, expected {_type_name(wrong['type'])}"
    union = WRONG_UNION.search(message)
    if isinstance(error, argparse.ArgumentError) and union:
        kinds = " or ".join(_type_name(kind.strip()) for kind in re.split(r", (?![^\[]*\])", union["types"]))
        return f"found {union['value']} for {prefix}{union['key']}, expected {kinds}"
    missing = MISSING.search(message)
    if isinstance(error, argparse.ArgumentError) and missing:
        named = {a.dest: a.option_strings[0] if a.option_strings else _positional_name(a) for a in parser._actions}
        names = [named.get(name, prefix + name) for name in missing["names"].split(", ")]
        arguments = "argument" if len(names) == 1 else "arguments"
        return f"missing {arguments} {', '.join(names)}: see {getattr(parser, 'prog', None) or 'COMMAND'} --help"
    empty = NO_VALUE.search(message)
    if isinstance(error, argparse.ArgumentError) and empty:
        return (
            f"found no value after {empty['flag']}, expected one: give {empty['flag']} VALUE, or {empty['flag']}=VALUE "
            "where it begins with -"
        )
    return message


def _type_name(name: str) -> str:
    """A type as jsonargparse writes it, in the words of a user."""
    name = name.replace("<class '", "").replace("'>", "").replace("typing.", "")
    literal = re.fullmatch(r"Literal\[(.+)\]", name)
    if literal:
        return "one of " + literal[1].replace("'", "")
    entries = re.fullmatch(r"(?:collections\.abc\.)?(?:Sequence|[Ll]ist)\[(.+)\]", name)
    if entries:
        return f"a list, each entry {_type_name(entries[1])}"
    return {"NoneType": "null", "int": "a whole number", "float": "a number", "bool": "true or false"}.get(name, name)


def _command_parser(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the subcommand that the arguments name."""
    for argument in arguments:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction) and argument in action.choices:
                parser = action.choices[argument]
                break
    return parser


def _keys(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if action.option_strings and action.help != argparse.SUPPRESS:
            yield action.dest
    yield from getattr(parser, "further_keys", ())


def _is_positional(action: argparse.Action) -> bool:
    return not action.option_strings and not isinstance(action, argparse._SubParsersAction)


def _positional_name(action: argparse.Action) -> str:
    return action.metavar if isinstance(action.metavar, str) else action.dest.upper()


def help_row(action: argparse.Action, needed: bool = False) -> tuple[str, str] | None:
    """An argument's name and its help; None for what needs no line.

    Args:
        action: the argument.
        needed: whether it must be given, which help says of flags.
    """
    if action.help == argparse.SUPPRESS or (action.metavar == "CONFIG" and action.dest != "config"):
        return None
    if action.dest == "print_config":
        return "--print_config", "print every key and its value as YAML, and exit"
    if isinstance(action, argparse._SubParsersAction):
        names = ", ".join(action.choices)
        return ("COMMAND", f"one of {names}; COMMAND --help tells more")
    name = action.option_strings[0] if action.option_strings else _positional_name(action)
    text = re.sub(r"\s+", " ", (action.help or "").split("(type:")[0]).strip()
    choices = action.metavar if isinstance(action.metavar, str) and action.metavar.startswith("{") else ""
    if choices and choices != "{true,false}":
        text = f"{text} {choices}".strip()
    if action.dest == "help":
        text = "show this text and exit"
    if name.endswith(".help"):
        kinds = re.search(r"\{.*\}", text)
        text = f"show the arguments of one of {kinds[0] if kinds else 'its kinds'} and exit"
    if needed and action.option_strings:
        text = f"{text} (required)".strip()
    default = action.default
    if action.option_strings and default not in (None, argparse.SUPPRESS) and action.dest not in ("help", "version"):
        text = f"{text} [{_plain_default(default)}]".strip()
    return name, text


def _plain_default(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list | tuple):
        return "[" + ", ".join(map(str, default)) + "]"
    if is_dataclass(default) and not isinstance(default, type):
        return type(default).__name__
    return str(default)


def function_parser(function: Callable[..., int], name: str) -> Parser:
    """The parser of a command that is a function: parameters become arguments and YAML keys, the docstring the help."""
    parser = Parser(prog=f"crosspoint {name}", description=described(function))
    parser.add_argument("--config", action="config", help="YAML file of the keys below")
    parser.add_function_arguments(function, as_positional=True)
    return parser


def call(function: Callable[..., int], name: str, arguments: Sequence[str], *, clusters: bool = False) -> int:
    """Run a command that is a function on what was typed.

    Args:
        function: the command.
        name: of it.
        arguments: what was typed after the name.
        clusters: whether the work may be done on a cluster.
    """
    parser = function_parser(function, name)
    if clusters:
        parser.add_class_arguments(ClusterConfig)
    values = vars(parser.instantiate(parser.read(arguments)))
    values.pop("config")
    with on_cluster(take_cluster(values)) if clusters else nullcontext():
        return function(**values)


def take_cluster(values: dict[str, Any]) -> ClusterConfig:
    """Take the flags of a cluster out of what was read."""
    return ClusterConfig(**{field.name: values.pop(field.name) for field in fields(ClusterConfig)})


def described(function: Callable[..., object] | type) -> str:
    """What a docstring says before its arguments."""
    return (getdoc(function) or "").split("\nArgs:")[0]
