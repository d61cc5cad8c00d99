"""One writer of a folder at a time, whatever becomes of its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.sole_writer import LOCK, is_empty, sole_writer

HOLD = """
import sys, time
from pathlib import Path
from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.sole_writer import sole_writer
with sole_writer(sys.argv[1]), atomic_write(Path(sys.argv[1], "deep", "file")) as file:
    file.write(b"half")
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen:
    """A process that holds `tmp_path / "out"`, amid a file."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_writer_is_refused_and_the_first_keeps_its_draft(tmp_path: Path, holder: subprocess.Popen) -> None:
    out = tmp_path / "out"
    message = f"found {out} in use by process {holder.pid} on .*, expected one writer at a time"
    with pytest.raises(ValueError, match=message), sole_writer(out):
        raise AssertionError("both write")
    with sole_writer(tmp_path):  # a folder above is another one, and what lives in it stays
        pass
    assert len(list((out / "deep").iterdir())) == 1


def test_a_killed_writer_leaves_neither_lock_nor_draft(tmp_path: Path, holder: subprocess.Popen) -> None:
    out = tmp_path / "out"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert sorted(path.name for path in out.iterdir()) == [LOCK, "deep"]
    assert len(list((out / "deep").iterdir())) == 1
    (out / "deep" / ".hidden").write_text("of somebody else")
    with sole_writer(out):
        assert [path.name for path in (out / "deep").iterdir()] == [".hidden"]
        with atomic_write(out / "deep" / "file") as file:
            file.write(b"whole")
    assert [path.name for path in out.iterdir()] == ["deep"]
    assert (out / "deep" / "file").read_bytes() == b"whole"


def test_the_lock_is_of_one_call_and_ends_with_it(tmp_path: Path) -> None:
    out = tmp_path / "a" / "out"
    with sole_writer(out):
        assert is_empty(out)
        with pytest.raises(ValueError, match="in use by process"), sole_writer(out):
            pass
        (out / "file").write_text("x")
        assert not is_empty(out)
    with sole_writer(out):
        pass
    assert [path.name for path in out.iterdir()] == ["file"]


def test_nothing_is_left_of_a_folder_that_nothing_was_written_to(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="bad input"), sole_writer(tmp_path / "a" / "b"):
        raise RuntimeError("bad input")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"found the file .*, expected a folder"), sole_writer(tmp_path / "file"):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_hold_the_lock_of_its_parent(tmp_path: Path) -> None:
    """Loader processes are forked, and live for some seconds after a parent that was killed."""
    reading, writing = os.pipe()
    begun, begins = os.pipe()
    with sole_writer(tmp_path):
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.write(begins, b"x")
            os.read(reading, 1)  # until the parent closes its end
            os._exit(0)
        os.read(begun, 1)
        (tmp_path / LOCK).rename(tmp_path / "moved")  # so that leaving does not unlock by removing the file
    (tmp_path / "moved").rename(tmp_path / LOCK)
    with sole_writer(tmp_path):
        pass
    os.close(writing)
    assert os.waitpid(child, 0)[1] == 0
