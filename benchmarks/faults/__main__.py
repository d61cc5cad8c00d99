"""Count what becomes of killed processes, full disks, second writers, dead workers and malformed input.

    python -m benchmarks faults [--quick] [--only fuzz] [--cases 500] [--seed 0]
    python -m benchmarks faults --case 123

The commands are the real ones, in forked processes whose imports are done. Without --quick it takes an hour on two
cores, and writes the tables of docs/reliability.md anew. Linux only; as root it mounts small tmpfs for full disks.
`make bench` leaves it out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.faults.forked import import_everything
from benchmarks.measure import machine, options

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
Rows = list[dict[str, Any]]

KILLS = {  # how often
    "render, 1 job": 3,
    "render, 2 jobs": 3,
    "pretrain, objects": 5,
    "pretrain, objects, 1 loader": 2,
    "pretrain, scenes": 4,
    "evaluate finetune": 4,
    "evaluate all": 2,
    "synthesize, 1 job": 2,
    "synthesize, 2 jobs": 2,
    "label": 3,
}
SIGNALED = {"render, 2 jobs": 1, "pretrain, scenes": 1, "evaluate finetune": 1, "label": 1}
LIMITED = ["render, 1 job", "pretrain, scenes", "evaluate finetune", "label"]
WRITING = ["render, 1 job", "pretrain, objects", "pretrain, scenes", "evaluate finetune", "label"]
WORKING = ["render, 2 jobs", "synthesize, 2 jobs", "pretrain, objects, 1 loader"]
QUICK = ["render, 1 job", "evaluate finetune", "label"]
QUICK_CASES, CASES = 40, 500


def main() -> None:
    parser = options(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seed", type=int, default=0, help="of every draw: moments, and damage to files")
    parser.add_argument(
        "--cases", type=int, default=None, help=f"malformed inputs (default {CASES}, quick {QUICK_CASES})"
    )
    parser.add_argument("--case", type=int, default=None, help="run one malformed input alone, and keep its folder")
    parser.add_argument("--families", nargs="+", default=None, help="malformed inputs of some families alone")
    parser.add_argument("--kills", nargs="+", default=None, help="kill some commands alone, once each")
    parser.add_argument("--at_most", type=int, default=10, help="kills of one command")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="some of the parts")
    args = parser.parse_args()
    import_everything()
    if args.case is not None:
        one_case(args.case, args.seed)
        return
    path = args.out / "faults.json"
    record: dict[str, Any] = json.loads(path.read_text()) if path.is_file() and len(args.only) < len(PARTS) else {}
    record |= {"benchmark": "faults", "quick": args.quick, "seed": args.seed, "machine": machine(args.device)}
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        for name in args.only:
            began = time.monotonic()
            record[name] = PARTS[name](Path(folder) / name, args)
            print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
            path.write_text(json.dumps(record, indent=1) + "\n")
    if not args.quick:
        from benchmarks.faults.page import write_page

        write_page(record, PAGE)


def one_case(number: int, seed: int) -> None:
    """Run one malformed input in a folder that stays, and say all that there is to say."""
    from benchmarks.faults.fuzz import Workshop

    root = Path(tempfile.mkdtemp(prefix=f"fault-{number}-"))
    workshop = Workshop(root / "work", seed)
    case = workshop.plan(number)
    shutil.copytree(workshop.case, root / "undamaged", symlinks=True)
    print(f"case {number}, {case.family.name}: {case.damage.name}; expected: {case.damage.expect}")
    print(f"cd {workshop.case} && crosspoint {' '.join(case.words)}")
    found = workshop.run(case)
    print(f"{found.kind}: {found.note}")
    print((workshop.case / "run.stderr").read_text(errors="replace")[:5000])


def _kills(root: Path, args: argparse.Namespace) -> Rows:
    from benchmarks.faults.kills import kills

    counts = dict.fromkeys(args.kills or QUICK, 1 if args.kills else 2)
    whole = {name: min(count, args.at_most) for name, count in KILLS.items()}
    return kills(root, counts if args.quick or args.kills else whole, args.seed)


def _signals(root: Path, args: argparse.Namespace) -> Rows:
    from benchmarks.faults.kills import kills

    counts = dict.fromkeys(QUICK[1:], 1) if args.quick else SIGNALED
    return [
        row
        for number in (signal.SIGTERM, signal.SIGINT)
        for row in kills(root / number.name, counts, args.seed, number)
    ]


def _imports(root: Path, args: argparse.Namespace) -> Rows:
    from benchmarks.faults.kills import while_importing

    return while_importing(root, count=2 if args.quick else 8, seed=args.seed)


def _limits(root: Path, args: argparse.Namespace) -> Rows:
    from benchmarks.faults.limits import limits

    return limits(root, QUICK[::2] if args.quick else LIMITED)


def _writers(root: Path, args: argparse.Namespace) -> Rows:
    from benchmarks.faults.writers import writers

    return writers(root, QUICK[1:] if args.quick else WRITING)


def _workers(root: Path, args: argparse.Namespace) -> Rows:
    from benchmarks.faults.writers import dead_workers

    return dead_workers(root, WORKING[:1] if args.quick else WORKING)


def _ranks(root: Path, args: argparse.Namespace) -> Rows:
    from benchmarks.faults.ranks import ranks

    return ranks(root, ("scenes",) if args.quick else ("objects", "scenes"))


def _fuzz(root: Path, args: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.faults.fuzz import numbers, rows, run_cases

    count = args.cases or (QUICK_CASES if args.quick else CASES)
    found = []
    for place, (case, judged) in enumerate(run_cases(root, numbers(count, args.families), args.seed)):
        found.append((case, judged))
        if place % 50 == 49:
            print(f"{place + 1} of {count}", flush=True)
        if judged.wrong:
            print(
                f"case {case.number}, {case.family.name}: {case.damage.name}: {judged.kind}: {judged.note[:160]}",
                flush=True,
            )
    failing = [
        {
            "case": case.number,
            "input": case.family.name,
            "damage": case.damage.name,
            "became": judged.kind,
            "said": judged.note[:160],
        }
        for case, judged in found
        if judged.wrong
    ]
    refused = [(case, judged) for case, judged in found if judged.kind == "one line"]
    unclear = [case.number for case, judged in refused if "expected" not in judged.note]
    return {"cases": count, "rows": rows(found), "failing": failing, "lines without a remedy": unclear}


PARTS: dict[str, Callable[[Path, argparse.Namespace], Any]] = {
    "kills": _kills,
    "signals": _signals,
    "imports": _imports,
    "limits": _limits,
    "writers": _writers,
    "workers": _workers,
    "ranks": _ranks,
    "fuzz": _fuzz,
}

if __name__ == "__main__":
    main()
