"""The tables of nuScenes: JSON lists of records that name one another by tokens.

Their schema: https://github.com/nutonomy/nuscenes-devkit/blob/master/docs/schema_nuscenes.md
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from crosspoint.renderers.files import reading, regular_file
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.records import checked
from crosspoint.scene.data.calibration import quaternion_rotation, rigid
from crosspoint.scene.datasets.nuscenes_schema import SCHEMA

Record = JsonObject
_LEFT_OUT = object()
_SOURCE = "nuScenes' metadata (https://www.nuscenes.org/nuscenes#download)"


class Tables:
    """The tables of one version, each read when it is asked for; one that nothing asks for may be missing.

    Args:
        root: the folder of `samples`.
        version: the folder of the tables, such as "v1.0-trainval"; None for the only one there is.
        preferred: the version to take where none is named and there are several.

    Raises:
        FileNotFoundError: if there is no such version.
        ValueError: if there are several and none is named.
    """

    def __init__(self, root: Path, version: str | None = None, preferred: str | None = None) -> None:
        there = sorted(path.name for path in root.glob("v1.0-*") if path.is_dir()) if root.is_dir() else []
        if not there or (version is not None and version not in there):
            raise FileNotFoundError(
                f"found {', '.join(there) or 'no tables'} in {root}, expected {version or 'v1.0-trainval'}: "
                f"unpack {_SOURCE} there"
            )
        if version is None and len(there) > 1:
            if preferred not in there:
                raise ValueError(f"found the versions {', '.join(there)} in {root}, expected one: name it as `version`")
            version = preferred
        self.folder = root / (version or there[0])

    def has(self, name: str) -> bool:
        """Whether a table is there."""
        return self._path(name).is_file()

    def read(self, name: str, keep: Callable[[Record], bool] = lambda record: True) -> list[Record]:
        """The records of a table that `keep` says yes to; the others take no memory (some tables hold millions).

        Raises:
            FileNotFoundError: if the table is not there.
            ValueError: if it is no JSON list of records, or a record lacks a field or has one of another type.
        """
        path, expected, remedy = self._path(name), f"the table of {_SOURCE}", "fetch it anew"
        regular_file(path, expected, f"unpack {_SOURCE} there")
        with reading(path, expected, remedy):
            try:
                with path.open(encoding="utf-8") as file:
                    records = json.load(file, object_hook=lambda record: record if keep(record) else _LEFT_OUT)
            except KeyError as error:
                raise ValueError(f"found a record without {error} in {path}, expected nuScenes' schema") from None
            except json.JSONDecodeError as error:
                raise ValueError(f"found no JSON in {path} ({error}), expected a table: {remedy}") from None
            if not isinstance(records, list):
                raise ValueError(f"found {type(records).__name__} in {path}, expected a list of records")
            records = [record for record in records if record is not _LEFT_OUT]
        return checked(records, SCHEMA[name], path, "nuScenes' schema", remedy)

    def index(self, name: str, tokens: set[str] | None = None) -> dict[str, Record]:
        """The records of a table by their tokens; only those of `tokens`, all of which must be there, unless None.

        Raises:
            FileNotFoundError: if the table is not there.
            ValueError: if a token is missing in it.
        """
        found = self.read(name, lambda record: tokens is None or record["token"] in tokens)
        records = {record["token"]: record for record in found}
        absent = (tokens or set()) - set(records)
        if absent:
            raise ValueError(
                f"found no record {min(absent)} in {self._path(name)} ({len(absent)} are missing), expected those that "
                "the other tables name: the tables are of several versions or cut off"
            )
        return records

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def placement(record: Record) -> np.ndarray:
    """The transform (4, 4) of a record with `rotation` (w x y z) and `translation`: from what it places to its parent.

    Raises:
        ValueError: if they make none.
    """
    try:
        return rigid(quaternion_rotation(record["rotation"]), record["translation"])
    except ValueError as error:
        raise ValueError(f"record {record.get('token')} of nuScenes' tables: {error}") from None
