"""What a study measures: its flags, its data, and the record by which an interrupted one is known again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.labeled import DatasetName, labeled_clouds
from crosspoint.eval.encoder_target import PROBE_POINTS, chosen_device
from crosspoint.eval.protocols.few_shot import SmallClasses
from crosspoint.eval.study.table_rows import TableRow, methods
from crosspoint.eval.supervised.config import Optimizer
from crosspoint.renderers import RenderedSet
from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.meshes import UpAxis

PROTOCOLS = ("linear", "knn", "retrieval", "fewshot", "folds", "crossmodal", "finetune", "partseg")
SETTINGS, SHA256 = "settings.json", "sha256"
IGNORED_ON_RESUME = {"out", "cache", "jobs"}


@dataclass(frozen=True)
class StudyConfig:
    """Which checkpoints are measured, on which data, by which protocols.

    Args:
        checkpoint: [NAME=]FILE, again for each; those of one NAME are seeds of one row
        dataset: which labeled clouds
        root: where they lie
        out: folder of the study; goes on where it stopped
        protocols: some of linear, knn, retrieval, fewshot, folds, crossmodal, finetune, partseg
        random_init: add a row of random networks for each architecture
        rendered: rendered set of crossmodal, if it is not the dataset itself
        parts: ShapeNetPart's layout, of partseg
        folds: Point-BERT's stored tasks, of folds
        points: points per cloud, if not those that all checkpoints were trained on (else 1,024)
        part_points: points per cloud in partseg
        normalize: scale clouds into the unit sphere, as in pre-training; false takes them as stored
        up_axis: of the stored clouds, if not the dataset's own
        k: neighbors per point, if not the checkpoints' (in partseg 40)
        svm: C and scaling by cross-validation, or raw features at C = 0.1
        split: pool of the few-shot tasks
        ways: classes in a few-shot task
        shots: labeled samples of each class
        queries: samples of each class to answer
        runs: few-shot tasks of each setting
        small_classes: what happens to classes with too few members for a task
        epochs: of finetune and partseg, if not their recipes' 250 and 300
        optimizer: of finetune and partseg, if not their recipes' sgd; adam gets further in few epochs
        seed: of the first checkpoint of a row; the next have the next ones
        device: auto, cpu, cuda, cuda:1, …
        cache: folder that keeps extracted features
        jobs: threads, -1 for one per core
    """

    checkpoint: list[str]
    dataset: DatasetName
    root: Path
    out: Path
    protocols: str = "linear,knn,retrieval,fewshot"
    random_init: bool = False
    rendered: Path | None = None
    parts: Path | None = None
    folds: Path | None = None
    points: int | None = None
    part_points: int = 2048
    normalize: bool = True
    up_axis: UpAxis | None = None
    k: int | None = None
    svm: Literal["validated", "paper"] = "validated"
    split: str = "train"
    ways: list[int] = field(default_factory=lambda: [5, 10])
    shots: list[int] = field(default_factory=lambda: [10, 20])
    queries: int = 20
    runs: int = 10
    small_classes: SmallClasses = "refuse"
    epochs: int | None = None
    optimizer: Optimizer | None = None
    seed: int = 0
    device: str = "auto"
    cache: Path | None = None
    jobs: int = -1

    def __post_init__(self) -> None:
        """Check what needs no file.

        Raises:
            ValueError: if a protocol is unknown, given twice, or unsupported its data.
        """
        chosen, known = self.chosen, ", ".join(PROTOCOLS)
        unknown = [name for name in chosen if name not in PROTOCOLS]
        if unknown or not chosen or len({*chosen}) < len(chosen):
            raise ValueError(f"found the protocols {self.protocols!r}, expected some of {known}, each once")
        sources = {"folds": self.folds, "partseg": self.parts, "crossmodal": self.rendered_root}
        flags = {"folds": "--folds", "partseg": "--parts", "crossmodal": "--rendered"}
        for protocol, source in sources.items():
            if protocol in chosen and source is None:
                raise ValueError(f"found no {flags[protocol]}, expected the folder that {protocol} reads: give it")

    @cached_property
    def chosen(self) -> tuple[str, ...]:
        """The protocols."""
        return tuple(name.strip() for name in self.protocols.split(","))

    @cached_property
    def rows(self) -> list[TableRow]:
        """The methods, measured in this order."""
        return methods(self.checkpoint, self.random_init, self.k)

    @cached_property
    def cloud_points(self) -> int:
        """Points per cloud."""
        if self.points is not None:
            return self.points
        trained = {checkpoint.trained_on.points for row in self.rows for checkpoint in row.checkpoints}
        return (trained.pop() if len(trained) == 1 else None) or PROBE_POINTS

    @property
    def device_name(self) -> str:
        """Where networks run."""
        return chosen_device(self.device)

    @property
    def few_shot_settings(self) -> list[tuple[int, int]]:
        """Ways and shots."""
        return [(ways, shots) for ways in self.ways for shots in self.shots]

    @property
    def rendered_root(self) -> Path | None:
        """Folder of the rendered set, where there is one."""
        return self.root if self.rendered is None and self.dataset == "rendered" else self.rendered

    def clouds(self, split: str) -> Clouds:
        """One split of the dataset; kept in memory."""
        known: dict[str, Clouds] = self.__dict__.setdefault("_clouds", {})
        if split not in known:
            known[split] = labeled_clouds(
                self.dataset,
                self.root,
                split,
                points=self.cloud_points,
                normalize=self.normalize,
                up_axis=self.up_axis,
                seed=self.seed,
            )
        return known[split]

    @cached_property
    def rendered_set(self) -> tuple[Clouds, RenderedSet]:
        """Clouds and views of the test split of the rendered set."""
        assert self.rendered_root is not None
        if self.rendered is None:
            return self.clouds("test"), RenderedSet(self.root, "test")
        clouds = labeled_clouds(
            "rendered", self.rendered, "test", points=self.cloud_points, normalize=self.normalize, up_axis=self.up_axis
        )
        return clouds, RenderedSet(self.rendered, "test")

    @cached_property
    def part_clouds(self) -> dict[str, Clouds]:
        """Splits "train", "val" and "test" of the clouds with parts."""
        assert self.parts is not None
        return {
            split: labeled_clouds("shapenetpart", self.parts, split, points=self.part_points, normalize=self.normalize)
            for split in ("train", "val", "test")
        }

    def settings(self) -> dict[str, Any]:
        """All that decides figures, as JSON holds it; paths as they were given."""
        given = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
        plain["points"] = self.cloud_points
        plain["device"] = self.device_name.split(":")[0]
        files = {checkpoint.path for row in self.rows for checkpoint in row.checkpoints}
        plain[SHA256] = {str(path): _digest(path) for path in sorted(files)}
        return {name: value for name, value in plain.items() if name not in IGNORED_ON_RESUME}

    def open(self) -> None:
        """Begin in a new folder, or go on in that of the same study.

        Raises:
            ValueError: if the folder is another study's, or holds something else.
        """
        saved, settings = self.out / SETTINGS, self.settings()
        if not saved.is_file():
            if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
                raise ValueError(f"found {self.out} without a study, expected a new folder: choose another --out")
            with atomic_write(saved) as file:
                file.write(json.dumps(settings, indent=2, ensure_ascii=False).encode() + b"\n")
            return
        changed = _differences(_read(saved), settings)
        if changed:
            raise ValueError(
                f"found other settings than those the study in {self.out} began with ({'; '.join(changed)}), expected "
                "the same: repeat them, or choose another --out"
            )


def _read(saved: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(saved.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"found no settings in {saved} ({error}), expected those of a study: choose another"
        ) from error


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    changed = [
        f"{name}: {before.get(name)} then, {now.get(name)} now"
        for name in {**before, **now}
        if name != SHA256 and before.get(name) != now.get(name)
    ]
    known = before.get(SHA256, {})
    return changed + [
        f"other bytes in {path}" for path, digest in now[SHA256].items() if known.get(path, digest) != digest
    ]


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
