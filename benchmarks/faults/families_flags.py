"""Cases on flags: values out of range and of another type, for every command."""

from __future__ import annotations

from pathlib import Path

from benchmarks.faults import inputs_objects, inputs_scenes
from benchmarks.faults.damage import Damage, Expect, flags
from benchmarks.faults.families_checkpoints import KNN
from benchmarks.faults.families_meshes import RENDER
from benchmarks.faults.families_sets import write_run, write_study
from benchmarks.faults.family import Family

GROUP = "flags"


def _values(expect: Expect, flag: str, *values: str) -> tuple[Damage, ...]:
    return tuple(flags(expect, f"--{flag}", value) for value in values)


PRETRAIN = (
    *_values("refused", "encoder.channels", "[0]", "[-1]", "[1000000000]", "[]", "[a]", "7"),
    *_values("refused", "encoder.embedding", "0", "-4", "1000000000000", "1.5"),
    *_values("refused", "encoder.k", "0", "-1", "49", "1000000000"),
    *_values("refused", "method.projection", "0", "-5", "1000000000000"),
    *_values("refused", "method.temperature", "0", "-1", "nan", "inf"),
    *_values("any", "method.temperature", "1e-30"),
    *_values("refused", "method.cross_weight", "-1", "nan", "inf"),
    *_values("refused", "method.clouds.points", "0", "-1", "1000000000"),
    *_values("refused", "method.clouds.jitter", "-1", "nan"),
    *_values("refused", "method.images.size", "0", "-1", "1000000"),
    *_values("refused", "training.epochs", "0", "-1", "1.5", "nan"),
    *_values("refused", "training.batch_size", "0", "1", "1000000000000"),
    *_values("refused", "training.learning_rate", "0", "-1", "nan", "inf", "1e30"),
    *_values("refused", "training.weight_decay", "-1", "nan", "inf"),
    *_values("refused", "training.warmup", "-1", "9"),
    *_values("refused", "training.optimizer", "sgdd"),
    *_values("refused", "compute.accelerator", "cuda", "foo", "tpu"),
    *_values("refused", "compute.devices", "0", "-2", "1000"),
    *_values("refused", "compute.workers", "-1"),
    *_values("refused", "compute.precision", "8"),
    *_values("refused", "compute.accumulation", "0"),
    *_values("refused", "probe.holdout", "1", "-0.1", "nan"),
    *_values("refused", "probe.points", "0", "1000000000"),
    *_values("refused", "probe.every", "0", "-1"),
    *_values("refused", "data.dataset.root", "/nowhere", "", "\x01", "in/run.yaml", "a" * 5000),
    *_values("refused", "data.dataset.views", "0", "-1", "1000000"),
    *_values("refused", "data.dataset.split", "none", "../x"),
    *_values("refused", "seed", "-1", "1.5", "99999999999999999999999"),
    *_values("refused", "out", "/proc/x", "in/run.yaml", "in/run.yaml/x"),
    *_values("refused", "encoder", "os.system", "dgcnnn", "json.JSONDecoder", "crosspoint", "."),
    *_values("refused", "encdoer", "1"),
    *_values("refused", "resume", "perhaps"),
    *_values("refused", "config", "/nowhere.yaml", "/dev/null", "in"),
    flags("refused", "--out"),
    flags("refused", "surplus"),
)

RENDERING = (
    *_values("refused", "views", "0", "-1", "x", "nan", "1.5"),
    *_values("refused", "size", "0", "-1", "100000000"),
    *_values("refused", "points", "0", "-1"),
    *_values("refused", "backend", "os.system", "rastercast", "nothing.there"),
    *_values("refused", "orbit", "square"),
    *_values("refused", "up_axis", "w"),
    *_values("refused", "background", "blue"),
    *_values("refused", "supersample", "0", "-1", "10000"),
    *_values("refused", "jobs", "0", "x"),
    *_values("refused", "seed", "-1", "1e99"),
    *_values("refused", "test_share", "-0.1", "2", "nan"),
)

EVALUATE = (
    *_values("refused", "device", "cuda", "foo", "cuda:99", "meta"),
    *_values("refused", "points", "0", "-1", "1000000000"),
    *_values("refused", "k", "0", "-1", "1000000"),
    *_values("refused", "jobs", "0"),
    *_values("refused", "seed", "-1"),
    *_values("refused", "up_axis", "w"),
    *_values("refused", "dataset", "modelnet40_hdf", "os.system"),
    *_values("refused", "checkpoint", "/nowhere", "in", "in/clouds/shape_names.txt"),
    *_values("refused", "out", "/proc/x", "in"),
    *_values("refused", "cache", "/proc/x", "in/e.ckpt"),
)

SHOW = (
    *_values("refused", "frame", "-1", "99", "x"),
    *_values("refused", "split", "none", "../../etc"),
    *_values("refused", "at", "nan,0,0", "1,2", "a,b,c"),
    *_values("refused", "point", "-1", "1000000"),
    *_values("refused", "sweeps", "0", "-1"),
    *_values("refused", "skip", "0", "-1"),
    *_values("refused", "columns", "0", "-1", "7"),
    *_values("refused", "intensity_scale", "0", "-1", "nan"),
    *_values("refused", "weak_labels", "/nowhere"),
    *_values("refused", "predictions", "/nowhere"),
    *_values("refused", "checkpoint", "/nowhere", "in/s/calibration.yaml"),
    *_values("refused", "out", "/proc/x"),
    *_values("refused", "root", "/nowhere", "in/s/poses.txt"),
)

SYNTHESIZE = (
    *_values("refused", "train", "-1", "x"),
    *_values("refused", "frames", "0", "-1"),
    *_values("refused", "views", "0", "7", "-1"),
    *_values("refused", "beams", "16"),
    *_values("refused", "seed", "-1"),
    *_values("refused", "jobs", "0"),
    *_values("refused", "imperfect", "-1"),
)


def _meshes(folder: Path) -> None:
    inputs_objects.write_mesh(folder / "m", "off")


FLAGS = [
    Family(GROUP, "flags-pretrain", write_run, "pretrain in/run.yaml", (), PRETRAIN),
    Family(GROUP, "flags-render", _meshes, RENDER, (), RENDERING),
    Family(GROUP, "flags-evaluate", write_study, KNN.format("ckpt"), (), EVALUATE),
    Family(
        GROUP,
        "flags-show",
        lambda folder: inputs_scenes.write_streets(folder / "s"),
        "show folder --root in/s --out out",
        (),
        SHOW,
    ),
    Family(
        GROUP,
        "flags-synthesize",
        lambda folder: None,
        "synthesize out --train 1 --val 0 --frames 1 --jobs 1",
        (),
        SYNTHESIZE,
    ),
]
