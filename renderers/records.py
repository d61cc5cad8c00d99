"""Records from JSON, YAML and pickles, held to a declared structure: what every reader of such a file goes through.

A structure is a class of fields with types (a `msgspec.Struct`, a dataclass, `dict[str, int]`, …), with bounds where a
number is believed later: `Annotated[int, msgspec.Meta(ge=1, le=1000)]`. msgspec (https://jcristharif.com/msgspec)
checks while it decodes, and names the place; here its words become one sentence, and what comes before decoding is
bounded: bytes, depth, and what YAML's aliases stand for.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import msgspec
import yaml

from crosspoint.renderers.expansion import CYCLE, expanded_sizes
from crosspoint.renderers.files import cut, read_whole, reading, short

Kind = TypeVar("Kind")

MOST_JSON = 2**26  # bytes of a file that is decoded at once
MOST_YAML = 2**19  # PyYAML takes a minute for one MB
MOST_NODES = 200_000  # that the aliases of a YAML file may stand for

Count = Annotated[int, msgspec.Meta(ge=1, le=10**6)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]

_WORDS = {
    "object": "keys and values", "array": "a list", "str": "text", "int": "a whole number", "float": "a number",
    "bool": "true or false", "null": "nothing",
}  # fmt: skip
_UNKNOWN = object()
_STEPS = re.compile(r"\.([^.\[\]]+)|\[([^\]]*)\]")  # of a place such as $.samples[3].key


def read_json(
    path: Path, kind: type[Kind], expected: str, remedy: str = "make it again", most: int = MOST_JSON
) -> Kind:
    """The record in a JSON file.

    Args:
        path: the file.
        kind: the structure.
        expected: what the file should be, for messages.
        remedy: what to do if it is not.
        most: bytes that it may have.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no regular file, no JSON, or of another structure: with the place.
    """
    return decode_json(read_whole(path, expected, remedy, most), kind, path, expected, remedy)


def decode_json(
    content: bytes | str, kind: type[Kind], where: object, expected: str, remedy: str = "make it again"
) -> Kind:
    """The record in a text of JSON; `where` names the text, other arguments as those of `read_json`.

    Raises:
        ValueError: if it is no JSON or of another structure.
    """
    content = content.encode() if isinstance(content, str) else content.removeprefix(b"\xef\xbb\xbf")
    decoder = _decoder(kind)  # type: ignore[arg-type]
    with reading(where, expected, remedy):
        try:
            return decoder.decode(content)
        except msgspec.ValidationError as error:
            raise _refusal(error, _decoded(content), kind, where, expected, remedy) from None
        except msgspec.DecodeError as error:
            raise ValueError(f"found no JSON in {where} ({error}), expected {expected}: {remedy}") from None


def read_yaml(path: Path, kind: type[Kind], expected: str, remedy: str = "mend it") -> Kind:
    """The record in a YAML file; arguments and errors as those of `read_json`.

    Tags that name a class are refused, as are aliases that stand for more than `MOST_NODES` nodes.
    """
    content = read_whole(path, expected, remedy, MOST_YAML)
    with reading(path, expected, remedy):
        try:
            loader = yaml.SafeLoader(content)
            node = loader.get_single_node()
            if node is not None:
                _check_aliases(node, path, expected)
            tree = None if node is None else loader.construct_document(node)
        except yaml.YAMLError as error:
            raise ValueError(f"found no YAML in {path} ({cut(error, 200)}), expected {expected}: {remedy}") from None
    return checked(tree, kind, path, expected, remedy)


def checked(content: object, kind: type[Kind], where: object, expected: str, remedy: str = "make it again") -> Kind:
    """Plain containers, of a pickle or of YAML, as a record; arguments and errors as those of `decode_json`."""
    _decoder(kind)  # type: ignore[arg-type]
    with reading(where, expected, remedy):
        try:
            return msgspec.convert(content, kind)
        except msgspec.ValidationError as error:
            raise _refusal(error, content, kind, where, expected, remedy) from None


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Made outside of the blocks that blame a file, so that a wrong structure is told as what it is."""
    return msgspec.json.Decoder(kind)


@cache
def strict(kind: type) -> type:
    """The structure of a dataclass as its own record: an unknown key is an error, and defaults may be left out."""
    hints = get_type_hints(kind, include_extras=True)
    entries: list[Any] = []
    for each in fields(kind):
        if each.default_factory is not MISSING:
            entries.append((each.name, hints[each.name], msgspec.field(default_factory=each.default_factory)))
        elif each.default is not MISSING:
            entries.append((each.name, hints[each.name], each.default))
        else:
            entries.append((each.name, hints[each.name]))
    return msgspec.defstruct(kind.__name__, entries, forbid_unknown_fields=True, kw_only=True)


def as_dataclass(
    content: object, kind: type[Kind], where: object, expected: str, remedy: str = "make it again"
) -> Kind:
    """Plain containers as a dataclass, without unknown keys; arguments and errors as those of `decode_json`."""
    record: Any = checked(content, strict(kind), where, expected, remedy)  # type: ignore[arg-type]
    try:
        with reading(where, expected, remedy):
            return kind(**{each.name: getattr(record, each.name) for each in fields(kind)})  # type: ignore[arg-type]
    except ValueError as error:  # what the dataclass itself checks
        raise error if str(where) in str(error) else ValueError(f"{where}: {error}") from None


def _check_aliases(root: yaml.Node, path: Path, expected: str) -> None:
    def children(node: yaml.Node) -> list[yaml.Node]:
        if isinstance(node, yaml.MappingNode):
            return [each for pair in node.value for each in pair]
        return node.value if isinstance(node, yaml.SequenceNode) else []

    size = expanded_sizes([root], children, MOST_NODES)[id(root)]
    if size == CYCLE:
        raise ValueError(f"found an alias in {path} that holds itself, expected {expected}: write it out")
    if size > MOST_NODES:
        raise ValueError(
            f"found more than {MOST_NODES:,} entries in {path}, with those that its aliases stand for, expected "
            f"{expected}: write it out"
        )


def _decoded(content: bytes) -> object:
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError, MemoryError):
        return _UNKNOWN


def _refusal(
    error: msgspec.ValidationError, content: object, kind: object, where: object, expected: str, remedy: str
) -> ValueError:
    """What msgspec says of a record, as one sentence with what was found."""
    said, _, place = str(error).partition(" - at `")
    key, place = place.startswith("key` in `"), place.rstrip("`").removeprefix("key` in `")
    at = place.removeprefix("$").removeprefix(".")
    at = f" at {at}" if at else ""
    if said.startswith("found "):  # a check of the structure's own
        return ValueError(f"{where}{at and ','}{at}: {said}")
    field = re.fullmatch(r"Object (missing required|contains unknown) field `(.*)`", said)
    if field and field[1] == "missing required":
        return ValueError(f"found no {field[2]}{at} in {where}, expected {expected}: {remedy}")
    if field:
        return ValueError(
            f"found the unknown key {field[2]}{at} in {where}, expected {expected}: it was written by a newer version, "
            "install that, or the key is misspelled"
        )
    wanted, _, got = said.removeprefix("Expected ").partition(", got ")
    value = _UNKNOWN if key else _at(content, place)
    found = (
        short(value) if value is not _UNKNOWN else "a key of another kind" if key else _plain(got) or "another value"
    )
    if said.startswith("Invalid "):
        choices = _choices(kind, place)
        wanted = f"one of {choices}" if choices else "a value that this version knows"
    elif not said.startswith("Expected "):
        wanted = f"another value ({_plain(said)})"
    return ValueError(f"found {found}{at} in {where}, expected {_plain(wanted)} ({expected}): {remedy}")


def _plain(said: str) -> str:
    """msgspec's names of types in plain words."""
    return re.sub(
        "`([^`]*)`", lambda found: " or ".join(_WORDS.get(word, word) for word in found[1].split(" | ")), said
    )


def _choices(kind: object, place: str) -> str:
    """The values that a structure allows at a place; none where it does not list them."""
    known = msgspec.inspect.type_info(kind)
    for name, _ in _STEPS.findall(place.removeprefix("$")):
        if name and isinstance(known, msgspec.inspect.StructType | msgspec.inspect.DataclassType):
            known = next((field.type for field in known.fields if field.encode_name == name), known)
        else:
            known = getattr(known, "item_type", getattr(known, "value_type", known))
    options = [known, *getattr(known, "types", ())]
    values = [str(value) for option in options for value in getattr(option, "values", ())]
    return ", ".join(values)


def _at(content: object, place: str) -> Any:
    """The value at a place such as `$.samples[3].key`; `_UNKNOWN` where the place does not say which."""
    for name, number in _STEPS.findall(place.removeprefix("$")):
        try:
            if name:
                content = content[name]  # type: ignore[index]
            elif number.isdigit():
                content = content[int(number)]  # type: ignore[index]
            else:
                return _UNKNOWN
        except (LookupError, TypeError):
            return _UNKNOWN
    return content
