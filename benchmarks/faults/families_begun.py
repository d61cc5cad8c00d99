"""Cases on begun work: the same command again, on a folder of which something is damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.faults import inputs_objects as valid
from benchmarks.faults.damage import Damage, Expect, remove, text
from benchmarks.faults.damage_code import hash_bomb, torch_code
from benchmarks.faults.damage_trees import alias_bomb, deep_json, yaml_code
from benchmarks.faults.families_sets import json_keys, write_run, write_study
from benchmarks.faults.family import Family

GROUP = "begun work (the same command again)"
RENDER = "render in/meshes out --views 1 --size 16 --points 48 --jobs 1"
FINETUNE = (
    "evaluate finetune --checkpoint in/e.ckpt --dataset modelnet40_hdf5 --root in/clouds --validation 0.25 --device cpu"
    " --recipe.epochs 6 --recipe.batch_size 4 --resources.accelerator cpu --save_dir out"
)
STUDY = (
    "evaluate all --checkpoint A=in/e.ckpt --dataset modelnet40_hdf5 --root in/clouds"
    " --protocols knn --device cpu --jobs 1 --out out"
)


def _checkpoint(name: str, expect: Expect, change: Callable[[dict[str, Any]], Any]) -> Damage:
    """The content of a run's last checkpoint changed."""

    def changed(folder: Path) -> None:
        import torch

        path = folder / "out" / "last.ckpt"
        content = torch.load(path, weights_only=True)
        torch.save(change(content) or content, path)

    return Damage(f"last.ckpt: {name}", expect, changed)


def _remove(path: str, expect: Expect = "any") -> Damage:
    return Damage(f"no {path}", expect, lambda folder: remove(folder / path))


BEGUN = [
    Family(
        GROUP,
        "begun-set",
        lambda folder: valid.write_meshes(folder / "meshes"),
        RENDER,
        ("out/*.json*",),
        (
            text("out/set.json", "[]"),
            text("out/set.json", deep_json(), name="deep"),
            text("out/sources.json", "[]", "same"),
            text("out/sources.json", "null", "same"),
            text("out/failures.jsonl", "[]\n", "any"),
            text("out/failures.jsonl", deep_json(), "any", "deep"),
            json_keys("out/train-000000.json", "same", samples=None),
            json_keys("out/train-000000.json", "same", failures=7),
            _remove("out/set.json", "same"),
            _remove("out/train-000000.json", "same"),
            _remove("out/train-000000.tar", "same"),
            json_keys("out/set.json", "refused", format=999),
        ),
        begun=RENDER,
    ),
    Family(
        GROUP,
        "begun-run",
        lambda folder: write_run(folder, 3),
        "pretrain in/run.yaml --resume true",
        ("out/*.yaml", "out/last.ckpt"),
        (
            text("out/config.yaml", ""),
            text("out/config.yaml", "- a\n"),
            text("out/config.yaml", "method: 7\n"),
            text("out/config.yaml", alias_bomb("method"), name="alias bomb"),
            text("out/config.yaml", yaml_code("method"), name="code"),
            text("out/config.yaml", deep_json("method"), name="deep"),
            hash_bomb("out/last.ckpt"),
            hash_bomb("out/last.ckpt", torch_file=True),
            torch_code("out/last.ckpt"),
            _checkpoint("no loops", "refused", lambda c: c.pop("loops") and None),
            _checkpoint("no optimizer", "refused", lambda c: c.pop("optimizer_states") and None),
            _checkpoint("no weights", "refused", lambda c: c.pop("state_dict") and None),
            _checkpoint("epoch 'x'", "refused", lambda c: c.update(epoch="x")),
            _checkpoint("epoch 10⁹", "refused", lambda c: c.update(epoch=10**9)),
            _checkpoint("a list", "refused", lambda c: [c]),
            _checkpoint(
                "NaN weights",
                "refused",
                lambda c: [w.fill_(float("nan")) for w in c["state_dict"].values() if w.is_floating_point()] and None,
            ),
            _checkpoint("step −1", "refused", lambda c: c.update(global_step=-1)),
            _remove("out/last.ckpt"),
        ),
        begun="pretrain in/run.yaml",
        until="last.ckpt",
    ),
    Family(
        GROUP,
        "begun-finetune",
        write_study,
        FINETUNE,
        ("out/*.ckpt", "out/*.json"),
        (
            text("out/training.ckpt", b"", "same", "empty"),
            hash_bomb("out/training.ckpt", torch_file=True),
            torch_code("out/training.ckpt"),
        ),
        begun=FINETUNE,
        until="training.ckpt",
    ),
    Family(
        GROUP,
        "begun-study",
        write_study,
        STUDY,
        ("out/*.json", "out/runs/**/*.json", "out/runs/**/*.npz"),
        (
            text("out/results.json", deep_json(), "any", "deep"),
            text("out/results.json", "[]", "any"),
        ),
        begun=STUDY,
    ),
]
