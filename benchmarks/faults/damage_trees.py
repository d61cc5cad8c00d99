"""Damage to trees of JSON and YAML: values of another type, out of all range, missing, nested without end; bombs."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import yaml

from benchmarks.faults.damage import Expect

DEEP = 100_000
VALUES: list[Any] = [
    None,
    "word",
    "",
    [],
    {},
    True,
    [[]],
    float("nan"),
    float("inf"),
    1e300,
    -1e300,
    10**12,
    -(10**12),
    2**64,
    {"a": 1},
    ["a", None],
    "../../escape",
    "\0",
    "{deep}",
]


def of_tree(path: Path, random: Random) -> tuple[str, Expect, Callable[[], None]]:
    """One random change of a value of a JSON, JSON lines or YAML file; any where it stays of its type."""
    suffix = path.suffix
    if suffix == ".yaml":
        tree = yaml.safe_load(path.read_text())
    elif suffix == ".jsonl":
        tree = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        tree = json.loads(path.read_text())
    tree = deepcopy(tree)
    places = list(_places(tree))
    if not places:
        return "replaced", "same", lambda: _save(path, "word")
    holder, key = random.choice(places)
    old, kind = holder[key], random.choice(["value", "value", "value", "value", "drop", "twice", "negative"])
    expect: Expect = "same"
    name = f"{kind} of {key!r}"
    if kind == "drop":
        del holder[key]
        expect = "any"
    elif kind == "twice" and isinstance(old, list):
        holder[key] = [*old, *old]
    elif kind == "negative" and isinstance(old, int | float) and not isinstance(old, bool):
        holder[key] = -1 - old
        expect = "any"
    else:
        value = random.choice(VALUES)
        holder[key], name = value, f"{key!r} = {str(value)[:20]}"
        if isinstance(value, str) and isinstance(old, str) and "escape" not in value:
            expect = "any"  # another name
        elif value is None or (isinstance(old, bool) and isinstance(value, bool)):
            expect = "any"  # as if it were left out
        elif isinstance(old, int | float) and isinstance(value, int | float) and abs(value) < 1e299:
            expect = "any"
        elif type(old) is type(value) and value in ([], {}):
            expect = "any"
    return name, expect, lambda: _save(path, tree)


def _places(tree: Any) -> Any:
    """Every holder and key."""
    pairs = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in pairs:
        yield tree, key
        yield from _places(value)


def _save(path: Path, tree: Any) -> None:
    if path.suffix == ".yaml":
        written = yaml.safe_dump(tree, allow_unicode=True)
    elif path.suffix == ".jsonl" and isinstance(tree, list):
        written = "".join(json.dumps(row) + "\n" for row in tree)
    else:
        written = json.dumps(tree)
    path.write_text(written.replace('"{deep}"', "[" * DEEP + "]" * DEEP).replace("'{deep}'", "[" * DEEP + "]" * DEEP))


def deep_json(key: str = "") -> str:
    """A list in a list, without end, alone or below a key."""
    nested = "[" * DEEP + "]" * DEEP
    return f'{{"{key}": {nested}}}' if key else nested


def alias_bomb(key: str, levels: int = 9) -> str:
    """A YAML document of a kilobyte whose aliases stand for 10⁹ entries (a "billion laughs"), below a key."""
    lines = ['a0: &a0 ["lol"]']
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels + 1)]
    return "\n".join([*lines, f"{key}: *a{levels}", ""])


def yaml_code(key: str, kind: str = "object/apply") -> str:
    """A YAML document whose tag would write a canary where it is followed."""
    if kind == "object/new":
        return f'{key}: !!python/object/new:os.system ["touch {{case}}/canary"]\n'
    return f'{key}: !!python/object/apply:os.system ["touch {{case}}/canary"]\n'
