"""Plug-ins: built-in classes by short names, classes of a user by import paths, and the arguments that built an object.

A new built-in is a new file and one line here. Nothing else lists what there is: configurations, checkpoints, commands
and help resolve names through this table, and a name with a dot in it is an import path, as jsonargparse writes them.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from argparse import ArgumentError
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Literal

from crosspoint.renderers.files import cut
from crosspoint.renderers.json_object import JsonObject

Kind = Literal["encoder", "image_encoder", "method", "dataset", "labeled_dataset", "labeler", "protocol"]

SHORT_NAMES: dict[Kind, dict[str, str]] = {
    "encoder": {
        "dgcnn": "crosspoint.models.dgcnn.DGCNN",
        "pointnet": "crosspoint.models.pointnet.PointNet",
        "point_transformer": "crosspoint.models.point_transformer.PointTransformer",
        "dgcnn_partseg": "crosspoint.models.dgcnn_partseg.PartSegDGCNN",
        "minkunet": "crosspoint.scene.models.minkunet.MinkUNet",
        "voxelnet": "crosspoint.scene.models.voxelnet.VoxelNet",
        "pointnet2": "crosspoint.scene.models.pointnet2.PointNet2",
    },
    "image_encoder": {
        "resnet": "crosspoint.models.image_encoder.ImageEncoder",
        "timm": "crosspoint.models.timm_encoder.TimmEncoder",
        "embedded": "crosspoint.models.embedded_views.EmbeddedViews",
        "image_teacher": "crosspoint.models.image_teacher.ImageTeacher",
        "pixel_encoder": "crosspoint.scene.models.pixel_encoder.PixelEncoder",
        "resnet_maps": "crosspoint.scene.models.pixel_encoder.ResNetMaps",
    },
    "method": {
        "crosspoint": "crosspoint.methods.crosspoint.CrossPoint",
        "crossjepa": "crosspoint.methods.crossjepa.CrossJEPA",
        "mm_point": "crosspoint.methods.mm_point.MMPoint",
        "ppkt": "crosspoint.scene.methods.ppkt.PPKT",
        "olivine": "crosspoint.scene.methods.olivine.OLIVINE",
        "regression": "crosspoint.scene.methods.regression.Regression",
        "slidr": "crosspoint.scene.methods.slidr.SLidR",
        "simipu": "crosspoint.scene.methods.simipu.SimIPU",
        "cmcr": "crosspoint.scene.methods.cmcr.CMCR",
    },
    "dataset": {
        "rendered": "crosspoint.datasets.rendered.RenderedPairs",
        "embedded": "crosspoint.datasets.embedded.pairs.EmbeddedPairs",
        "shapenet": "crosspoint.datasets.shapenet.ShapeNetPairs",
        "clouds": "crosspoint.datasets.cloud_folder.CloudFolder",
        "daps3d": "crosspoint.scene.datasets.daps3d.Daps3d",
        "folder": "crosspoint.scene.datasets.folder.FolderScenes",
        "kitti_depth": "crosspoint.scene.datasets.kitti_depth.KittiDepth",
        "kitti_object": "crosspoint.scene.datasets.kitti_object.KittiObject",
        "kitti_raw": "crosspoint.scene.datasets.kitti_raw.KittiRaw",
        "nuscenes": "crosspoint.scene.datasets.nuscenes.NuScenes",
        "nuscenes_panoptic": "crosspoint.scene.datasets.nuscenes_panoptic.NuScenesPanoptic",
        "rellis3d": "crosspoint.scene.datasets.rellis3d.Rellis3d",
        "scribblekitti": "crosspoint.scene.datasets.scribblekitti.ScribbleKitti",
        "semantickitti": "crosspoint.scene.datasets.semantickitti.SemanticKitti",
        "semanticposs": "crosspoint.scene.datasets.semanticposs.SemanticPoss",
        "semanticstf": "crosspoint.scene.datasets.semanticstf.SemanticStf",
        "synlidar": "crosspoint.scene.datasets.synlidar.SynLidar",
        "synth4d": "crosspoint.scene.datasets.synth4d.Synth4d",
        "synthetic": "crosspoint.scene.synthetic.dataset.SyntheticScenes",
        "waymo": "crosspoint.scene.datasets.waymo.Waymo",
    },
    "labeled_dataset": {
        "rendered": "crosspoint.datasets.rendered.RenderedClouds",
        "clouds": "crosspoint.datasets.cloud_folder.LabeledCloudFolder",
        "modelnet": "crosspoint.datasets.modelnet.ModelNet",
        "modelnet40_hdf5": "crosspoint.datasets.modelnet40_hdf5.ModelNet40Hdf5",
        "modelnet40_resampled": "crosspoint.datasets.modelnet40_resampled.ModelNet40Resampled",
        "modelnet_r": "crosspoint.datasets.modelnet_r.ModelNetR",
        "scanobjectnn_obj_bg": "crosspoint.datasets.scanobjectnn.ScanObjectNNObjBg",
        "scanobjectnn_obj_only": "crosspoint.datasets.scanobjectnn.ScanObjectNNObjOnly",
        "scanobjectnn_pb_t25": "crosspoint.datasets.scanobjectnn.ScanObjectNNPbT25",
        "scanobjectnn_pb_t25_r": "crosspoint.datasets.scanobjectnn.ScanObjectNNPbT25R",
        "scanobjectnn_pb_t50_r": "crosspoint.datasets.scanobjectnn.ScanObjectNNPbT50R",
        "scanobjectnn_pb_t50_rs": "crosspoint.datasets.scanobjectnn.ScanObjectNNPbT50Rs",
        "shapenetpart": "crosspoint.datasets.shapenetpart.ShapeNetPart",
    },
    "labeler": {
        "semantic": "crosspoint.scene.labels.semantic.SemanticLabeler",
        "open": "crosspoint.scene.labels.open_vocabulary.OpenLabeler",
        "regions": "crosspoint.scene.labels.regions.RegionLabeler",
    },
    "protocol": {
        "linear": "crosspoint.eval.protocols.linear_svm.Linear",
        "knn": "crosspoint.eval.protocols.knn.Knn",
        "retrieval": "crosspoint.eval.protocols.retrieval.Retrieval",
        "fewshot": "crosspoint.eval.protocols.few_shot.FewShot",
        "folds": "crosspoint.eval.protocols.folds.Folds",
        "crossmodal": "crosspoint.eval.protocols.crossmodal.Crossmodal",
        "finetune": "crosspoint.eval.protocols.finetune.Finetune",
        "partseg": "crosspoint.eval.protocols.partseg.PartSegmentation",
        "robustness": "crosspoint.eval.protocols.robustness.Robustness",
        "depth": "crosspoint.eval.protocols.depth.Depth",
        "semseg": "crosspoint.eval.protocols.semseg.SemanticSegmentation",
        "semseg_mlp": "crosspoint.eval.protocols.semseg.MlpProbe",
        "semseg_finetuned": "crosspoint.eval.protocols.semseg.FinetunedSegmentation",
        "detection": "crosspoint.eval.protocols.detection.Detection",
        "panoptic": "crosspoint.eval.protocols.panoptic.PanopticSegmentation",
    },
}


def import_path(kind: Kind, name: str) -> str:
    """The import path of a plug-in: that of a short name in any case, or the name itself where it has a dot.

    Raises:
        ValueError: if it has no dot and is no short name.
    """
    if not isinstance(name, str):
        raise ValueError(f"found {cut(name)} as the class of {kind}, expected a short name or an import path")
    known = SHORT_NAMES[kind]
    if name.lower() in known:
        return known[name.lower()]
    by_class = {path.rpartition(".")[2]: path for path in known.values()}
    if name in by_class:
        return by_class[name]
    if "." in name:
        return name
    near = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise ValueError(
        f"found the {kind} {name!r}, expected one of {', '.join(known)}, or an import path like mine.{kind.title()}"
        f"{hint}"
    )


def import_plugin(kind: Kind, name: str, base: type) -> type:
    """The class of a short name or an import path.

    Args:
        kind: what it is.
        name: of a built-in, or the import path `package.module.Class`.
        base: the class that it must extend.

    Raises:
        ValueError: if there is no such class, or it extends another one.
    """
    path = import_path(kind, name)
    module, _, attribute = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"found no class {path} ({error}), expected an import path for {kind}: check its spelling, and that the "
            "module can be imported from here"
        ) from error
    if not (inspect.isclass(found) and issubclass(found, base)):
        raise ValueError(f"found {path}, expected a class that extends {base.__module__}.{base.__qualname__}")
    return found


class Recorded:
    """An object that remembers the arguments that built it: `arguments`, by name, defaults among them."""

    arguments: JsonObject

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Bind the arguments of the constructor; a copy, which is made without any, brings its own."""
        made = super().__new__(cls)
        try:
            bound = inspect.signature(cls.__init__).bind(made, *args, **kwargs)
        except TypeError:
            return made
        bound.apply_defaults()
        given = dict(list(bound.arguments.items())[1:])
        object.__setattr__(made, "arguments", given)
        return made


def build(kind: Kind, described: JsonObject, base: type, where: object, **given: Any) -> Any:
    """The object that `{"class_path": …, "init_args": …}` describes.

    Args:
        kind: what it is.
        described: its class and plain arguments; dicts become the dataclasses that the constructor asks for.
        base: the class that it must extend.
        where: the file that says so, for messages.
        given: further arguments, which are objects already.

    Raises:
        ValueError: if its class cannot be imported, extends another one, or takes other arguments.
    """
    from jsonargparse import ArgumentParser  # takes a while to import, and most uses build nothing

    made = import_plugin(kind, described["class_path"], base)
    parser = ArgumentParser(exit_on_error=False)
    try:
        parser.add_class_arguments(made, skip={*given})
        # A method without an image branch is described with image_encoder None, which is given, too.
        plain_arguments = {name: value for name, value in described["init_args"].items() if name not in given}
        parsed = parser.instantiate(parser.parse_object(plain_arguments))
        return made(**given, **{name: value for name, value in vars(parsed).items() if name not in given})
    except (TypeError, ArgumentError) as error:
        raise ValueError(
            f"found arguments of {described['class_path']} in {where} that do not fit it "
            f"({' '.join(str(error).split())[:200]}), expected those of its constructor: install the version that "
            "wrote it"
        ) from error


class SampleDataset(Recorded):
    """Base class of all that `data.dataset` names: `PairDataset` of objects, and the datasets of scenes."""


def describe(made: Any) -> JsonObject:
    """An object as `{"class_path": …, "init_args": …}`; arguments that YAML and JSON cannot hold are left out."""
    kind = type(made)
    arguments = getattr(made, "arguments", {})
    return {
        "class_path": f"{kind.__module__}.{kind.__qualname__}",
        "init_args": {name: plain(value) for name, value in arguments.items() if _is_plain(value)},
    }


def plain(value: Any) -> Any:
    """Dataclasses, paths and tuples as YAML and JSON hold them."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def _is_plain(value: object) -> bool:
    value = plain(value)
    if isinstance(value, dict):
        return all(_is_plain(entry) for entry in value.values())
    if isinstance(value, list):
        return all(_is_plain(entry) for entry in value)
    return value is None or isinstance(value, bool | int | float | str)
