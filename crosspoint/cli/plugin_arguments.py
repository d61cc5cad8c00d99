"""Sections of a command that a plug-in fills: a class by name, and flags and YAML keys that are its constructor's."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from jsonargparse import Namespace

from crosspoint.cli.parser import Parser, help_row, one_line
from crosspoint.plugins import Kind, import_plugin, plain
from crosspoint.renderers.files import cut
from crosspoint.renderers.json_object import JsonObject


@dataclass(frozen=True)
class Section:
    """A place in a configuration that names a class and holds its arguments.

    Args:
        key: of the section, such as "method" or "data.dataset".
        kind: of plug-in; None where the class is always `base`.
        base: the class that a plug-in extends.
        skip: arguments of the constructor that the command gives itself.
    """

    key: str
    kind: Kind | None
    base: type
    skip: frozenset[str] = frozenset()

    def parse(
        self, given: Any, flags: Sequence[tuple[str, str]], default: str | None, *, whole: bool = True
    ) -> Chosen | None:
        """Choose a class and read its arguments.

        Args:
            given: what YAML holds: nothing, a name, or `{"class_path": …, "init_args": …}`.
            flags: key below the section ("" for the section itself) and value, as typed.
            default: the class where neither names one; None leaves the section empty then, unless it has arguments.
            whole: whether arguments that the class requires must be there.

        Raises:
            ValueError: if there is no such class, or it does not take these arguments.
        """
        name, arguments = self._named(given)
        words: list[str] = []
        for key, value in flags:
            key = key.removeprefix("init_args.")
            if key in ("", "class_path"):
                if name is not None and value != name:
                    arguments = {}  # of another class
                name = value
            else:
                words += [f"--{key}={value}"]
        if self.kind is None:
            if not arguments and not words:
                return None
            made = self.base
        else:
            name = name or default
            if name is None or name == "null":
                if words or arguments:
                    raise ValueError(f"found arguments of {self.key} without a class, expected --{self.key} NAME first")
                return None
            made = import_plugin(self.kind, name, self.base)
        parser = self.parser_of(made)
        required = [action for action in parser._actions if action.required]
        for action in required:  # what YAML does not hold, a flag may bring
            action.required = False
        try:
            settings = parser.parse_object(arguments, defaults=not words)
            if words:
                # What is a class or None, merged with a second reading, would be neither: it is read as a flag.
                rest, classes = _apart(arguments, {action.dest for action in parser._actions})
                settings = parser.parse_args([*classes, *words], namespace=parser.parse_object(rest, defaults=False))
        except argparse.ArgumentError as error:
            raise ValueError(one_line(error, parser, prefix=f"{self.key}.", owner=made.__name__)) from error
        missing = [f"{self.key}.{action.dest}" for action in required if settings.get(action.dest) is None]
        if missing and whole:
            raise ValueError(f"found no {', '.join(missing)}, expected all that {made.__name__} requires: give it")
        return Chosen(self, made, parser, settings, frozenset(action.dest for action in required))

    def parser_of(self, made: type) -> Parser:
        """The parser of the arguments of a class."""
        parser = Parser(add_help=False)
        parser.add_class_arguments(made, skip={*self.skip})
        return parser

    def _named(self, given: Any) -> tuple[str | None, JsonObject]:
        if given is None:
            return None, {}
        if isinstance(given, str) and self.kind is not None:
            return given, {}
        if isinstance(given, Mapping) and self.kind is None:
            return None, dict(given)
        if not isinstance(given, Mapping) or not given.keys() <= {"class_path", "init_args"}:
            raise ValueError(
                f"found {given!r} for {self.key}, expected a name, or the keys class_path and init_args: "
                f"{self.key}: {{class_path: NAME, init_args: {{…}}}}"
            )
        arguments = {} if given.get("init_args") is None else given["init_args"]
        if not isinstance(arguments, Mapping):
            raise ValueError(
                f"found {cut(arguments)} for {self.key}.init_args, expected the arguments as keys and values"
            )
        return given.get("class_path"), dict(arguments)


def _apart(arguments: Mapping[str, Any], known: Set[str], above: str = "") -> tuple[JsonObject, list[str]]:
    """Arguments without those that are mappings by themselves, and these as flags; `known` are the parser's keys."""
    rest: JsonObject = {}
    flags: list[str] = []
    for name, value in arguments.items():
        key = f"{above}{name}"
        if not isinstance(value, Mapping):
            rest[name] = value
        elif key in known:
            flags.append(f"--{key}={json.dumps(plain(value))}")
        else:
            below, further = _apart(value, known, f"{key}.")
            rest |= {name: below} if below else {}
            flags += further
    return rest, flags


@dataclass(frozen=True)
class Chosen:
    """A class with the arguments that were read for it."""

    section: Section
    made: type
    parser: Parser
    settings: Namespace
    needed: frozenset[str] = frozenset()  # arguments that it requires

    @property
    def arguments(self) -> JsonObject:
        """The arguments as YAML and JSON hold them."""
        tree: JsonObject = plain(self.settings.as_dict())
        return tree

    def describe(self) -> JsonObject:
        """As YAML holds the section."""
        if self.section.kind is None:
            return self.arguments
        return {"class_path": f"{self.made.__module__}.{self.made.__qualname__}", "init_args": self.arguments}

    def build(self, **given: Any) -> Any:
        """The object; `given` are the arguments that the section skips."""
        return self.made(**given, **vars(self.parser.instantiate(self.settings)))

    def help_rows(self) -> list[tuple[str, str]]:
        """A row for the class, and one for each of its arguments."""
        rows = [(f"--{self.section.key}", f"{self._headline()} [{self.made.__name__}]")]
        for action in self.parser._actions:
            row = help_row(action, action.dest in self.needed)
            if row is not None:
                rows.append((row[0].replace("--", f"--{self.section.key}.", 1), row[1]))
        return rows

    def _headline(self) -> str:
        return (self.made.__doc__ or "").strip().split("\n")[0].rstrip(".")


def split_flags(
    arguments: Sequence[str], sections: Sequence[Section]
) -> tuple[list[str], dict[str, list[tuple[str, str]]]]:
    """Take the flags of sections out of what was typed: `--method slidr --method.temperature 0.1`.

    Returns:
        What is left, and for each section its flags: the key below it, and the value.

    Raises:
        ValueError: if a flag has no value.
    """
    left: list[str] = []
    found: dict[str, list[tuple[str, str]]] = {section.key: [] for section in sections}
    keys = sorted(found, key=len, reverse=True)
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        name = flag.removeprefix("--")
        key = next((key for key in keys if flag.startswith("--") and (name == key or name.startswith(f"{key}."))), None)
        if key is None:
            left.append(word)
            continue
        if not equals:
            following = next(words, None)
            if following is None:
                raise ValueError(f"found no value after {flag}, expected one")
            value = following
        found[key].append((name.removeprefix(key).removeprefix("."), value))
    return left, found
