"""Malformed input: cases by a seed, each run by the real command in a forked process, and judged."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any

from benchmarks.faults.compare import contents, drafts
from benchmarks.faults.damage import Damage
from benchmarks.faults.families_begun import BEGUN
from benchmarks.faults.families_checkpoints import CHECKPOINTS
from benchmarks.faults.families_clouds import CLOUDS, FOLDS, PARTS
from benchmarks.faults.families_configs import CONFIGS
from benchmarks.faults.families_flags import FLAGS
from benchmarks.faults.families_meshes import MESHES
from benchmarks.faults.families_public import PUBLIC
from benchmarks.faults.families_scenes import ANSWERS, FOLDER, MAPS, SEMSEG
from benchmarks.faults.families_sets import SETS
from benchmarks.faults.family import Family
from benchmarks.faults.forked import Forked, Main, address_limit, calling, command
from benchmarks.faults.judge import MOST_MEMORY, MOST_SECONDS, VERDICTS, Verdict, snapshot, verdict

# A case's number modulo their number is its family, so those that stand twice get twice as many.
FAMILIES = [
    *MESHES,
    SETS,
    CONFIGS,
    *CHECKPOINTS,
    FLAGS[0],
    *CLOUDS,
    FOLDER,
    PARTS,
    SETS,
    FLAGS[1],
    FOLDS,
    MAPS,
    *BEGUN,
    FLAGS[2],
    ANSWERS,
    SEMSEG,
    *PUBLIC,
    CONFIGS,
    FLAGS[3],
    FOLDER,
    FLAGS[4],
    CHECKPOINTS[0],
    FLAGS[0],
    BEGUN[1],
]


@dataclass(frozen=True)
class Case:
    """One case.

    Args:
        number: by which it is had again.
        family: what is damaged.
        damage: how.
        words: what is typed after `crosspoint`.
    """

    number: int
    family: Family
    damage: Damage
    words: list[str]


class Workshop:
    """Folders in which cases run: valid inputs are made once, each case gets a copy at one and the same place.

    Args:
        root: new folder.
        seed: of all draws.
        main: the command; another one shows that the harness sees its faults.
    """

    def __init__(self, root: Path, seed: int = 0, main: Main = command) -> None:
        self.root, self.seed, self.main = root.resolve(), seed, main
        self.case, self.elsewhere = self.root / "case", self.root / "elsewhere"
        self.elsewhere.mkdir(parents=True)
        self._right: dict[str, tuple[dict[str, str], str]] = {}

    def prepare(self, family: Family) -> None:
        """Write the valid input of a family, once, and see what the command makes of it.

        Raises:
            RuntimeError: if the command refuses it.
        """
        if family.name in self._right:
            return
        self._fresh(None)
        (self.case / "in").mkdir()
        made = Forked([], self.case, calling(family.make, self.case / "in"), log="make").wait()
        if made.code != 0:
            raise RuntimeError(f"found no valid input of {family.name}: {made.error}")
        if family.begun:
            self._begin(family)
        shutil.rmtree(self.case / "tmp")
        shutil.copytree(self.case, self.root / "valid" / family.name, symlinks=True)
        ended = Forked(family.words.split(), self.case, self.main, limits=address_limit()).wait(MOST_SECONDS)
        if ended.code != 0:
            raise RuntimeError(f"found the valid input of {family.name} refused: {ended.error}")
        self._right[family.name] = contents(self.case / "out"), ended.error

    def _begin(self, family: Family) -> None:
        """Begun work: the command is killed as soon as a file of it is there."""
        begun = Forked(family.begun.split(), self.case, self.main, log="begun")
        end = monotonic() + MOST_SECONDS
        while family.until and monotonic() < end and not (self.case / "out" / family.until).exists():
            sleep(0.002)
        if family.until:
            begun.kill()
        begun.wait(MOST_SECONDS)
        begun.kill_family()
        for name in drafts(self.case / "out"):
            if family.until and len(name.split("/")[-1]) > 30:  # a draft of the killed process; hidden state is kept
                (self.case / "out" / name).unlink()

    def plan(self, number: int) -> Case:
        """The case of a number; its input is prepared, and lies at its place undamaged."""
        family, turn = FAMILIES[number % len(FAMILIES)], number // len(FAMILIES)
        random = Random(f"{self.seed}/{number}")
        self.prepare(family)
        self._fresh(family)
        same = [place for place, other in enumerate(FAMILIES) if other is family]
        turn = turn * len(same) + same.index(number % len(FAMILIES))
        crafted = Random(f"{self.seed}/{family.name}").sample(family.crafted, len(family.crafted))
        hand = turn if not family.damaged else turn // 2 if turn % 2 == 0 else len(crafted)
        damage = crafted[hand] if hand < len(crafted) else family.draw(self.case, random)
        return Case(number, family, damage, [*family.words.split(), *damage.flags])

    def run(self, case: Case) -> Verdict:
        """Damage the input of a planned case, run its command, and judge."""
        damage, (right, said) = case.damage, self._right[case.family.name]
        if damage.change is not None:
            damage.change(self.case)
        before = snapshot(self.case, self.elsewhere)
        ended = Forked(case.words, self.case, self.main, limits=address_limit()).wait(MOST_SECONDS, 2 * MOST_MEMORY)
        after = snapshot(self.case, self.elsewhere)
        changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        name = damage.name.split(":")[0].split("/")[-1]
        return verdict(ended, self.case, changed, damage.expect, right, said, name if "." in name else "")

    def _fresh(self, family: Family | None) -> None:
        for old in (self.case, *self.elsewhere.iterdir()):
            shutil.rmtree(old, ignore_errors=True)
        if family is None:
            self.case.mkdir(parents=True)
        else:
            shutil.copytree(self.root / "valid" / family.name, self.case, symlinks=True)


def numbers(count: int, names: Sequence[str] | None = None) -> list[int]:
    """The first cases, of all families or of those that are named; a case has its number whatever is left out.

    Raises:
        ValueError: if there is no such family.
    """
    unknown = {*(names or ())} - {family.name for family in FAMILIES}
    if unknown:
        raise ValueError(f"found the family {unknown.pop()}, expected some of: {', '.join(f.name for f in FAMILIES)}")
    fitting = (number for number in itertools.count() if not names or FAMILIES[number % len(FAMILIES)].name in names)
    return list(itertools.islice(fitting, count))


def run_cases(root: Path, chosen: Sequence[int], seed: int = 0, main: Main = command) -> Iterator[tuple[Case, Verdict]]:
    """Every case of some numbers with its verdict."""
    workshop = Workshop(root, seed, main)
    for number in chosen:
        case = workshop.plan(number)
        yield case, workshop.run(case)


def rows(found: list[tuple[Case, Verdict]]) -> list[dict[str, Any]]:
    """How many cases of each group ended how."""
    groups: dict[str, Counter[str]] = {}
    for case, judged in found:
        groups.setdefault(case.family.group, Counter())[judged.kind] += 1
    table = [
        {"family": name, "cases": counts.total(), **{kind: counts[kind] for kind in VERDICTS}}
        for name, counts in groups.items()
    ]
    total = {key: sum(row[key] for row in table) for key in ("cases", *VERDICTS)}
    return [*table, {"family": "all", **total}]
