import subprocess
import sys

import pytest

from crosspoint.renderers.atomic import atomic_write, check_writable


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "made" / "file"
    with atomic_write(path) as file:
        file.write(b"old")
    with pytest.raises(RuntimeError, match="half way"), atomic_write(path) as file:
        file.write(b"new")
        raise RuntimeError("half way")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_the_name_appears_only_when_the_block_has_ended(tmp_path):
    path = tmp_path / "file"
    with atomic_write(path) as file:
        file.write(b"whole")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"whole"


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np, torch
from crosspoint.renderers.atomic import atomic_write, check_writable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
path, x = Path(sys.argv[1]), np.zeros(100_000)
writers = [lambda file: np.save(file, x), lambda file: torch.save({"x": torch.from_numpy(x)}, file),
           lambda file: file.write(bytes(100_000)), lambda file: np.savez(file, x=x)]
for write in writers:
    try:
        with atomic_write(path) as file:
            write(file)
    except OSError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_is_named_with_the_file_by_whatever_library_met_it(tmp_path):
    """A limit on the size of files stands for the disk: the same calls fail in the same places."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert all(f"for {path}, expected enough: make room, and give the command again" in line for line in lines)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_other_errors_of_a_block_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "file"):
        (tmp_path / "absent").read_bytes()


def test_a_place_that_takes_no_file_is_refused_before_the_work(tmp_path):
    check_writable(tmp_path / "new" / "folder" / "file.json", "--out")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=r"found .*file not writable .*, expected a folder for b.json: choose another"):
        check_writable(tmp_path / "file" / "a" / "b.json", "--out")
