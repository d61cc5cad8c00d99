"""The sections of a report, one a method, from what its first seed left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.protocol import Protocol
from crosspoint.eval.report.curves import pretraining_curves
from crosspoint.eval.report.pictures import cloud_picture, view_picture
from crosspoint.eval.report.report_model import Embedding, Picture, Retrieved, Section
from crosspoint.eval.results import Result
from crosspoint.eval.study.embedding_map import SCENERY
from crosspoint.eval.study.runs import kept_arrays, results_dir
from crosspoint.renderers.arrays import read_arrays
from crosspoint.renderers.files import reading


class Gallery:
    """Pictures of the test clouds, drawn once for all methods: views where there are some."""

    def __init__(self, data: EvaluationData) -> None:
        self.data = data

    @cached_property
    def pictures(self) -> list[bytes]:
        """One of each test cloud."""
        views = self.data.views("test")
        if views is not None:
            return [view_picture(views, index) for index in range(len(views))]
        return [cloud_picture(points) for points in self.data.clouds("test").points]


def section(
    name: str, run: EvaluationRun, protocols: Sequence[Protocol], results: Mapping[str, Result], gallery: Gallery
) -> Section:
    """All there is to see of a method.

    Args:
        name: of the method.
        run: its first network.
        protocols: of the study.
        results: of this network, by protocol; those that failed are missing.
        gallery: pictures of the test clouds.
    """
    done = [protocol for protocol in protocols if protocol.name in results]
    shown = [protocol.show(run, results[protocol.name], kept_arrays(run, protocol)) for protocol in done]
    embedding, retrieved = None, next((each.retrieved for each in shown if each.retrieved), None)
    scenery = results_dir(run) / SCENERY
    if scenery.is_file():
        arrays = read_arrays(scenery, "what a study keeps for its report")
        with reading(scenery, "what a study keeps for its report", "remove it"):
            if arrays["positions"].shape != (len(arrays["mapped"]), 2):
                raise ValueError(f"positions of shape {arrays['positions'].shape} for {len(arrays['mapped'])} clouds")
            answers = next((each.answers for each in shown if each.answers is not None), None)
            embedding = None if answers is None else _embedding(arrays, answers, run.data, gallery)
            retrieved = retrieved or _neighbors(arrays, run.data, gallery)
    curves = [] if run.random_init else pretraining_curves(run.checkpoint.path.parent)
    return Section(
        name,
        embedding,
        retrieved or (),
        segmented=[cloud for each in shown for cloud in each.segmented],
        curves=[*curves, *(curve for each in shown for curve in each.curves)],
        matrix=next((each.matrix for each in shown if each.matrix is not None), None),
        tables=[table for each in shown for table in each.tables],
        pictures=_pictures({protocol.name: each.pictures for protocol, each in zip(done, shown, strict=True)}),
    )


def _pictures(by_protocol: Mapping[str, Sequence[Picture]]) -> list[Picture]:
    """The pictures of all protocols; captions say whose they are where there are several."""
    several = sum(map(bool, by_protocol.values())) > 1
    return [
        replace(picture, caption=f"{name}: {picture.caption}") if several else picture
        for name, pictures in by_protocol.items()
        for picture in pictures
    ]


def _embedding(
    scenery: Mapping[str, np.ndarray], answers: np.ndarray, data: EvaluationData, gallery: Gallery
) -> Embedding:
    mapped = scenery["mapped"]
    return Embedding(
        positions=scenery["positions"],
        labels=data.clouds("test").labels[mapped],
        predicted=answers[mapped],
        pictures=[gallery.pictures[index] for index in mapped],
    )


def _neighbors(scenery: Mapping[str, np.ndarray], data: EvaluationData, gallery: Gallery) -> list[Retrieved]:
    """Clouds with the clouds nearest to them."""
    clouds = data.clouds("test")
    named = [clouds.classes[label] for label in clouds.labels]
    return [
        Retrieved(gallery.pictures[query], named[query], [(gallery.pictures[item], named[item]) for item in found])
        for query, found in zip(scenery["queries"], scenery["found"], strict=True)
    ]
