from __future__ import annotations

import os
import subprocess
import sys

import pytest

TALK = """
import logging
from crosspoint.cli.log import start_log
start_log()
logging.getLogger("crosspoint").info("hello")
logging.getLogger("crosspoint").warning("beware")
"""


@pytest.mark.parametrize(
    ("ranks", "said"),
    [({}, "hello\nbeware\n"), ({"RANK": "0", "LOCAL_RANK": "0"}, "hello\nbeware\n"),
     ({"RANK": "4", "LOCAL_RANK": "0"}, "beware\n"), ({"LOCAL_RANK": "1"}, "beware\n")],
)  # fmt: skip
def test_the_first_process_alone_tells_what_it_does(ranks: dict[str, str], said: str) -> None:
    bare = {name: value for name, value in os.environ.items() if name not in ("RANK", "LOCAL_RANK")}
    found = subprocess.run([sys.executable, "-c", TALK], env=bare | ranks, capture_output=True, text=True, check=True)
    assert found.stderr == said
