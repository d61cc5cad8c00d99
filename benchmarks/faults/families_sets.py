"""Cases on rendered sets, and the configuration of a run that reads one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.faults import inputs_objects as valid
from benchmarks.faults.damage import Damage, Expect, fifo, link, text
from benchmarks.faults.damage_code import traversal
from benchmarks.faults.damage_trees import deep_json
from benchmarks.faults.family import Family


def run_config(epochs: int = 1) -> dict[str, Any]:
    """A run of CrossPoint that takes a second."""
    return {
        "out": "out",
        "data": {"dataset": {"class_path": "rendered", "init_args": {"root": "in/set", "split": "train"}}},
        "encoder": {"class_path": "dgcnn", "init_args": {"k": 4, "channels": [8, 8], "embedding": 16}},
        "image_encoder": {"class_path": "resnet", "init_args": {"network": "resnet18"}},
        "method": {"class_path": "crosspoint", "init_args": {"images": {"size": 16}}},
        "training": {"epochs": epochs, "batch_size": 4},
        "compute": {"accelerator": "cpu", "workers": 0},
        "probe": {"holdout": 0.25, "every": 2, "points": 32},
    }


def write_run(folder: Path, epochs: int = 1, jobs: int = 1) -> None:
    """A rendered set and the configuration of a run on it."""
    from crosspoint.renderers import render_folder

    valid.write_meshes(folder / "meshes")
    render_folder(folder / "meshes", folder / "set", views=1, size=16, points=48, jobs=jobs)
    (folder / "run.yaml").write_text(yaml.safe_dump(run_config(epochs)))


def write_study(folder: Path) -> None:
    """Clouds and two checkpoints."""
    valid.write_clouds(folder / "clouds")
    valid.write_encoder(folder / "e.ckpt")
    valid.write_encoder(folder / "e.safetensors")


def json_keys(path: str, expect: Expect, **changes: object) -> Damage:
    """Keys of a JSON file replaced; a key with __ leads down."""

    def change(folder: Path) -> None:
        tree = json.loads((folder / path).read_text())
        for key, value in changes.items():
            holder, *way = tree, *key.split("__")
            for step in way[:-1]:
                holder = holder[int(step) if step.isdigit() else step]
            holder[int(way[-1]) if way[-1].isdigit() else way[-1]] = value
        (folder / path).write_text(json.dumps(tree))

    what = ", ".join(f"{key.replace('__', '.')} = {str(value)[:20]}" for key, value in changes.items())
    return Damage(f"{path}: {what}", expect, change)


def _nan_cloud(folder: Path) -> None:
    shard = folder / "in" / "set" / "train-000000.tar"
    offset, size = json.loads(shard.with_suffix(".json").read_text())["samples"][1]["members"]["points.npy"]
    data = bytearray(shard.read_bytes())
    data[offset + size - 48 * 12 : offset + size] = np.full((48, 3), np.nan, dtype=np.float32).tobytes()
    shard.write_bytes(bytes(data))


SET, INDEX = "in/set/set.json", "in/set/train-000000.json"
SETS = Family(
    "rendered sets (pretrain)",
    "set",
    write_run,
    "pretrain in/run.yaml",
    ("in/set/*",),
    (
        json_keys(SET, "refused", shards=10**9),
        json_keys(SET, "refused", settings__views=10**9),
        json_keys(SET, "refused", format=999),
        json_keys(SET, "refused", settings__views=-1),
        json_keys(SET, "refused", settings=[]),
        json_keys(SET, "refused", classes="ball"),
        json_keys(SET, "refused", settings__size=64),
        text(SET, deep_json(), name="deep"),
        text(SET, deep_json("settings"), name="deep below a key"),
        json_keys(INDEX, "refused", samples={}),
        json_keys(INDEX, "refused", samples=[[]]),
        json_keys(INDEX, "refused", bytes=-1),
        json_keys(INDEX, "refused", samples__0__members={}),
        json_keys(INDEX, "refused", samples__0__key=["a"]),
        Damage("the index says −1 bytes", "refused", lambda f: _index_size(f, -1)),
        Damage("… 10¹² bytes", "refused", lambda f: _index_size(f, 10**12)),
        Damage("one cloud of NaN", "refused", _nan_cloud),
        traversal("in/set/train-000000.tar", "../../../escape"),
        fifo("in/set/train-000000.json"),
        link("in/set/set.json", "set.json", "refused"),
        text(SET, "[]"),
        text(SET, "null"),
    ),
)


def _index_size(folder: Path, size: int) -> None:
    tree = json.loads((folder / INDEX).read_text())
    tree["samples"][0]["members"]["points.npy"][1] = size
    (folder / INDEX).write_text(json.dumps(tree))
