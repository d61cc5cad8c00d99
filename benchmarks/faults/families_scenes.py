"""Cases on scenes: a rig's folder, label maps, answers of a network, and segmentation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.faults import inputs_scenes as valid
from benchmarks.faults.damage import Damage, Expect, fifo, link, text
from benchmarks.faults.damage_code import zip_bomb
from benchmarks.faults.damage_trees import alias_bomb, deep_json, yaml_code
from benchmarks.faults.families_meshes import large_png
from benchmarks.faults.family import Family

RIG, SWEEP, LABELS = "in/s/calibration.yaml", "in/s/points/street2.bin", "in/s/labels/street2.label"
IMAGE, WEAK, MANIFEST = (
    "in/s/images/camera_0/street2.png",
    "in/s/weak/images/camera_0/street2.png",
    "in/s/weak/manifest.json",
)


def _streets(folder: Path) -> None:
    valid.write_streets(folder / "s")


def _network(folder: Path) -> None:
    _streets(folder)
    valid.write_scene_encoder(folder / "e.ckpt")
    valid.write_answers(folder / "net" / "predictions.npz")


def _array(path: str, name: str, made: np.ndarray, expect: Expect = "refused") -> Damage:
    return Damage(f"{Path(path).name}: {name}", expect, lambda folder: made.tofile(folder / path))


def _png(path: str, name: str, image: Callable[[], Image.Image], expect: Expect = "refused") -> Damage:
    return Damage(f"{path[5:]}: {name}", expect, lambda folder: image().save(folder / path, "PNG"))


def _line(key: str, value: str) -> Damage:
    """A key of the calibration, replaced by a text of YAML."""

    def change(folder: Path) -> None:
        import yaml

        tree = yaml.safe_load((folder / RIG).read_text())
        if key in tree["cameras"][0]:
            tree["cameras"][0][key] = yaml.safe_load(value)
        else:
            tree[key] = yaml.safe_load(value)
        (folder / RIG).write_text(yaml.safe_dump(tree))

    return Damage(f"calibration: {key} = {value[:30]}", "refused", change)


ROWS = np.ones((valid.RETURNS, 4), np.float32)
FOLDER = Family(
    "a rig's folder (show)",
    "folder",
    _streets,
    "show folder --root in/s --split val --out out",
    ("in/s/*.yaml", "in/s/*.txt", "in/s/splits/*.txt", "in/s/*/street2.*", IMAGE),
    (
        *(
            text(RIG, alias_bomb(key), name=f"alias bomb in {key}")
            for key in ("classes", "box_classes", "cameras", "columns", "intensity_scale", "unknown")
        ),
        text(RIG, yaml_code("cameras"), name="a tag that calls os.system"),
        text(RIG, deep_json("cameras"), name="deep"),
        text(RIG, "- a\n"),
        text(RIG, ""),
        _line("size", "[-1, 96]"),
        _line("size", "[1000000000, 96]"),
        _line("size", "[.nan, 96]"),
        _line("size", "[64]"),
        _line("size", "big"),
        _line("K", "[[0, 0, 0], [0, 0, 0], [0, 0, 1]]"),
        _line("K", "[[.nan, 0, 0], [0, 1, 0], [0, 0, 1]]"),
        _line("K", "7"),
        _line("name", "../../../etc"),
        _line("name", "[a]"),
        _line("lidar_to_camera", "[[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]"),
        _line("columns", "-4"),
        _line("columns", "1000000000000"),
        _line("intensity_scale", "-1"),
        _line("intensity_scale", ".nan"),
        _line("intensity_scale", "0"),
        _line("classes", "{a: b}"),
        _line("classes", "[[a]]"),
        _line("classes", "[wall, wall]"),
        _line("cameras", "[7]"),
        _array(SWEEP, "all NaN", ROWS * np.nan),
        _array(SWEEP, "float64", np.random.default_rng(0).uniform(1, 9, (400, 4))),
        _array(SWEEP, "10³⁸", ROWS * 3e38),
        _array(LABELS, "classes that are not there", np.full(valid.RETURNS, 99, np.uint32)),
        _array(LABELS, "one too few", np.zeros(valid.RETURNS - 1, np.uint32)),
        text("in/s/boxes/street2.txt", "car 8 0 0 -4 2 1.5 0.1\n", name="a negative length"),
        text("in/s/boxes/street2.txt", "car 8 0 0 4 2 nan 0.1\n"),
        text("in/s/boxes/street2.txt", "dog 8 0 0 4 2 1 0.1\n"),
        text("in/s/boxes/street2.txt", "car 8 0 0 1e300 2 1.5 0.1\n", "any"),
        text("in/s/poses.txt", "street2 1 0 0\n"),
        text("in/s/poses.txt", "street2 " + "0 " * 12 + "\n", name="no rotation"),
        text("in/s/splits/val.txt", "../../../etc/passwd\n"),
        text("in/s/splits/val.txt", ""),
        text("in/s/splits/val.txt", "street2\n" * 3, "any"),
        _png(IMAGE, "half as large", lambda: Image.new("RGB", (48, 32))),
        Damage("an image of 20,000² pixels", "refused", lambda f: (f / IMAGE).write_bytes(large_png(20_000)) and None),
        fifo(SWEEP, "refused"),
        fifo(RIG, "refused"),
        link(SWEEP, "street2.bin", "refused"),
    ),
)

MAPS = Family(
    "label maps (show)",
    "maps",
    _streets,
    "show folder --root in/s --split val --weak_labels in/s/weak --superpixels in/s/regions --out out",
    ("in/s/weak/manifest.json", "in/s/*/images/camera_0/street2.png"),
    (
        text(MANIFEST, "[]"),
        text(MANIFEST, deep_json("classes"), name="deep"),
        text(MANIFEST, '{"format": 1, "kind": "semantic", "classes": ["one"]}', "refused", "one class, number 2"),
        text(MANIFEST, '{"format": 99, "kind": "semantic", "classes": ["one", "two"]}', name="format 99"),
        text(MANIFEST, '{"format": 1, "kind": "regions", "classes": []}', name="of regions"),
        text(MANIFEST, '{"format": 1, "kind": "semantic", "classes": [1, null]}', name="classes that are no words"),
        text(MANIFEST, '{"format": 1, "kind": {}, "classes": ["a", "b"]}', name="kind {}"),
        _png(WEAK, "colors", lambda: Image.new("RGB", (96, 64))),
        _png(WEAK, "a palette", lambda: Image.new("P", (96, 64))),
        _png(WEAK, "another size", lambda: Image.new("L", (48, 64))),
        _png(WEAK, "classes that are not there", lambda: Image.new("L", (96, 64), 250)),
        _png(WEAK, "16 bits out of range", lambda: Image.fromarray(np.full((64, 96), 65535, np.uint16))),
        _png(WEAK, "floats", lambda: Image.new("1", (96, 64)), "any"),
        Damage("a map of 20,000² pixels", "refused", lambda f: (f / WEAK).write_bytes(large_png(20_000)) and None),
        fifo(WEAK, "refused"),
        fifo(MANIFEST, "refused"),
    ),
)


def _answers(name: str, **arrays: np.ndarray) -> Damage:
    def change(folder: Path) -> None:
        path = folder / "in" / "net" / "predictions.npz"
        with np.load(path) as archive:
            there = {key: archive[key] for key in archive.files}
        np.savez(path, **(there | arrays))

    return Damage(f"predictions: {name}", "refused", change)


def _npy_head(shape: tuple[int, ...]) -> bytes:
    head = repr({"descr": "|i1", "fortran_order": False, "shape": shape}).encode()
    head += b" " * (63 - (10 + len(head)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head


ANSWERS = Family(
    "answers of a network (show)",
    "answers",
    _network,
    "show folder --root in/s --predictions in/net --out out",
    ("in/net/predictions.npz",),
    (
        _answers("offsets that fall", offsets=np.array([0, 800, 400])),
        _answers("offsets of −1", offsets=np.array([-1, 400, 800])),
        _answers("offsets of 2⁶²", offsets=np.array([0, 400, 2**62])),
        _answers("offsets that are no integers", offsets=np.array([0, 400.5, 800])),
        _answers("words", predicted=np.full(800, "a")),
        _answers("NaN", predicted=np.full(800, np.nan)),
        _answers("classes that are not there", predicted=np.full(800, 99)),
        _answers("objects", predicted=np.array([{}] * 800, dtype=object)),
        _answers("two axes", predicted=np.zeros((800, 2), int)),
        zip_bomb("in/net/predictions.npz", "predicted.npy", _npy_head((6 * 2**30,))),
        text("in/net/predictions.npz", b"PK\x03\x04", name="four bytes"),
        fifo("in/net/predictions.npz", "refused"),
    ),
)

SEMSEG = Family(
    "segmentation of frames (semseg)",
    "semseg",
    _network,
    "evaluate semseg --checkpoint in/e.ckpt --dataset folder --root in/s --recipe.epochs 1 --recipe.batch_size 1"
    " --resources.accelerator cpu --out out/result.json",
    ("in/e.ckpt", "in/s/*/street0.*", "in/s/*.yaml", "in/s/splits/*.txt"),
    (
        _array("in/s/labels/street0.label", "classes that are not there", np.full(valid.RETURNS, 99, np.uint32)),
        _array("in/s/labels/street0.label", "nothing labeled", np.zeros(valid.RETURNS, np.uint32), "any"),
        _array("in/s/points/street0.bin", "all NaN", ROWS * np.nan),
        _array(
            "in/s/points/street0.bin", "intensity NaN", np.where(np.arange(4) == 3, np.nan, ROWS).astype(np.float32)
        ),
        _array("in/s/points/street0.bin", "10⁷ m away", ROWS * 1e7),
        text("in/s/splits/val.txt", "street0\nstreet1\n", "any", "val is train"),
        _line("classes", "[ground]"),
        _line("classes", "[]"),
    ),
)
