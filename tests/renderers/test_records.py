"""The mechanism itself: structures, bounds, aliases, and what a refusal says."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from crosspoint.renderers.expansion import CYCLE, expanded_sizes
from crosspoint.renderers.files import read_whole, reading, regular_file, short
from crosspoint.renderers.records import as_dataclass, checked, decode_json, read_json, read_yaml
from tests.refusals import alias_bomb, refused, write


class Inner(Struct):
    count: Annotated[int, Meta(ge=1, le=9)]
    kind: Literal["a", "b"] = "a"


class Outer(Struct):
    inner: Inner
    listed: list[Inner] = []
    named: dict[str, int] = {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "found no JSON in here (Input data was truncated), expected a thing: mend it"),
        ("[]", "found [] in here, expected keys and values (a thing): mend it"),
        ("{}", "found no inner in here, expected a thing: mend it"),
        ('{"inner": {}}', "found no count at inner in here, expected a thing: mend it"),
        (
            '{"inner": {"count": 10}}',
            "found 10 at inner.count in here, expected a whole number <= 9 (a thing): mend it",
        ),
        ('{"inner": {"count": "1"}}', "found '1' at inner.count in here, expected a whole number (a thing): mend it"),
        (
            '{"inner": {"count": 1, "kind": "c"}}',
            "found 'c' at inner.kind in here, expected one of a, b (a thing): mend it",
        ),
        (
            '{"inner": {"count": 1}, "listed": [{"count": 1}, {"count": null}]}',
            "found None at listed[1].count in here, expected a whole number (a thing): mend it",
        ),
        (
            '{"inner": {"count": 1}, "named": {"x": [1]}}',
            "found a list at named[...] in here, expected a whole number (a thing): mend it",
        ),
        ("[" * 100_000, "found a list in here, expected keys and values (a thing): mend it"),
    ],
)
def test_a_refusal_says_where_and_what(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        decode_json(text, Outer, "here", "a thing", "mend it")
    assert str(caught.value) == message


def test_what_fits_is_the_record(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", b'\xef\xbb\xbf{"inner": {"count": 3}, "unknown": 1}')
    assert read_json(path, Outer, "a thing") == Outer(Inner(3))
    assert read_yaml(write(tmp_path / "a.yaml", "inner: {count: 3}"), Outer, "a thing") == Outer(Inner(3))


@dataclass(frozen=True)
class Plain:
    width: int
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"found width {self.width}, expected 1 or more")


def test_a_dataclass_takes_no_unknown_key_and_keeps_its_own_checks() -> None:
    assert as_dataclass({"width": 2}, Plain, "here", "a thing") == Plain(2, [])
    with pytest.raises(ValueError, match=r"found the unknown key depth in here.* written by a newer version"):
        as_dataclass({"width": 2, "depth": 1}, Plain, "here", "a thing")
    with pytest.raises(ValueError, match="found width 0"):
        as_dataclass({"width": 0}, Plain, "here", "a thing")


def test_anything_deep_or_large_is_told_shortly() -> None:
    nested: list[Any] = []
    for _ in range(40):
        nested = [nested, nested, nested]
    assert len(short(nested)) < 100
    with pytest.raises(ValueError) as caught:
        checked({"inner": nested}, Outer, "here", "a thing")
    assert len(str(caught.value)) < 300


BOMB = alias_bomb()
MERGED = "a0: &a0 {x: 1}\n" + "\n".join(
    f"a{level}: &a{level} {{<<: [*a{level - 1}, *a{level - 1}]}}" for level in range(1, 40)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        MERGED,
        "&a [*a]",
        "&a {x: *a}",
        "a: [",
        "\x00",
        "!!python/object/apply:os.system [ls]",
        "[" * 600,
        "? [a, b]\n: 1",
        "2026-13-45",
        "a: *b",
        "\xff\xfe",
    ],
    ids=[
        "aliases",
        "merged",
        "cycle",
        "cycle of keys",
        "cut",
        "zero",
        "tag",
        "deep",
        "list as key",
        "date",
        "no anchor",
        "bytes",
    ],
)
def test_yaml_that_is_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "a.yaml", text.encode("latin-1"))
    refused(lambda: read_yaml(path, dict[str, Any], "a thing"), "a.yaml")


def test_aliases_within_bounds_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "a: &k [1, 2]\nb: *k\nc: {<<: &m {x: 1}, y: 2}\nd: {<<: *m}")
    found = read_yaml(path, dict[str, Any], "a thing")
    assert found == {"a": [1, 2], "b": [1, 2], "c": {"x": 1, "y": 2}, "d": {"x": 1}}


def test_sizes_are_those_of_what_is_written_out() -> None:
    """Against a slow count that follows every link."""
    rng_nodes: list[list[Any]] = [[]]
    for number in range(1, 12):
        rng_nodes.append([rng_nodes[number - 1], rng_nodes[number // 2]])

    def slow(node: list[Any]) -> int:
        return 1 + sum(map(slow, node))

    sizes = expanded_sizes(rng_nodes, lambda node: node, 10**9)
    assert [sizes[id(node)] for node in rng_nodes] == [slow(node) for node in rng_nodes]
    assert expanded_sizes(rng_nodes[-1:], lambda node: node, 50)[id(rng_nodes[-1])] == 51
    circle: list[Any] = []
    circle.append([circle])
    assert expanded_sizes([circle], lambda node: node, 50)[id(circle)] == CYCLE


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("pipe", "a pipe"),
        ("folder", "a folder"),
        ("device", "a device"),
        ("loop", "cannot be opened"),
        ("dangling", "a link"),
        ("none", "no file"),
    ],
)
def test_regular_files_alone(tmp_path: Path, kind: str, message: str) -> None:
    path = tmp_path / "it"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind in ("device", "loop", "dangling"):
        path.symlink_to({"device": "/dev/zero", "loop": path, "dangling": tmp_path / "no"}[kind])
    for read in (regular_file, read_whole):
        with pytest.raises(
            (ValueError, FileNotFoundError), match=f"found {message if kind != 'loop' else '.*it that '}"
        ):
            read(path, "a thing")


def test_a_library_s_words_get_a_file_and_a_remedy() -> None:
    for error, words in (
        (OSError(22, "Invalid argument"), "Invalid argument"),
        (KeyError("x"), "it has no 'x'"),
        (RecursionError("maximum"), "nested too deeply"),
        (MemoryError(), "more memory"),
        (EOFError(), "EOFError"),
        (RuntimeError("a\nb" * 1000), "a b"),
    ):
        with pytest.raises(ValueError) as caught, reading("here", "a thing", "mend it"):
            raise error
        line = str(caught.value)
        assert line.startswith("found here that cannot be read (") and words in line
        assert line.endswith("), expected a thing: mend it") and len(line) < 300
    with pytest.raises(FileNotFoundError, match=r"^found nothing$"), reading("here", "a thing"):
        raise FileNotFoundError("found nothing")
    with pytest.raises(KeyboardInterrupt), reading("here", "a thing"):
        raise KeyboardInterrupt
