"""WebDataset shards with an index: plain tar files (https://github.com/webdataset/webdataset) that open at any sample.

`<name>.tar` holds the members `<key>.<ending>` of one sample after another. `<name>.json` is its index, written
after it: a shard without index is not complete.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.files import reading, regular_file, short
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.records import read_json


class Sample(NamedTuple):
    """What a shard holds of one object."""

    key: str
    category: str | None
    members: dict[str, bytes]  # content by ending


Place = tuple[Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=0)]]  # offset and size in bytes


class IndexedSample(Struct, rename={"category": "class"}, frozen=True):
    """What an index says of one sample."""

    key: str
    category: str | None
    members: dict[str, Place]  # by ending


class Failure(Struct, frozen=True):
    """A mesh that could not be used."""

    path: str
    reason: str


class Lacking(Struct, frozen=True):
    """A mesh whose textures or materials were not all found."""

    path: str
    names: list[str]


class Index(Struct, frozen=True):
    """The index of a shard."""

    bytes: Annotated[int, Meta(ge=0)]  # of the tar file
    samples: list[IndexedSample]
    failures: list[Failure] = []
    not_found: list[Lacking] = []


BLOCK = 512  # bytes; tar pads headers and contents to it


def write_shard(path: Path, samples: Iterable[Sample], facts: JsonObject) -> JsonObject:
    """Write a shard and its index; the same samples give the same bytes.

    Args:
        path: of the tar file.
        samples: in their order.
        facts: what else the index says, read after the last sample was taken, so that it may be filled meanwhile.

    Returns:
        The index: bytes of the tar file, its samples as key, class and members (ending → offset and size), and `facts`.
    """
    index = []
    with atomic_write(path) as file:
        # GNU names: long ones need no extra header with fields that could differ.
        with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for key, category, members in samples:
                places = {}
                for ending, content in members.items():
                    header = tarfile.TarInfo(f"{key}.{ending}")  # no time, owner 0, mode 644
                    header.size = len(content)
                    tar.addfile(header, io.BytesIO(content))
                    padded = -(-len(content) // BLOCK) * BLOCK
                    places[ending] = (tar.offset - padded, len(content))
                index.append({"key": key, "class": category, "members": places})
        size = file.tell()
    complete = {"bytes": size, "samples": index, **facts}
    with atomic_write(index_path(path)) as file:
        file.write((json.dumps(complete, separators=(",", ":")) + "\n").encode())
    return complete


def index_path(shard: Path) -> Path:
    """Where the index of a shard lies."""
    return shard.with_suffix(".json")


def read_index(shard: Path) -> Index | None:
    """The index of a shard, or None while the shard is not complete.

    Raises:
        ValueError: if the index is damaged, the shard is not as long as the index says, or a member lies outside it.
    """
    path = index_path(shard)
    if not os.path.lexists(path):
        return None
    index = read_json(path, Index, "the index of a shard", "remove it and render again")
    found = regular_file(shard, "a shard") if os.path.lexists(shard) else 0
    if found != index.bytes:
        raise ValueError(
            f"found {found} bytes in {shard}, expected {index.bytes}: the shard was cut or changed, "
            f"remove it and {path.name} and render again"
        )
    for sample in index.samples:
        for ending, (offset, size) in sample.members.items():
            if offset + size > found:
                raise ValueError(
                    f"found {ending} of {short(sample.key)} at bytes {offset} to {offset + size} in {path}, expected "
                    f"at most {found}: remove it and {shard.name} and render again"
                )
    return index


def read_member(shard: Path, offset: int, size: int) -> bytes:
    """One member's content; the file is opened for each read, which is safe in any process and thread."""
    with reading(shard, "a shard", "render it again"), shard.open("rb") as file:
        file.seek(offset)
        content = file.read(size)
    if len(content) < size:
        raise ValueError(f"found {len(content)} bytes at {offset} of {shard}, expected {size}: render it again")
    return content
