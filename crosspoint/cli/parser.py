"""How the command line reads, helps and fails: flags that are YAML keys, help on one screen, errors on one line."""

from __future__ import annotations

import argparse
import difflib
import logging
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it

UNKNOWN_KEY = re.compile(r"unrecognized arguments: (?:-+)?(?P<flag>[\w.\-]+)|does not accept option '(?P<key>[^']+)'")

WRONG_VALUE = re.compile(r'Parser key "(?P<key>[^"]+)": Expected an? (?P<type>.+)\. Got value: (?P<value>.*)$')
WRONG_UNION = re.compile(
    r'Parser key "(?P<key>[^"]+)": Does not validate .* Subtypes: \[(?P<types>.+?)\] Errors: .* '
    r"Given value: (?P<value>.*)$"
)
MISSING = re.compile(r"arguments are required: (?P<names>[^()]+)$")


class Parser(ArgumentParser):
    """jsonargparse's parser: unknown keys name the nearest, abbreviations are unknown, help is one line an option."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"exit_on_error": False, "allow_abbrev": False, **kwargs})

    def format_help(self, formatter: Any = None) -> str:
        """Usage, what it does, then every argument on a line or two."""
        rows = [row for action in self._actions if (row := _help_row(action)) is not None]
        width = shutil.get_terminal_size((100, 24)).columns
        column = min(34, max((len(name) for name, _ in rows), default=0) + 2)
        positionals = " ".join(_positional_name(a) for a in self._actions if _is_positional(a))
        command = f"{self.prog} {positionals}".replace("[options] ", "").rstrip()
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


def dataset_named(arguments: Sequence[str]) -> str | None:
    """The value of data.dataset in the flags, or else in the YAML file of --config; None where neither has it."""
    found, given = {}, [*arguments, ""]
    for flag, following in pairwise(given):
        name, equals, value = flag.partition("=")
        if name in ("--data.dataset", "--config"):
            found[name] = value if equals else following
    if "--data.dataset" in found:
        return found["--data.dataset"]
    try:
        return str(yaml.safe_load(Path(found["--config"]).read_text())["data"]["dataset"])
    except (KeyError, TypeError, OSError, ValueError, yaml.YAMLError):
        return None  # the parser says what is wrong with the file


def run(parser: Parser, dispatch: Callable[[Any], int], arguments: Sequence[str]) -> int:
    """Parse, dispatch, and turn bad input into one line on standard error and exit code 2; `--debug` shows where."""
    arguments = list(arguments)
    debug = "--debug" in arguments
    if debug:
        arguments.remove("--debug")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return dispatch(parser.parse_args(_repeated(parser, arguments)))
    except (argparse.ArgumentError, ValueError, OSError, ImportError) as error:
        if debug:
            raise
        sys.stderr.write(f"crosspoint: error: {_one_line(error, parser, arguments)}\n")
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        sys.stderr.write("crosspoint: interrupted; what was finished is kept\n")
        return EXIT_INTERRUPTED


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


def _one_line(error: Exception, parser: Parser, arguments: Sequence[str]) -> str:
    message = " ".join(str(error).split())
    unknown = UNKNOWN_KEY.search(message)
    if isinstance(error, argparse.ArgumentError) and unknown:
        key = unknown["flag"] or unknown["key"]
        known = list(_keys(_command_parser(parser, arguments)))
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else "see --help for those it has"
        return f"found the unknown key {key!r}, expected one of this command's: {hint}"
    wrong = WRONG_VALUE.search(message)
    if isinstance(error, argparse.ArgumentError) and wrong:
        return f"found {wrong['value']} for {wrong['key']}, expected {_type_name(wrong['type'])}"
    union = WRONG_UNION.search(message)
    if isinstance(error, argparse.ArgumentError) and union:
        kinds = " or ".join(_type_name(kind.strip()) for kind in re.split(r", (?![^\[]*\])", union["types"]))
        return f"found {union['value']} for {union['key']}, expected {kinds}"
    missing = MISSING.search(message)
    if isinstance(error, argparse.ArgumentError) and missing:
        names = ", ".join(name.split(".")[-1] for name in missing["names"].split(", "))
        return f"found no {names}, expected all that the command requires: see --help"
    return message


def _type_name(name: str) -> str:
    """A type as jsonargparse writes it, in the words of a user."""
    name = name.replace("<class '", "").replace("'>", "").replace("typing.", "")
    literal = re.fullmatch(r"Literal\[(.+)\]", name)
    if literal:
        return "one of " + literal[1].replace("'", "")
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


def _is_positional(action: argparse.Action) -> bool:
    return not action.option_strings and not isinstance(action, argparse._SubParsersAction)


def _positional_name(action: argparse.Action) -> str:
    return action.metavar if isinstance(action.metavar, str) else action.dest.upper()


def _help_row(action: argparse.Action) -> tuple[str, str] | None:
    """An argument's name and its help; None for what needs no line."""
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
    default = action.default
    if action.option_strings and default not in (None, argparse.SUPPRESS) and action.dest not in ("help", "version"):
        text = f"{text} [{_plain_default(default)}]".strip()
    return name, text


def _plain_default(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list | tuple):
        return "[" + ", ".join(map(str, default)) + "]"
    return str(default)
