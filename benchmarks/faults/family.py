"""A family of cases: a valid input, the command that reads it, the files that are damaged, and damage made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.faults.damage import SUFFIXES_OF_TEXT, Damage, of_bytes, of_words
from benchmarks.faults.damage_archives import of_hdf5, of_npz, of_safetensors, of_shard
from benchmarks.faults.damage_trees import of_tree

TREES = {".json", ".jsonl", ".yaml", ".gltf"}
ARCHIVES = {".h5": of_hdf5, ".npz": of_npz, ".safetensors": of_safetensors, ".tar": of_shard}


@dataclass(frozen=True)
class Family:
    """Cases of one kind.

    Args:
        group: row of the table.
        name: of the family.
        make: writes the valid input into a folder `in` that is there.
        words: what is typed after `crosspoint`, relative to the folder of the case; output goes to `out`.
        damaged: globs of the files that are damaged at random, relative to the folder of the case.
        crafted: damage made by hand.
        begun: what is typed before, to leave begun or finished work in `out`; empty where `out` is new.
        until: a file of `out` at whose appearance that first command is killed; empty to let it end.
    """

    group: str
    name: str
    make: Callable[[Path], None]
    words: str
    damaged: tuple[str, ...]
    crafted: tuple[Damage, ...] = ()
    begun: str = ""
    until: str = ""

    def draw(self, folder: Path, random: Random) -> Damage:
        """Damage drawn at random for the valid input that lies in a folder."""
        paths = sorted({path for glob in self.damaged for path in folder.glob(glob) if path.is_file()})
        if not paths:  # of flags alone
            return random.choice(self.crafted)
        path = random.choice(paths)
        ways = [of_bytes]
        if path.suffix in TREES and path.stat().st_size < 2**20:
            ways += [of_tree, of_tree, of_tree]
        elif path.suffix in SUFFIXES_OF_TEXT:
            ways += [of_words, of_words]
        elif path.suffix in ARCHIVES:
            ways += [ARCHIVES[path.suffix]] * 3
        what, expect, change = random.choice(ways)(path, random)
        return Damage(f"{path.relative_to(folder)}: {what}", expect, lambda _: change())
