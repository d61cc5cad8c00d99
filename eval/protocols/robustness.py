"""Robustness: a linear SVM on frozen features of clean clouds, measured on corrupted ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from crosspoint.datasets.labeled import labeled_dataset
from crosspoint.eval.checkpoint import Checkpoint
from crosspoint.eval.classifiers.svm import accuracy
from crosspoint.eval.corruptions.mesh_splits import corrupt_by_meshes
from crosspoint.eval.corruptions.suites import SEVERITIES, SUITES, corrupt
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.metrics.corruption_error import mean_corruption_error, relative_mean_corruption_error
from crosspoint.eval.protocols.benchmarks import clouds_label, known_data
from crosspoint.eval.protocols.linear_svm import answer_linear_svm
from crosspoint.eval.protocols.protocol import Column, Measured, Protocol, on_dataset
from crosspoint.eval.results import Result
from crosspoint.fields import described

log = logging.getLogger("crosspoint")

WORD = 0x434F5252  # keeps these draws apart from others of the same seed


@dataclass(frozen=True)
class Robustness(Protocol):
    """Linear SVM on frozen features, trained on clean clouds and measured on corrupted ones of the test split.

    Corruptions are made here, by the rules and constants of the public benchmarks: nothing is downloaded. Clouds should
    have 1,024 points, for which they are defined.

    Args:
        corruptions: modelnet_c, 7 kinds of 5 severities; modelnet40_c, 15 kinds, of which occlusion and lidar look at
            meshes, and are left out where the dataset has clouds alone
    """

    name = "robustness"

    corruptions: Literal["modelnet_c", "modelnet40_c"] = "modelnet_c"

    def feature_splits(self) -> tuple[str, ...]:
        """Clean features of both splits; corrupted clouds are described besides."""
        return ("train", "test")

    def unsupported(self, checkpoint: Checkpoint) -> str | None:
        """Encoders of normals or colors: corruptions move points, and say nothing of those."""
        if checkpoint.fields:
            return f"an encoder of {described(checkpoint.fields)}, while corruptions are of x y z alone"
        return super().unsupported(checkpoint)

    def check(self, data: EvaluationData) -> None:
        """Refuse test clouds that are training clouds, too."""
        data.refuse_overlap(data.clouds("train"), data.clouds("test"))

    def run(self, run: EvaluationRun) -> Measured:
        """Accuracy on clean clouds, by corruption over its severities, and their mean.

        - accuracy: of clean clouds.
        - accuracy_corrupted: mean over all corruptions and severities.
        - retained: accuracy_corrupted as a share of accuracy.
        - accuracy_NAME: mean over the severities of a corruption.
        - mce, rmce: of ModelNet-C against its DGCNN, where the data are ModelNet40's; 100 for the baseline.
        """
        train, test = run.data.clouds("train"), run.data.clouds("test")
        parts, names = [run.features("test")], [("clean", 0)]
        for name in SUITES[self.corruptions].corruptions:
            for severity in range(1, SEVERITIES + 1):
                parts.append(run.extract(self.corrupted(run.data, name, severity), progress=False))
                names.append((name, severity))
        for key, clouds in self.seen(run.data, run.jobs).items():
            parts.append(run.extract(clouds, progress=False))
            names.append(key)
        truth = np.tile(test.labels, len(parts))
        fitted, predicted = answer_linear_svm(
            run.features("train"), train.labels, np.concatenate(parts), truth, seed=run.seed, jobs=run.jobs
        )
        right = [accuracy(answer, test.labels) for answer in np.split(predicted, len(parts))]
        records = [
            {"corruption": name, "severity": severity, "accuracy": value}
            for (name, severity), value in zip(names, right, strict=True)
        ]
        kinds = [name for name, _ in names[1::SEVERITIES]]
        figures = self._figures(right, run.data, kinds)
        result = Result(f"robustness/{self.corruptions}", figures, fitted.constants, records)
        constants = {**result.constants, "test": len(test), "kinds": len(kinds)}
        return on_dataset(replace(result, constants=constants), train.name), {}

    def _figures(self, right: list[float], data: EvaluationData, kinds: Sequence[str]) -> dict[str, float]:
        """Figures in percent of accuracies, clean ones first, then those of each kind by severity."""
        clean, corrupted = right[0], np.array(right[1:]).reshape(-1, SEVERITIES).mean(axis=1)
        by_name = dict(zip(kinds, corrupted.tolist(), strict=True))
        mean = float(corrupted.mean())
        figures = {"accuracy": clean, "accuracy_corrupted": mean, "retained": 100 * mean / max(clean, 1e-9)}
        figures |= {f"accuracy_{name}": value for name, value in by_name.items()}
        if self.corruptions == "modelnet_c" and known_data(data.clouds("test")) == "modelnet40":
            shares = {name: value / 100 for name, value in by_name.items()}
            figures["mce"] = 100 * mean_corruption_error(shares)
            figures["rmce"] = 100 * relative_mean_corruption_error(clean / 100, shares)
        return figures

    def corrupted(self, data: EvaluationData, name: str, severity: int) -> np.ndarray:
        """Test clouds (n, N', 3) under a corruption; each cloud has draws of its own."""
        suite = SUITES[self.corruptions]
        wide = replace(data, points=2 * data.points, _clouds={}) if name in suite.doubled else data
        kind = list(suite.corruptions).index(name)
        clouds = [
            corrupt(
                cloud, self.corruptions, name, severity, np.random.default_rng([data.seed, WORD, kind, severity, row])
            )
            for row, cloud in enumerate(wide.clouds("test").points)
        ]
        return np.stack(clouds)

    def seen(self, data: EvaluationData, jobs: int = 1) -> dict[tuple[str, int], np.ndarray]:
        """Test clouds (n, N', 3) under corruptions that look at meshes, by name and severity; none without meshes."""
        views = SUITES[self.corruptions].of_meshes
        if not views:
            return {}
        assert data.dataset is not None and data.root is not None
        dataset = labeled_dataset(data.dataset)(data.root)
        test = data.clouds("test")
        meshes = dataset.meshes("test")
        if meshes is None:
            log.warning(
                "%s has clouds alone: %s, which look at meshes, are left out of %s; take dataset modelnet for them",
                *(test.name, " and ".join(views), self.corruptions),
            )
            return {}
        up_axis = data.up_axis or dataset.up_axis
        return corrupt_by_meshes(test.points, meshes, self.corruptions, [data.seed, WORD], up_axis=up_axis, jobs=jobs)

    def columns(self, data: EvaluationData) -> list[Column]:
        """Accuracy under corruptions, and what share of the clean accuracy that is."""
        label = clouds_label(data.clouds("test"), data.root)
        return [
            Column(f"corrupted ({self.corruptions}), {label}", self.name, "accuracy_corrupted"),
            Column(f"retained ({self.corruptions}), {label}", self.name, "retained"),
        ]
