"""Cases on YAML configurations."""

from __future__ import annotations

from benchmarks.faults.damage import fifo, link, text
from benchmarks.faults.damage_trees import alias_bomb, deep_json, yaml_code
from benchmarks.faults.families_sets import write_run
from benchmarks.faults.family import Family

CONFIGS = Family(
    "YAML configuration (pretrain)",
    "config",
    write_run,
    "pretrain in/run.yaml",
    ("in/run.yaml",),
    (
        text("in/run.yaml", alias_bomb("out"), name="alias bomb in out"),
        text("in/run.yaml", alias_bomb("unknown"), name="alias bomb in an unknown key"),
        text("in/run.yaml", alias_bomb("encoder"), name="alias bomb in encoder"),
        text("in/run.yaml", "training: {epochs: {}}\n" + alias_bomb("method"), name="alias bomb in method"),
        text("in/run.yaml", yaml_code("out"), name="a tag that calls os.system"),
        text("in/run.yaml", yaml_code("encoder", "object/new"), name="a tag that makes an object"),
        text(
            "in/run.yaml",
            "encoder: {class_path: os.system, init_args: {command: touch canary}}\n",
            name="os.system as encoder",
        ),
        text(
            "in/run.yaml",
            "encoder: {class_path: subprocess.Popen, init_args: {args: [touch, canary]}}\n",
            name="Popen as encoder",
        ),
        text("in/run.yaml", deep_json("out"), name="deep"),
        text("in/run.yaml", "- a\n"),
        text("in/run.yaml", b"\xff\xfe\x00", name="no text"),
        text("in/run.yaml", "a: *b\n"),
        text("in/run.yaml", "a: b: c\n"),
        text("in/run.yaml", "? [a]\n: b\n"),
        text("in/run.yaml", "? {a: b}\n: c\n"),
        text("in/run.yaml", "1: 2\n"),
        text("in/run.yaml", "null: 2\n"),
        text("in/run.yaml", "data: [1]\n"),
        text("in/run.yaml", "data: {dataset: 7}\n"),
        text("in/run.yaml", "method: {class_path: [crosspoint]}\n"),
        text("in/run.yaml", "&a a: *a\n", name="an alias of its key"),
        text("in/run.yaml", "a: &a [*a]\n", name="a list in itself"),
        text("in/run.yaml", "encoder: &a {class_path: dgcnn, init_args: *a}\n", name="a mapping in itself"),
        fifo("in/run.yaml", "refused"),
        link("in/run.yaml", "run.yaml", "refused"),
    ),
)
