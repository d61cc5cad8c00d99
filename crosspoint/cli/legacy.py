"""Old flags and YAML keys: those of version 0.1 are read for one release, with a warning that names the new ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from crosspoint.plugins import SHORT_NAMES
from crosspoint.renderers.json_object import JsonObject

log = logging.getLogger("crosspoint")

COMMANDS = {"synthesise": "synthesize"}

COMPUTE = ("precision", "accelerator", "devices", "nodes", "compile", "sync_batchnorm")
DATASET = ("root", "split", "views", "image_size", "cache", "skip")
PAIRS = ("min_depth", "occlusion")

# of each command: how an old flag, or all that begin with it where it ends in a dot, begins now
FLAGS: dict[str, dict[str, str]] = {
    "pretrain": {
        "--encoder.network": "--encoder",
        "--method.name": "--method",
        "--data.holdout": "--probe.holdout",
        "--data.probe_points": "--probe.points",
        "--data.workers": "--compute.workers",
        "--training.probe_every": "--probe.every",
        "--training.optimiser": "--training.optimizer",
        "--image.": "--image_encoder.",
        "--augmentation.": "--method.augmentation.",
        "--voxels.": "--method.voxels.",
        "--method.regions.": "--method.superpixels.",
        "--method.regions_cache": "--method.superpixels_cache",
        "--method.pointnet2": "--encoder.stages",
        "--sparse_backend": "--encoder.sparse_backend",
        **{f"--training.{key}": f"--compute.{key}" for key in COMPUTE},
        **{f"--data.{key}": f"--data.dataset.{key}" for key in DATASET},
        **{f"--data.{key}": f"--method.{key}" for key in PAIRS},
    },
    "evaluate": {
        "--normalise": "--normalize",
        "--network": "--save_dir",
        "--protocol": "--variant",
        "--optimiser": "--optimizer",
        "--recipe.optimiser": "--recipe.optimizer",
        "--recipe.standardise": "--recipe.standardize",
    },
    "show": {"--regions": "--superpixels"},
}


DROPPED = {"evaluate": {"--all_settings": "all settings are measured unless --ways and --shots name some"}}


def rename_flags(words: Sequence[str]) -> list[str]:
    """What was typed, in the names of today."""
    if not words:
        return []
    command = COMMANDS.get(words[0], words[0])
    if command != words[0]:
        _warn([f"{words[0]} is now {command}"])
    renamed, said = [command], []
    following = iter(words[1:])
    for word in following:
        flag, equals, value = word.partition("=")
        if flag in DROPPED.get(command, {}):
            said.append(f"{flag} is gone, {DROPPED[command][flag]}")
            if not equals:
                next(following, None)
            continue
        new = _renamed(flag, FLAGS.get(command, {}))
        if new != flag:
            said.append(f"{flag} is now {new}")
        renamed.append(f"{new}{equals}{value}")
    _warn(said)
    return renamed


def upgrade(tree: JsonObject) -> JsonObject:
    """A configuration of `crosspoint pretrain` in the keys of today; one that has them already is left as it is."""
    new = {key: dict(value) if isinstance(value, Mapping) else value for key, value in tree.items()}
    said: list[str] = []
    name = _method(new, said)
    _dataset(new, said)
    _encoders(new, name, said)
    _training(new, said)
    _warn(said)
    return new


def _renamed(flag: str, names: Mapping[str, str]) -> str:
    if flag in names:
        return names[flag]
    for old, new in names.items():
        if old.endswith(".") and flag.startswith(old):
            return new + flag.removeprefix(old)
    return flag


def _method(tree: JsonObject, said: list[str]) -> str:
    """The method's keys below its init_args, those of whole sections of its own among them; its short name."""
    given = tree.get("method")
    if isinstance(given, dict) and "class_path" not in given:
        name = given.pop("name", None) or "crosspoint"
        said.append("method: {name, …} is now method: {class_path, init_args: {…}}")
        for old, new in (("regions", "superpixels"), ("regions_cache", "superpixels_cache")):
            if old in given:
                given[new] = given.pop(old)
        if "pointnet2" in given:
            size = given.pop("pointnet2")
            if name == "simipu":
                _arguments(tree, "encoder", "pointnet2")["stages"] = size
        tree["method"] = {"class_path": name, "init_args": given}
    chosen = tree.get("method") or "crosspoint"
    name = str(chosen["class_path"] if isinstance(chosen, Mapping) else chosen)
    for section in ("augmentation", "voxels"):
        if section in tree:
            said.append(f"{section} is now method.init_args.{section}")
            value = tree.pop(section)
            if not (name == "simipu" and section == "voxels"):
                _arguments(tree, "method", name)[section] = value
    return name


def _dataset(tree: JsonObject, said: list[str]) -> None:
    data = tree.get("data")
    if not isinstance(data, dict):
        return
    name = str((tree.get("method") or {}).get("class_path", "crosspoint"))
    for old, section, new in (("holdout", "probe", "holdout"), ("probe_points", "probe", "points")):
        if old in data:
            said.append(f"data.{old} is now {section}.{new}")
            tree.setdefault(section, {})[new] = data.pop(old)
    if "workers" in data:
        said.append("data.workers is now compute.workers")
        tree.setdefault("compute", {})["workers"] = data.pop("workers")
    for key in PAIRS:
        if key in data:
            said.append(f"data.{key} is now method.init_args.{key}")
            _arguments(tree, "method", name)[key] = data.pop(key)
    arguments = {key: data.pop(key) for key in DATASET if key in data}
    if not arguments:
        return
    said.append("data: {dataset, root, …} is now data: {dataset: {class_path, init_args: {root, …}}}")
    arguments = {key: value for key, value in arguments.items() if value is not None}
    if arguments.get("skip") == 1:
        del arguments["skip"]
    dataset = data.get("dataset", "rendered")
    if isinstance(dataset, str):
        if dataset == "shapenet":
            arguments = {key: value for key, value in arguments.items() if key in ("root", "views", "image_size")}
        data["dataset"] = {"class_path": dataset, "init_args": arguments}
    else:  # a name and its arguments from another file
        _arguments(data, "dataset", "rendered").update(arguments)


def _encoders(tree: JsonObject, name: str, said: list[str]) -> None:
    given = tree.get("encoder")
    if isinstance(given, dict) and "class_path" not in given and "init_args" not in given:
        said.append("encoder: {network, …} is now encoder: {class_path, init_args: {…}}")
        scenes = {"ppkt": "minkunet", "slidr": "minkunet", "simipu": "pointnet2"}
        network = given.pop("network", None) or scenes.get(name, "dgcnn")
        dropped = {"pointnet": ("k", "channels"), "dgcnn_partseg": ("channels", "embedding")}.get(network, ())
        if network == "pointnet2":  # a MinkUNet's sizes, which SimIPU did not read
            given = {}
        arguments = {key: value for key, value in given.items() if key not in dropped}
        tree["encoder"] = {"class_path": network, "init_args": arguments}
    method = tree.get("method")
    of_method = method.get("init_args") if isinstance(method, dict) else None
    if isinstance(of_method, dict) and of_method.get("image_encoder", ...) is None:
        del of_method["image_encoder"]  # a run without images wrote it there, too
    images = tree.get("image_encoder")
    if isinstance(images, dict) and "class_path" not in images:
        said.append("image_encoder: {network, …} is now image_encoder: {class_path, init_args: {…}}")
        tree["image_encoder"] = {"class_path": "resnet", "init_args": images}
    if "image" in tree:
        said.append("image is now image_encoder")
        image = dict(tree.pop("image") or {})
        if name == "simipu":
            if "projection" in image:
                _arguments(tree, "method", name)["projection"] = image.pop("projection")
            image.pop("dilated", None)
        kind = "resnet_maps" if name == "simipu" else "pixel_encoder"
        tree["image_encoder"] = {"class_path": kind, "init_args": image}
    if "sparse_backend" in tree:
        said.append("sparse_backend is now encoder.init_args.sparse_backend")
        _arguments(tree, "encoder", "minkunet")["sparse_backend"] = tree.pop("sparse_backend")


def _training(tree: JsonObject, said: list[str]) -> None:
    training = tree.get("training")
    if not isinstance(training, dict):
        return
    if "optimiser" in training:
        said.append("training.optimiser is now training.optimizer")
        training["optimizer"] = training.pop("optimiser")
    for key in COMPUTE:
        if key in training:
            said.append(f"training.{key} is now compute.{key}")
            tree.setdefault("compute", {})[key] = training.pop(key)
    if "probe_every" in training:
        said.append("training.probe_every is now probe.every")
        every = training.pop("probe_every")
        method = str((tree.get("method") or {}).get("class_path", "crosspoint"))
        if SHORT_NAMES["method"].get(method, "").startswith("crosspoint.methods."):  # scenes did not read it
            tree.setdefault("probe", {})["every"] = every


def _arguments(tree: JsonObject, section: str, name: str) -> JsonObject:
    """The init_args of a section, which is made where it is absent."""
    described = tree.get(section)
    if not isinstance(described, dict):
        described = {"class_path": described or name, "init_args": {}}
        tree[section] = described
    arguments: JsonObject = described.setdefault("init_args", {})
    return arguments


def _warn(said: Sequence[str]) -> None:
    if said:
        log.warning("old names, which the next release will refuse: %s", "; ".join(said))
