"""Cases on what the toolkit wrote itself: rendered sets, begun runs and studies, configurations, flags."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.faults import inputs_objects as valid
from benchmarks.faults.damage import Damage, fifo, flags, link, remove, text
from benchmarks.faults.damage_archives import hash_bomb, torch_code, traversal, zip_bomb
from benchmarks.faults.damage_trees import alias_bomb, deep_json, yaml_code
from benchmarks.faults.family import Family

RENDER = "render in/meshes out --views 1 --size 16 --points 48 --jobs 1"
FINETUNE = "evaluate finetune --checkpoint in/e.ckpt --dataset modelnet40_hdf5 --root in/clouds --validation 0.25 --device cpu" \
           " --recipe.epochs 6 --recipe.batch_size 4 --resources.accelerator cpu --save_dir out"  # fmt: skip
STUDY = "evaluate all --checkpoint A=in/e.ckpt --checkpoint B=in/e.safetensors --dataset modelnet40_hdf5 --root in/clouds" \
        " --protocols knn,linear --device cpu --jobs 1 --out out"  # fmt: skip


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


def _json(path: str, expect: str, **changes: object) -> Damage:
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


def _checkpoint(name: str, expect: str, change: Callable[[dict[str, Any]], Any]) -> Damage:
    """The content of a run's last checkpoint changed."""

    def changed(folder: Path) -> None:
        import torch

        path = folder / "out" / "last.ckpt"
        content = torch.load(path, weights_only=True)
        torch.save(change(content) or content, path)

    return Damage(f"last.ckpt: {name}", expect, changed)


def _remove(path: str, expect: str = "any") -> Damage:
    return Damage(f"no {path}", expect, lambda folder: remove(folder / path))


def _nan_cloud(folder: Path) -> None:
    from crosspoint.renderers.shards import read_index

    shard = folder / "in" / "set" / "train-000000.tar"
    offset, size = read_index(shard)["samples"][1]["members"]["points.npy"]
    data = bytearray(shard.read_bytes())
    data[offset + size - 48 * 12 : offset + size] = np.full((48, 3), np.nan, dtype=np.float32).tobytes()
    shard.write_bytes(bytes(data))


SET, INDEX = "in/set/set.json", "in/set/train-000000.json"
SETS = Family(
    "rendered sets (pretrain)", "set", write_run, "pretrain in/run.yaml", ("in/set/*",), (
        _json(SET, "refused", shards=10**9), _json(SET, "refused", settings__views=10**9), _json(SET, "refused", format=999),
        _json(SET, "refused", settings__views=-1), _json(SET, "refused", settings=[]), _json(SET, "refused", classes="ball"),
        _json(SET, "refused", settings__size=64), text(SET, deep_json(), name="deep"), text(SET, deep_json("settings"), name="deep below a key"),
        _json(INDEX, "refused", samples={}), _json(INDEX, "refused", samples=[[]]), _json(INDEX, "refused", bytes=-1),
        _json(INDEX, "refused", samples__0__members={}), _json(INDEX, "refused", samples__0__key=["a"]),
        Damage("the index says −1 bytes", "refused", lambda f: _index_size(f, -1)), Damage("… 10¹² bytes", "refused", lambda f: _index_size(f, 10**12)),
        Damage("one cloud of NaN", "refused", _nan_cloud), traversal("in/set/train-000000.tar", "../../../escape"),
        fifo("in/set/train-000000.json"), link("in/set/set.json", "set.json", "refused"), text(SET, "[]"), text(SET, "null"),
    ))  # fmt: skip


def _index_size(folder: Path, size: int) -> None:
    tree = json.loads((folder / INDEX).read_text())
    tree["samples"][0]["members"]["points.npy"][1] = size
    (folder / INDEX).write_text(json.dumps(tree))


BEGUN = [
    Family("begun work (the same command again)", "begun-set", lambda folder: valid.write_meshes(folder / "meshes"), RENDER, ("out/*.json*",), (
        text("out/set.json", "[]"), text("out/set.json", deep_json(), name="deep"), text("out/sources.json", "[]", "same"),
        text("out/sources.json", "null", "same"), text("out/failures.jsonl", "[]\n", "any"), text("out/failures.jsonl", deep_json(), "any", "deep"),
        _json("out/train-000000.json", "same", samples=None), _json("out/train-000000.json", "same", failures=7), _remove("out/set.json", "same"),
        _remove("out/train-000000.json", "same"), _remove("out/train-000000.tar", "same"), _json("out/set.json", "refused", format=999),
    ), begun=RENDER),
    Family("begun work (the same command again)", "begun-run", lambda folder: write_run(folder, 3), "pretrain in/run.yaml --resume true", ("out/*.yaml", "out/last.ckpt"), (
        text("out/config.yaml", ""), text("out/config.yaml", "- a\n"), text("out/config.yaml", "method: 7\n"),
        text("out/config.yaml", alias_bomb("method"), name="alias bomb"), text("out/config.yaml", yaml_code("method"), name="code"),
        text("out/config.yaml", deep_json("method"), name="deep"), hash_bomb("out/last.ckpt"), hash_bomb("out/last.ckpt", torch_file=True),
        torch_code("out/last.ckpt"), _checkpoint("no loops", "refused", lambda c: c.pop("loops") and None),
        _checkpoint("no optimizer", "refused", lambda c: c.pop("optimizer_states") and None), _checkpoint("no weights", "refused", lambda c: c.pop("state_dict") and None),
        _checkpoint("epoch 'x'", "refused", lambda c: c.update(epoch="x")), _checkpoint("epoch 10⁹", "refused", lambda c: c.update(epoch=10**9)),
        _checkpoint("a list", "refused", lambda c: [c]), _checkpoint("NaN weights", "refused", lambda c: [w.fill_(float("nan")) for w in c["state_dict"].values() if w.is_floating_point()] and None),
        _checkpoint("step −1", "refused", lambda c: c.update(global_step=-1)), _remove("out/last.ckpt"),
    ), begun="pretrain in/run.yaml", until="last.ckpt"),
    Family("begun work (the same command again)", "begun-finetune", write_study, FINETUNE, ("out/*.ckpt", "out/*.json"), (
        text("out/training.ckpt", b"", "same", "empty"), hash_bomb("out/training.ckpt", torch_file=True), torch_code("out/training.ckpt"),
    ), begun=FINETUNE, until="training.ckpt"),
    Family("begun work (the same command again)", "begun-study", write_study, STUDY, ("out/*.json", "out/runs/**/*.json", "out/runs/**/*.npz"), (
        text("out/results.json", deep_json(), "any", "deep"), text("out/results.json", "[]", "any"),
    ), begun=STUDY),
]  # fmt: skip

CONFIGS = Family(
    "YAML configuration (pretrain)", "config", write_run, "pretrain in/run.yaml", ("in/run.yaml",), (
        text("in/run.yaml", alias_bomb("out"), name="alias bomb in out"), text("in/run.yaml", alias_bomb("unknown"), name="alias bomb in an unknown key"),
        text("in/run.yaml", alias_bomb("encoder"), name="alias bomb in encoder"), text("in/run.yaml", "training: {epochs: {}}\n" + alias_bomb("method"), name="alias bomb in method"),
        text("in/run.yaml", yaml_code("out"), name="a tag that calls os.system"), text("in/run.yaml", yaml_code("encoder", "object/new"), name="a tag that makes an object"),
        text("in/run.yaml", "encoder: {class_path: os.system, init_args: {command: touch canary}}\n", name="os.system as encoder"),
        text("in/run.yaml", "encoder: {class_path: subprocess.Popen, init_args: {args: [touch, canary]}}\n", name="Popen as encoder"),
        text("in/run.yaml", deep_json("out"), name="deep"), text("in/run.yaml", "- a\n"), text("in/run.yaml", b"\xff\xfe\x00", name="no text"),
        text("in/run.yaml", "a: *b\n"), text("in/run.yaml", "a: b: c\n"), text("in/run.yaml", "? [a]\n: b\n"), text("in/run.yaml", "? {a: b}\n: c\n"),
        text("in/run.yaml", "1: 2\n"), text("in/run.yaml", "null: 2\n"), text("in/run.yaml", "data: [1]\n"), text("in/run.yaml", "data: {dataset: 7}\n"),
        text("in/run.yaml", "method: {class_path: [crosspoint]}\n"), text("in/run.yaml", "&a a: *a\n", name="an alias of its key"), text("in/run.yaml", "a: &a [*a]\n", name="a list in itself"),
        text("in/run.yaml", "encoder: &a {class_path: dgcnn, init_args: *a}\n", name="a mapping in itself"), fifo("in/run.yaml", "refused"), link("in/run.yaml", "run.yaml", "refused"),
    ))  # fmt: skip
