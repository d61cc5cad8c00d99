"""Checks of a study before anything is measured: which protocols go with which rows, and whether the data suffice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.protocols.protocol import Protocol
from crosspoint.eval.study.runs import OpenRun
from crosspoint.eval.study.table_rows import TableRow


def check_study(
    protocols: Sequence[Protocol], rows: Sequence[TableRow], data: EvaluationData, open_run: OpenRun
) -> dict[tuple[str, str], str]:
    """Refuse what cannot be measured, in seconds.

    Args:
        protocols: what is to be measured.
        rows: on which networks.
        data: on which data.
        open_run: gives a network.

    Returns:
        Why rows are left out of protocols, by the names of both.

    Raises:
        FileNotFoundError: if data are missing.
        ValueError: if settings or data do not go with a protocol, a protocol can be run on none of the rows, or a
            network cannot take the clouds.
    """
    for protocol in protocols:
        with _naming(protocol):
            protocol.check_settings(data)
    left_out: dict[tuple[str, str], str] = {}
    for protocol in protocols:
        left_out |= _unsupported(protocol, rows)
    for protocol in protocols:
        with _naming(protocol):
            protocol.check(data)
    for row in rows:
        if row.checkpoints[0].inputs == "points" == data.inputs:
            open_run(row, 0).extract(data.clouds("test").points[:1], progress=False)
            for checkpoint in () if row.random_init else row.checkpoints:
                checkpoint.warn_of_mismatch(data.points, data.normalize)
    return left_out


def _unsupported(protocol: Protocol, rows: Sequence[TableRow]) -> dict[tuple[str, str], str]:
    """Rows on which a protocol cannot be run, with the reason."""
    found: dict[str, str] = {}
    for row in rows:
        for checkpoint in row.checkpoints:
            reason = protocol.unsupported(checkpoint)
            if reason is not None:
                found.setdefault(row.name, reason)
    if len(found) == len(rows):
        raise ValueError(
            f"{protocol.name}: found {found[rows[0].name]}, expected at least one checkpoint that has it: "
            "leave the protocol out"
        )
    return {(row, protocol.name): reason for row, reason in found.items()}


@contextmanager
def _naming(protocol: Protocol) -> Iterator[None]:
    """Put the name of the protocol before what it refuses."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{protocol.name}: {error}") from error
