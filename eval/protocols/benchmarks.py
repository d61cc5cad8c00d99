"""Names of data in a table: benchmarks by the names that papers use, sets of a user's own by their folders."""

from __future__ import annotations

from pathlib import Path

from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.modelnet40_hdf5 import MODELNET40
from crosspoint.datasets.shapenetpart import SHAPENETPART
from crosspoint.eval.evaluation_data import EvaluationData

NAMES = {
    "modelnet40": "ModelNet40",
    "modelnet_r": "ModelNet-R",
    "shapenetpart": "ShapeNetPart",
    "scanobjectnn/obj_bg": "ScanObjectNN OBJ_BG",
    "nuscenes": "nuScenes",
    "semantickitti": "SemanticKITTI",
    "rellis3d": "RELLIS-3D",
}


def clouds_label(clouds: Clouds, root: Path | None) -> str:
    """What a dataset of clouds is called."""
    known = known_data(clouds)
    if known is not None:
        return NAMES[known]
    return clouds.name if clouds.name.startswith("scanobjectnn/") or root is None else (root.name or clouds.name)


def frames_label(data: EvaluationData) -> str:
    """What a dataset of frames is called."""
    return NAMES.get(str(data.dataset), data.label)


def known_data(clouds: Clouds) -> str | None:
    """The benchmark that clouds are of, by name and classes, as the published figures have it."""
    if clouds.name == "modelnet_r":
        return clouds.name
    if clouds.name.startswith("modelnet") and sorted(clouds.classes) == sorted(MODELNET40):
        return "modelnet40"
    if clouds.name == "scanobjectnn/obj_bg":
        return clouds.name
    if clouds.name == "shapenetpart" and clouds.classes == list(SHAPENETPART):
        return "shapenetpart"
    return None


def published_key(protocol: str, clouds: Clouds) -> tuple[str, str] | None:
    """By which papers' figures of a protocol are found; None where none are of the same data."""
    known = known_data(clouds)
    return None if known is None else (protocol, known)
