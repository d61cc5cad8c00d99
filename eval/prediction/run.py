"""`predict`: items of a source → predictions of a trained network; parallel, resumable, the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crosspoint.eval.embedding.sources import FrameSource, Source
from crosspoint.eval.prediction.frames import file_format, general_numbers, in_one_file, write_frame_prediction
from crosspoint.eval.prediction.nuscenes_detections import RESULTS, join_samples, write_sample
from crosspoint.eval.prediction.objects import as_arrays, write_objects
from crosspoint.eval.prediction.predictor import Predictor
from crosspoint.eval.supervised.network_record import NetworkRecord
from crosspoint.eval.supervised.trained_network import TrainedNetwork, load_network, network_file
from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.parallel import in_processes, processes
from crosspoint.renderers.sole_writer import sole_writer
from crosspoint.renderers.threads import one_thread

log = logging.getLogger(__name__)

OBJECTS, FRAMES = 64, 8  # items of a part, which is what an interrupted run does not lose
SECONDS = 10  # between two lines of progress
FACTS, PARTS = "predictions.json", ".parts-"


class Settings(NamedTuple):
    """What decides the predictions beside the data."""

    network: Path
    sha256: str  # of the network: a file that was written anew is read anew
    up_axis: str | None
    category: str | None
    device: str


def predict(
    source: Source,
    network: str | Path | TrainedNetwork,
    out: str | Path,
    *,
    up_axis: str | None = None,
    category: str | None = None,
    device: str = "cpu",
    jobs: int = 1,
    skip_incomplete: bool = False,
) -> Path:
    """Write the predictions of a trained network for all items of a source; `Predictor` takes one item in memory.

    - Of objects `predictions.csv` and `predictions.npz`: the class and all probabilities, or the part of every point of
      the clouds as given, of which the network sees as many as in training.
    - Of LiDAR frames a file each, in the dataset's own format where it has one for these classes
      (`crosspoint.eval.prediction.frames`): SemanticKITTI's and nuScenes' submissions, files of labels that the readers
      of other datasets take, KITTI's result files of boxes. nuScenes' boxes go to one file, `results_nusc.json`.
    - `predictions.json` names the network, and the number of each class.

    Each item is predicted alone, so its bytes depend neither on the number of processes nor on interruptions: the same
    call goes on where one stopped.

    Args:
        source: of `crosspoint.eval.embedding.sources`, or an object of yours with `names`, `labels` and `read`.
        network: `network.safetensors` of `crosspoint evaluate`, the folder that holds it, or what `load_network` read.
        out: new folder, or that of an interrupted run.
        up_axis: of clouds, "x", "y" or "z"; None where it is that of training.
        category: of all clouds whose parts are predicted; None takes each one's label.
        device: where the network runs.
        jobs: processes on a CPU, −1 for one per core.
        skip_incomplete: leave out items that cannot be read, say which, and go on.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: if there is no such network, or an item is not there.
        ValueError: if the network is for other data, an item cannot be read, nothing is left, or the folder holds
            predictions of another network or of other data.
    """
    if jobs == 0:
        raise ValueError("found 0 jobs, expected 1 or more, or -1 for one per core")
    trained = network if isinstance(network, TrainedNetwork) else None
    folder, file = Path(out), network_file(network.path if isinstance(network, TrainedNetwork) else network)
    settings = Settings(file, hashlib.sha256(file.read_bytes()).hexdigest(), up_axis, category, device)
    record = _predictor(settings, trained).trained.record
    facts = _facts(record, settings, source)
    digest = hashlib.sha256(json.dumps([facts, *source.names]).encode()).hexdigest()
    with sole_writer(folder):
        parts = folder / f"{PARTS}{digest[:16]}"
        if _is_complete(folder, parts, digest):
            shutil.rmtree(parts, ignore_errors=True)
            log.info("%s is complete already", folder)
            return folder
        parts.mkdir(exist_ok=True)
        done, left_out = _predict_all(source, settings, folder, parts, skip_incomplete, jobs)
        if not isinstance(source, FrameSource):
            write_objects(folder, [_read(path) for path in done], record.classes, record.part_names)
        elif len(left_out) == len(source.names):
            raise ValueError(
                f"found no frame that can be read among {len(left_out)}, expected one: see the lines above"
            )
        elif in_one_file(source.frames, record):
            join_samples(parts, source.frames, folder / RESULTS)
        with atomic_write(folder / FACTS) as written:
            written.write((json.dumps({**facts, "left_out": left_out, "digest": digest}, indent=1) + "\n").encode())
        shutil.rmtree(parts, ignore_errors=True)
    return folder


def _predict_all(
    source: Source, settings: Settings, folder: Path, parts: Path, skip_incomplete: bool, jobs: int
) -> tuple[list[Path], list[str]]:
    """The files of all parts in their order, and the names of the items that were left out."""
    total = len(source.names)
    size = FRAMES if isinstance(source, FrameSource) else OBJECTS
    chunks = [range(start, min(start + size, total)) for start in range(0, total, size)]
    work = ((source, chunk, settings, folder, parts, skip_incomplete) for chunk in chunks)
    started = said = time.monotonic()
    done: list[Path] = []
    left_out: list[str] = []
    for path, lost in in_processes(_predict_chunk, work, processes(jobs, settings.device)):
        done.append(path)
        left_out += lost
        now = time.monotonic()
        if now - said >= SECONDS:
            said, count = now, min(len(done) * size, total)
            log.info("%d of %d predicted, %.1f a second", count, total, count / (now - started))
    return done, left_out


_loaded: list[tuple[Settings, Predictor]] = []  # what this process has read


def _predictor(settings: Settings, trained: TrainedNetwork | None = None) -> Predictor:
    if not _loaded or _loaded[0][0] != settings:
        trained = trained or load_network(settings.network)
        made = Predictor(trained, device=settings.device, up_axis=settings.up_axis, category=settings.category)
        _loaded[:] = [(settings, made)]
    return _loaded[0][1]


def _predict_chunk(
    source: Source, chunk: Sequence[int], settings: Settings, folder: Path, parts: Path, skip_incomplete: bool
) -> tuple[Path, list[str]]:
    """The part's file, which ends it, and the items that were left out."""
    path = parts / f"{chunk[0]:09d}.npz"
    if path.is_file():
        return path, _read(path)["left_out"].tolist()
    predictor = _predictor(settings)
    prepared = bool(getattr(source, "prepared", False))
    record, predictions, left_out = predictor.trained.record, [], []
    with one_thread():
        for index in chunk:
            try:
                given = (source.read(index), source.names[index], source.labels[index])
                prediction = predictor(*given, prepared=prepared)
            except (ValueError, OSError) as error:
                if not skip_incomplete:
                    raise ValueError(
                        f"{error} ({source.names[index]}; --skip_incomplete true leaves such items out)"
                    ) from error
                log.warning("left out %s: %s", source.names[index], error)
                left_out.append(source.names[index])
                continue
            if not isinstance(source, FrameSource):
                predictions.append(prediction)
            elif in_one_file(source.frames, record):
                write_sample(parts, source.frames, index, prediction)
            else:
                format = file_format(record, source.frames)
                write_frame_prediction(folder, source.frames, index, prediction, record, format)
    with atomic_write(path) as file:
        np.savez(file, left_out=np.array(left_out, dtype=np.str_), **as_arrays(predictions))  # type: ignore[arg-type]
    return path, left_out


def _read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _facts(record: NetworkRecord, settings: Settings, source: Source) -> dict[str, Any]:
    facts: dict[str, Any] = {"task": record.task, "network_sha256": settings.sha256, "trained_on": record.data}
    facts |= {"items": len(source.names), "classes": record.classes, "part_names": record.part_names}
    if isinstance(source, FrameSource):
        format = file_format(record, source.frames)
        own = format == "dataset" and record.task != "boxes"
        facts["format"] = f"of {source.frames.name}" if format == "dataset" else "general"
        facts["numbers"] = source.frames.label_numbers() if own else general_numbers(record)
    return {**facts, "up_axis": settings.up_axis, "category": settings.category, "device": settings.device}


def _is_complete(folder: Path, parts: Path, digest: str) -> bool:
    """Whether the same predictions lie in a folder whole; raises ValueError if it holds others."""
    others = [path for path in folder.glob(f"{PARTS}*") if path != parts]
    known = None
    if (folder / FACTS).is_file():
        try:
            known = json.loads((folder / FACTS).read_text(encoding="utf-8"))["digest"]
        except (ValueError, KeyError, TypeError):
            known = "unreadable"
    if others or known not in (None, digest):
        raise ValueError(
            f"found predictions of another network, of other data or with other settings in {folder}, expected a new "
            "folder, or one to go on in: choose another one"
        )
    return known == digest
