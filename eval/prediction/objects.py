"""Files of predictions for objects: a table that people read, and an archive of all numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from crosspoint.eval.prediction.predictor import Prediction
from crosspoint.renderers.atomic import atomic_write

TABLE, ARCHIVE = "predictions.csv", "predictions.npz"

Arrays = Mapping[str, np.ndarray]


def as_arrays(predictions: Sequence[Prediction]) -> dict[str, np.ndarray]:
    """Predictions for some objects, as arrays.

    Returns:
        names and labels (n,); of classes, probabilities (n, K) float32; of parts, points (Σ N, 3) float32, parts and
        own_parts (Σ N,) int16, and counts (n,) int64, the points of each object.
    """
    found: dict[str, np.ndarray] = {
        "names": np.array([prediction.name for prediction in predictions], dtype=np.str_),
        "labels": np.array([prediction.label for prediction in predictions], dtype=np.str_),
    }
    for key in ("points", "parts", "own_parts"):
        parts = [values for prediction in predictions if (values := getattr(prediction, key)) is not None]
        if parts:
            found[key] = np.concatenate(parts)
    if "parts" in found:
        found["counts"] = np.array([len(each.parts) for each in predictions if each.parts is not None])
    predicted = [each.probabilities for each in predictions if each.probabilities is not None]
    if predicted:
        found["probabilities"] = np.stack(predicted)
    return found


def write_objects(out: Path, parts: Sequence[Arrays], classes: Sequence[str], part_names: Sequence[str] | None) -> int:
    """Write `predictions.csv` and `predictions.npz`; the number of objects in them.

    The archive has what `as_arrays` gives of all objects; beside the probabilities `predicted` (n,) int64; and in the
    place of counts `offsets` (n + 1,) int64, where each object's points begin.

    Args:
        out: folder of the files.
        parts: of `as_arrays`, in their order.
        classes: names of the classes.
        part_names: of the parts; None where they have numbers alone.

    Raises:
        ValueError: if there is no object.
    """
    parts = [part for part in parts if len(part["names"])]
    if not parts:
        raise ValueError("found no item that can be read, expected one: see the lines above")
    found = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    if "probabilities" in found:
        found["predicted"] = found["probabilities"].argmax(axis=1)
        rows = [["name", "predicted", "probability", "label"]]
        for name, label, shares in zip(found["names"], found["labels"], found["probabilities"], strict=True):
            best = int(shares.argmax())
            rows.append([name, classes[best], f"{shares[best]:.6f}", label])
    else:
        found["offsets"] = np.concatenate([[0], np.cumsum(found.pop("counts"))]).astype(np.int64)
        rows = [["name", "category", "points", "parts"]]
        for place, (start, end) in enumerate(zip(found["offsets"][:-1], found["offsets"][1:], strict=True)):
            numbers, counts = np.unique(found["own_parts"][start:end], return_counts=True)
            texts = [f"{part_names[part] if part_names else part}:{n}" for part, n in zip(numbers, counts, strict=True)]
            rows.append([found["names"][place], found["labels"][place], str(end - start), " ".join(texts)])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    with atomic_write(out / ARCHIVE) as file:
        np.savez(file, **found)  # type: ignore[arg-type]
    with atomic_write(out / TABLE) as file:
        file.write(text.getvalue().encode())
    return len(found["names"])
