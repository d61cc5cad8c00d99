import pytest

from crosspoint.renderers.atomic import atomic_write


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
