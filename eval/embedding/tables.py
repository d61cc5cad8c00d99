"""Files of embeddings: safetensors, numpy's archive, or parquet."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save as save_safetensors

from crosspoint.renderers.atomic import atomic_write

METADATA = "crosspoint_embeddings"  # under which a safetensors file keeps names, labels and the checkpoint


class Embeddings(NamedTuple):
    """Features of n items."""

    names: list[str]
    labels: list[str]  # "" where there is none
    features: np.ndarray  # (n, F) float32
    points: np.ndarray | None = None  # (Σ N, 3) float32: where features of points belong
    point_features: np.ndarray | None = None  # (Σ N, C) float32
    offsets: np.ndarray | None = None  # (n + 1,) int64: rows offsets[i] … offsets[i + 1] are of item i

    def arrays(self) -> dict[str, np.ndarray]:
        """What is there of numbers, by name."""
        found = {name: getattr(self, name) for name in ("features", "points", "point_features", "offsets")}
        return {name: array for name, array in found.items() if array is not None}


def join(parts: list[Embeddings]) -> Embeddings:
    """Embeddings of one list after another."""
    arrays = [part.arrays() for part in parts]
    joined = {name: np.concatenate([each[name] for each in arrays]) for name in arrays[0] if name != "offsets"}
    if "offsets" in arrays[0]:
        counts = np.concatenate([np.diff(each["offsets"]) for each in arrays])
        joined["offsets"] = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    names, labels = ([entry for part in parts for entry in getattr(part, key)] for key in ("names", "labels"))
    return Embeddings(names, labels, **joined)


def write_embeddings(path: Path, found: Embeddings, facts: Mapping[str, Any]) -> None:
    """Write embeddings in the format of the file's suffix.

    Args:
        path: .safetensors (names, labels and facts are JSON in the metadata), .npz, or .parquet (a row an item, lists
            in its columns; needs pyarrow).
        found: what is written.
        facts: of the checkpoint.

    Raises:
        ImportError: if pyarrow is not installed.
        ValueError: if there is no such format.
    """
    content = _WRITERS[checked_suffix(path)](found, facts)
    with atomic_write(path) as file:
        file.write(content)


def checked_suffix(path: Path) -> str:
    """The suffix of a file of embeddings; raises ValueError or ImportError where none such can be written."""
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise ValueError(f"found {path}, expected a name that ends in {', '.join(_WRITERS)}: they are the formats")
    if suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise ImportError(
                f"found no pyarrow to write {path}, expected it: pip install pyarrow, or take .safetensors or .npz"
            ) from None
    return suffix


def _safetensors(found: Embeddings, facts: Mapping[str, Any]) -> bytes:
    told = {"names": found.names, "labels": found.labels, **facts}
    arrays = {name: np.ascontiguousarray(array) for name, array in found.arrays().items()}
    return save_safetensors(arrays, metadata={METADATA: json.dumps(told)})


def _npz(found: Embeddings, facts: Mapping[str, Any]) -> bytes:
    content = io.BytesIO()
    arrays: dict[str, Any] = {**found.arrays(), "facts": np.array(json.dumps(facts))}
    arrays |= {name: np.array(getattr(found, name), dtype=np.str_) for name in ("names", "labels")}
    np.savez(content, **arrays)
    return content.getvalue()


def _parquet(found: Embeddings, facts: Mapping[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"name": found.names, "label": found.labels, "features": list(found.features)}
    if found.offsets is not None and found.points is not None and found.point_features is not None:
        spans = list(zip(found.offsets[:-1], found.offsets[1:], strict=True))
        columns["points"] = [found.points[start:end].ravel() for start, end in spans]
        columns["point_features"] = [found.point_features[start:end].ravel() for start, end in spans]
    table = pa.table(columns).replace_schema_metadata({METADATA: json.dumps(dict(facts))})
    content = io.BytesIO()
    pq.write_table(table, content)
    return content.getvalue()


_WRITERS: dict[str, Callable[[Embeddings, Mapping[str, Any]], bytes]] = {
    ".safetensors": _safetensors,
    ".npz": _npz,
    ".parquet": _parquet,
}
