"""Processes as Linux shows them below /proc: who lives in a session, what it holds, what it was called with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """One process at one moment.

    Args:
        pid: its number.
        parent: that of its parent.
        session: that of the process that began its session, and its children's by default.
        alive: whether it is more than an exit code that waits to be read.
        seconds: of processor time.
        resident: bytes of memory.
    """

    pid: int
    parent: int
    session: int
    alive: bool
    seconds: float
    resident: int

    def words(self) -> str:
        """Its command line; empty where it is gone."""
        try:
            return Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""


def process(pid: int) -> Process | None:
    """The process of a number; None where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, parent, _, session = fields[:4]
    seconds = (int(fields[11]) + int(fields[12])) / TICKS
    return Process(pid, int(parent), int(session), state not in "ZX", seconds, int(fields[21]) * PAGE)


def of_session(session: int) -> list[Process]:
    """The processes of a session that are alive, whoever their parents are."""
    found = map(process, (int(name) for name in os.listdir("/proc") if name.isdigit()))
    return [each for each in found if each is not None and each.session == session and each.alive]


def own_memory() -> tuple[int, int]:
    """Bytes of addresses that this process has, and of memory that a fork of it begins with (no pages of files)."""
    size, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
    return size * PAGE, (resident - shared) * PAGE
