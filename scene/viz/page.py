"""A page that shows a cloud and turns it, as one HTML file that needs nothing else: no network, no server, no library.

All that belongs to the frame goes in as JSON, whose names become text nodes, never markup; a content security policy
lets the page run its own script and nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np

from crosspoint.html_page import write_html
from crosspoint.scene.data.sample import Boxes, LidarSample
from crosspoint.scene.viz.colorings import Coloring
from crosspoint.scene.viz.payload import payload
from crosspoint.scene.viz.point_features import PointFeatures

BODY = '<canvas id="cloud" tabindex="0" role="img"></canvas>\n<aside id="panel"></aside>'
SCRIPTS = ("data", "similarity", "orbit", "painter", "legend", "page")


def write_page(
    frame: LidarSample,
    path: Path,
    classes: Sequence[str],
    predictions: np.ndarray | None = None,
    box_classes: Sequence[str] = (),
    features: PointFeatures | None = None,
    weak_classes: Sequence[str] = (),
    further: Sequence[Coloring] = (),
    found: Boxes | None = None,
) -> None:
    """Write a frame whose parts fit each other as one self-contained HTML file, atomically.

    Args:
        frame: N points, with pairs where there are images.
        path: of the file.
        classes: names of the labels.
        predictions: (N,) integers; None for none.
        box_classes: names of the boxes' labels.
        features: of all points; None for none.
        weak_classes: names of the weak labels, by which points are colored, too; empty for none.
        further: colorings, such as by true and found objects.
        found: boxes that a network found.
    """
    style = _read("page.css")
    script = "\n".join(_read(f"{name}.js") for name in SCRIPTS)
    data = payload(frame, classes, predictions, box_classes, features, weak_classes, further, found)
    write_html(path, BODY, title=frame.name, style=style, script=script, data=data, scheme="dark")


def _read(name: str) -> str:
    return (files("crosspoint.scene.viz") / "web" / name).read_text(encoding="utf-8")
