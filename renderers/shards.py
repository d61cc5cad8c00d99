"""WebDataset shards with an index: plain tar files (https://github.com/webdataset/webdataset) that open at any sample.

`<name>.tar` holds the members `<key>.<ending>` of one sample after another. `<name>.json` is its index, written
after it: a shard without index is not complete.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.json_object import JsonObject


class Sample(NamedTuple):
    """What a shard holds of one object."""

    key: str
    category: str | None
    members: dict[str, bytes]  # content by ending


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


def read_index(shard: Path) -> JsonObject | None:
    """The index of a shard, or None while the shard is not complete.

    Raises:
        ValueError: if the index is damaged, or the shard is not as long as the index says.
    """
    path = index_path(shard)
    if not path.is_file():
        return None
    try:
        index = json.loads(path.read_bytes())
        expected = index["bytes"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"found a damaged index {path} ({error}), expected JSON: remove it and render again") from None
    found = shard.stat().st_size if shard.is_file() else 0
    if found != expected:
        raise ValueError(
            f"found {found} bytes in {shard}, expected {expected}: the shard was cut or changed, "
            f"remove it and {path.name} and render again"
        )
    return index


def read_member(shard: Path, offset: int, size: int) -> bytes:
    """One member's content; the file is opened for each read, which is safe in any process and thread."""
    with shard.open("rb") as file:
        file.seek(offset)
        return file.read(size)
