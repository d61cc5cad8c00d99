"""A protocol: one way to measure an encoder. A built-in is one file here and one line in `crosspoint.plugins`.

`crosspoint evaluate NAME` and `crosspoint evaluate all` run the same object. One of your own is a dataclass that
extends `Protocol`; its import path stands wherever a short name does.
"""

# No postponed annotations here: the command line evaluates those of a base class in the module of the subclass.

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from crosspoint.eval.checkpoint import Checkpoint
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.report.report_model import Contribution
from crosspoint.eval.results import Result
from crosspoint.eval.targets import CloudTarget, Target
from crosspoint.renderers.atomic import check_writable

Measured = tuple[Result, dict[str, np.ndarray]]  # figures, and arrays that `Protocol.show` needs


@dataclass(frozen=True)
class Column:
    """One figure of a protocol in the table of a study.

    Args:
        title: "protocol, data".
        protocol: name of the protocol.
        metric: of its result.
        published: protocol and data by which papers' figures are found; None where none are of the same data.
    """

    title: str
    protocol: str
    metric: str
    published: tuple[str, str] | None = None


class Protocol(ABC):
    """One way to measure an encoder; the fields of a subclass, a frozen dataclass, are its settings.

    They are the flags and the YAML keys of `crosspoint evaluate NAME`, and with `NAME.` before them those of
    `crosspoint evaluate all`. The docstring of the subclass is the help of the command.
    """

    name: ClassVar[str]  # of the command, of its files in a study; by default the class's own in lower case
    target: ClassVar[type[Target]] = (
        CloudTarget  # flags of what is measured; says whether encoders see points or voxels
    )
    trains: ClassVar[bool] = False  # whether it leaves a network: the command then has the flag --save_dir
    unread: ClassVar[frozenset[str]] = frozenset()  # flags of what is measured that it does not look at: it lacks them
    study_flags: ClassVar[Mapping[str, str]] = {}  # short flags of `evaluate all`, and the field that each one sets

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" not in vars(cls):
            cls.name = cls.__name__.lower()

    @abstractmethod
    def run(self, run: EvaluationRun) -> Measured:
        """Measure one network.

        Returns:
            The figures, and arrays that a study keeps for `show`.

        Raises:
            ValueError: if it cannot be measured.
        """

    @abstractmethod
    def columns(self, data: EvaluationData) -> list[Column]:
        """Figures that the table of a study shows."""

    def check_settings(self, data: EvaluationData) -> None:
        """Refuse settings that do not go together, before any file is read; raises ValueError."""
        return

    def unsupported(self, checkpoint: Checkpoint) -> str | None:
        """Why the protocol cannot be run on a checkpoint, as what is found in it; None where it can."""
        if checkpoint.inputs == self.target.inputs:
            return None
        return f"an encoder of {checkpoint.inputs}, which is not for {self.target.inputs}"

    def check(self, data: EvaluationData) -> None:
        """Refuse in seconds what cannot be measured on the data.

        Raises:
            FileNotFoundError: if files are missing.
            ValueError: if they hold something else, or too little.
        """
        return

    def feature_splits(self) -> tuple[str, ...]:
        """Splits of the dataset whose features `run` asks for; none where it goes another way."""
        return ()

    def facts(self) -> dict[str, str]:
        """What a report says of the settings, by name."""
        return {}

    def show(self, run: EvaluationRun, result: Result, arrays: Mapping[str, np.ndarray]) -> Contribution:
        """What a report shows of a network beside its figures.

        Args:
            run: the network.
            result: of `run`.
            arrays: of `run`.
        """
        return Contribution()


def measure(protocol: Protocol, run: EvaluationRun) -> Measured:
    """Run a protocol on a network; the result names what decided the features, too."""
    result, arrays = protocol.run(run)
    return replace(result, constants={**run.setting(), **result.constants}), arrays


def on_dataset(result: Result, dataset: str) -> Result:
    """The same result with the name of the dataset among its constants."""
    return replace(result, constants={**result.constants, "dataset": dataset})


def evaluate(protocol: Protocol, target: Target) -> Result:
    """Measure one encoder by one protocol, as `crosspoint evaluate NAME` does.

    Args:
        protocol: with its settings.
        target: the encoder and the data; its `out` must be free, and is not written.

    Raises:
        FileNotFoundError: if the checkpoint or data are missing.
        ValueError: if one of them cannot be used, or `out` is there already.
        OSError: if `out` cannot be written.
    """
    if target.out is not None and target.out.exists():
        raise ValueError(f"found {target.out} already there, expected a new file: choose another --out")
    if target.out is not None:
        check_writable(target.out, "--out")
    run = target.open()
    protocol.check_settings(run.data)
    reason = protocol.unsupported(run.checkpoint)
    if reason is not None:
        raise ValueError(
            f"found {reason} ({run.checkpoint.path}), expected one that {protocol.name} can be run on: choose another "
            "--checkpoint"
        )
    protocol.check(run.data)
    return measure(protocol, run)[0]
