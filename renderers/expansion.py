"""Sizes that a nested structure has once everything shared in it is written out, found without writing it out.

A kilobyte of YAML with aliases, or of a pickle with memos, can stand for a billion entries (https://en.wikipedia.org/
wiki/Billion_laughs_attack): hashing, printing or converting it would take for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Node = TypeVar("Node")

CYCLE = -1  # in place of the size of what holds itself


def expanded_sizes(roots: Iterable[Node], children: Callable[[Node], Sequence[Node]], most: int) -> dict[int, int]:
    """How many nodes each node stands for, itself among them, where one that several name counts for each of them.

    Takes time in proportion to the nodes and the links between them.

    Args:
        roots: nodes; those below them are found.
        children: of a node.
        most: where counting ends.

    Returns:
        The size of each node by its `id`; `most + 1` for all above `most`, `CYCLE` for one that holds itself.
    """
    sizes: dict[int, int] = {}
    for root in roots:
        waiting: list[tuple[Node, bool]] = [(root, False)]
        open_nodes: set[int] = set()
        while waiting:
            node, counted = waiting.pop()
            place = id(node)
            if counted:
                below = [sizes.get(id(child), CYCLE) for child in children(node)]
                sizes[place] = CYCLE if CYCLE in below else min(1 + sum(below), most + 1)
                open_nodes.discard(place)
            elif place not in sizes and place not in open_nodes:
                open_nodes.add(place)
                waiting.append((node, True))
                waiting += [(child, False) for child in children(node) if id(child) not in sizes]
    return sizes
