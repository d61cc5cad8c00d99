"""Pickles of other people, looked at before they are loaded: what their instructions would build, and how large it is.

A restricted unpickler calls nothing that a file names, but it follows the file's instructions: a tuple that holds
another twice, sixty levels deep, fits into 250 bytes, and its hash, as a key of a dict, takes 2^60 steps.
"""

from __future__ import annotations

import pickle
import pickletools
from typing import Any, BinaryIO

from crosspoint.renderers.expansion import CYCLE, expanded_sizes

MOST_HASHED = 10_000  # nodes in a tuple, which may be a key; what it lists itself comes on top
MOST_OF_ONE = 32  # nodes for each that it lists itself: a tensor stands for about 20
MOST_NODES = 10**7  # in anything else
LEGACY_PARTS = 5  # pickles at the start of a file that torch.save wrote before 1.6

_HASHED = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET", "REDUCE", "NEWOBJ", "NEWOBJ_EX", "PERSID", "BINPERSID"}
_FILLED = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
_EMPTY = {"EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET", "EMPTY_TUPLE", "LIST", "DICT"}  # what is filled later
_MARK: list[Any] = []


def check_pickle(file: BinaryIO) -> None:
    """Walk through the instructions of a pickle without following them; the file stands behind it afterwards.

    Raises:
        ValueError: if more bytes are announced than there are, or if the instructions are no pickle.
        pickle.UnpicklingError: if a memo is numbered higher than instructions so far, which no pickler does, if
            something would hold itself, or would stand for more entries than a file of this kind has.
    """
    built: list[list[Any]] = []  # what each instruction makes, as the list of what it holds
    hashed: dict[int, list[Any]] = {}  # what a hash would walk through: what it was made of, not what came in later
    stack: list[list[Any]] = []
    memo: dict[int, list[Any]] = {}
    leaf: list[Any] = []
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(file)):
            name, place = instruction.name, argument if isinstance(argument, int) else 0
            if name in ("PUT", "BINPUT", "LONG_BINPUT"):
                if place > count:
                    raise pickle.UnpicklingError(f"it asks for memo {place}")
                memo[place] = stack[-1]
            elif name == "MEMOIZE":
                memo[len(memo)] = stack[-1]
            elif name in ("GET", "BINGET", "LONG_BINGET"):
                stack.append(memo[place])
            elif name == "MARK":
                stack.append(_MARK)
            elif name == "DUP":
                stack.append(stack[-1])
            else:
                taken = _take(instruction, stack)
                if name in _FILLED and taken[0] is not leaf:
                    taken[0].extend(taken[1:])
                    stack.append(taken[0])
                elif instruction.stack_after and not taken and name not in _EMPTY:
                    stack.append(leaf)
                elif instruction.stack_after:
                    stack.append(taken)
                    built.append(taken)
                    if name in _HASHED:
                        hashed[id(taken)] = list(taken)
    except (IndexError, KeyError):
        raise pickle.UnpicklingError("its instructions are no pickle") from None
    sizes = expanded_sizes(built, lambda made: made, MOST_NODES)
    if CYCLE in sizes.values():
        raise pickle.UnpicklingError("it holds something that holds itself")
    if any(size > MOST_NODES for size in sizes.values()):
        raise pickle.UnpicklingError(f"it stands for more than {MOST_NODES:,} entries")
    walked = expanded_sizes(
        (made for made in built if id(made) in hashed), lambda made: hashed.get(id(made), []), MOST_NODES
    )
    if any(walked[place] > MOST_HASHED + MOST_OF_ONE * len(made) for place, made in hashed.items()):
        raise pickle.UnpicklingError(f"it holds a tuple that stands for more than {MOST_HASHED:,} entries")


def _take(instruction: pickletools.OpcodeInfo, stack: list[list[Any]]) -> list[list[Any]]:
    """What an instruction takes from the stack, in its order."""
    wanted = instruction.stack_before
    if pickletools.markobject in wanted or pickletools.stackslice in wanted:
        above = []
        while (last := stack.pop()) is not _MARK:
            above.append(last)
        before = len(wanted) - 1 - (pickletools.stackslice in wanted)
        # Those below the mark come first: the list that is filled.
        return [stack.pop() for _ in range(before if wanted[0] is not pickletools.markobject else 0)] + above[::-1]
    taken = [stack.pop() for _ in wanted]
    return taken[::-1]
