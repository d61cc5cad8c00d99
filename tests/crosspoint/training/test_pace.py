"""How long a training will take: exact on a clock of the test's own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from types import SimpleNamespace

import pytest
import torch

from crosspoint.training.pace import Pace, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (29, "29 s"),
        (60, "1 min"),
        (3599, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (86400, "1 day 0 h"),
        (273600, "3 days 4 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def steps_of(pace: Pace, epochs: int, batches: int, first: int = 0) -> Iterator[None]:
    """What Lightning calls, a step at a time."""
    trainer = SimpleNamespace(num_training_batches=batches, max_epochs=epochs, current_epoch=first, is_global_zero=True)
    module = SimpleNamespace(device=torch.device("cpu"))
    pace.on_train_start(trainer, module)  # type: ignore[arg-type]
    for epoch in range(first, epochs):
        trainer.current_epoch = epoch
        for batch in range(batches):
            yield
            pace.on_train_batch_end(trainer, module, None, None, batch)  # type: ignore[arg-type]


class Clock:
    """Seconds since noon."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(datetime(2024, 5, 1, 12).timestamp() + self.seconds)


def messages(caplog: pytest.LogCaptureFixture, *, epochs: int, batches: int, first: int, lines: bool) -> list[str]:
    """What is said of a training whose first step takes 100 seconds and each other 2."""
    clock = Clock()
    with caplog.at_level(logging.INFO, logger="crosspoint"):
        for number, _ in enumerate(steps_of(Pace(lines, clock, clock.now), epochs, batches, first)):
            clock.seconds += 2 if number else 100
    return caplog.messages


def test_a_long_run_says_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    found = messages(caplog, epochs=3, batches=50, first=1, lines=True)
    assert found[0] == "training on the CPU: 3 epochs of 50 steps, from epoch 2 on, 100 steps in all"
    # 100 steps; after 10 there are 90 of 2 seconds left, from 12:00 + 100 + 9 · 2 seconds on
    assert found[1].startswith("2 s a step: about 3 min left, until 2024-05-01 12:04; memory ")
    assert float(found[1].split("memory ")[1].split()[0]) > 0.05
    # a line a minute, which is every 30 steps: at 40 and 70
    assert found[2:] == [
        "epoch 2/3, step 40/50: about 2 min left, until 2024-05-01 12:04",
        "epoch 3/3, step 20/50: about 1 min left, until 2024-05-01 12:04",
    ]


def test_a_progress_bar_needs_no_lines(caplog: pytest.LogCaptureFixture) -> None:
    assert len(messages(caplog, epochs=3, batches=50, first=0, lines=False)) == 2


def test_a_short_run_says_its_steps_alone(caplog: pytest.LogCaptureFixture) -> None:
    found = messages(caplog, epochs=1, batches=12, first=0, lines=True)
    assert found == ["training on the CPU: 1 epoch of 12 steps, 12 steps in all"]
