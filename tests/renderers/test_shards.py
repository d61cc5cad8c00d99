from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest
from msgspec import to_builtins

from crosspoint.renderers.shards import Sample, index_path, read_index, read_member, write_shard

LONG = "a" * 90 + "/" + "ü" * 60
SAMPLES = [
    Sample("one", "cup", {"json": b"{}", "view00.png": bytes(range(256)) * 5}),
    Sample(LONG, None, {"json": b"", "points.npy": b"x" * 512}),
]


def test_members_are_where_the_index_says_and_tar_agrees(tmp_path: Path) -> None:
    shard = tmp_path / "train-000000.tar"
    index = write_shard(shard, SAMPLES, {"failures": []})
    assert to_builtins(read_index(shard)) == {**index, "not_found": []}
    with tarfile.open(shard) as tar:
        expected = {f"{s.key}.{ending}": content for s in SAMPLES for ending, content in s.members.items()}
        assert {m.name: tar.extractfile(m).read() for m in tar} == expected  # type: ignore[union-attr]
        assert all(m.mtime == 0 and m.uid == 0 and m.uname == "" for m in tar)
    for sample, entry in zip(SAMPLES, index["samples"], strict=True):
        for ending, place in entry["members"].items():
            assert read_member(shard, *place) == sample.members[ending]


def test_bytes_depend_on_the_samples_alone(tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        write_shard(tmp_path / name / "s.tar", iter(SAMPLES), {})
        digests.append(hashlib.sha256((tmp_path / name / "s.tar").read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_a_shard_without_samples_is_an_empty_archive(tmp_path: Path) -> None:
    write_shard(tmp_path / "s.tar", [], {})
    with tarfile.open(tmp_path / "s.tar") as tar:
        assert tar.getmembers() == []


def test_an_interrupted_shard_leaves_nothing(tmp_path: Path) -> None:
    def broken():
        yield SAMPLES[0]
        raise MemoryError

    with pytest.raises(MemoryError):
        write_shard(tmp_path / "s.tar", broken(), {})
    assert list(tmp_path.iterdir()) == []
    assert read_index(tmp_path / "s.tar") is None


def test_cut_shards_and_damaged_indices_are_noticed(tmp_path: Path) -> None:
    shard = tmp_path / "s.tar"
    write_shard(shard, SAMPLES, {})
    shard.write_bytes(shard.read_bytes()[:-1024])
    with pytest.raises(ValueError, match=r"found 9216 bytes in .*s\.tar, expected 10240"):
        read_index(shard)
    index_path(shard).write_text("{")
    with pytest.raises(ValueError, match=r"found no JSON in .*s\.json"):
        read_index(shard)
