"""Cases on labeled clouds: HDF5, part labels, stored folds."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.faults import inputs_objects as valid
from benchmarks.faults.damage import Damage, Expect, fifo, link, text
from benchmarks.faults.damage_code import code, hash_bomb
from benchmarks.faults.damage_trees import deep_json
from benchmarks.faults.families_checkpoints import DATA
from benchmarks.faults.families_sets import write_study
from benchmarks.faults.family import Family

TRAIN = "in/clouds/ply_data_train0.h5"


def _hdf5(name: str, change: Callable[[Any], None], expect: Expect = "refused", path: str = TRAIN) -> Damage:
    def changed(folder: Path) -> None:
        with h5py.File(folder / path, "a") as file:
            change(file)

    return Damage(f"{Path(path).name}: {name}", expect, changed)


def _put(name: str, value: Any, **options: Any) -> Callable[[Any], None]:
    def put(file: Any) -> None:
        del file[name]
        if options:
            file.create_dataset(name, **options)
        else:
            file[name] = value

    return put


_HDF5 = (
    _hdf5(
        "10⁹ clouds that were never written",
        _put("data", None, shape=(10**7, valid.POINTS, 3), dtype="f4", chunks=(1000, valid.POINTS, 3)),
    ),
    _hdf5(
        "10⁷ clouds and labels never written",
        lambda f: (
            _put("data", None, shape=(10**7, valid.POINTS, 3), dtype="f4", chunks=(1000, valid.POINTS, 3))(f),
            _put("label", None, shape=(10**7, 1), dtype="u1", chunks=(1000, 1))(f),
        )[0],
    ),
    _hdf5("a link to itself", lambda f: _put("data", h5py.SoftLink("/data"))(f)),
    _hdf5("a link to nowhere", _put("data", h5py.SoftLink("/nothing"))),
    _hdf5("a link to another file", _put("data", h5py.ExternalLink("../e.ckpt", "/data"))),
    _hdf5("a link out of the root", _put("data", h5py.ExternalLink("../../../other.h5", "/data"))),
    _hdf5("a group", lambda f: (f.__delitem__("data"), f.create_group("data"))[0]),
    _hdf5("an empty space", _put("data", h5py.Empty("f4"))),
    _hdf5("complex numbers", _put("data", np.zeros((8, 32, 3), "c8"))),
    _hdf5("words", _put("data", np.full((8, 32, 3), b"a"))),
    _hdf5("records", _put("data", np.zeros((8, 32, 3), dtype=[("a", "f4")]))),
    _hdf5("references", lambda f: _put("label", None, shape=(8, 1), dtype=h5py.ref_dtype)(f)),
    _hdf5("NaN", _put("data", np.full((8, 32, 3), np.nan, "f4"))),
    _hdf5("negative labels", _put("label", np.full((8, 1), -1))),
    _hdf5("labels of 10⁹", _put("label", np.full((8, 1), 10**9))),
    _hdf5("labels that are no integers", _put("label", np.full((8, 1), 0.5))),
    _hdf5("labels of NaN", _put("label", np.full((8, 1), np.nan))),
    _hdf5("fewer labels", _put("label", np.zeros((3, 1), "u1"))),
    _hdf5("two coordinates", _put("data", np.zeros((8, 32, 2), "f4"))),
    _hdf5("no cloud", _put("data", np.zeros((0, 32, 3), "f4"))),
    text("in/clouds/shape_names.txt", "", "refused", "no name"),
    text("in/clouds/shape_names.txt", b"\xff\xfe\x00\n", "refused", "no text"),
    text(TRAIN, b"\x89HDF\r\n\x1a\n", name="the signature alone"),
    fifo(TRAIN, "refused"),
    link(TRAIN, "ply_data_train0.h5", "refused"),
)

CLOUDS = [
    Family(
        "clouds in HDF5",
        name,
        write_study,
        f"evaluate {name} --checkpoint in/e.ckpt {DATA}{more}",
        ("in/clouds/*",),
        _HDF5 if name == "knn" else _HDF5[::3],
    )
    for name, more in (("knn", ""), ("linear", ""), ("fewshot", " --ways [2] --shots [2] --queries 2 --runs 2"))
]


def _parts(folder: Path) -> None:
    valid.write_clouds(folder / "parts", parts=True)
    valid.write_encoder(folder / "e.ckpt", parts=True)


def _folds(folder: Path) -> None:
    valid.write_folds(folder / "folds")
    valid.write_encoder(folder / "e.ckpt")


NAMES, ARCHIVE, FOLD = "in/parts/categories.json", "in/parts/ply_data_train0.h5", "in/folds/2way_3shot/0.pkl"
PARTS = Family(
    "part labels",
    "parts",
    _parts,
    "evaluate partseg --checkpoint in/e.ckpt --dataset shapenetpart --root in/parts --device cpu --k 4"
    " --validation 0.25 --recipe.epochs 1 --recipe.batch_size 4 --resources.accelerator cpu --out out/result.json",
    ("in/parts/*",),
    (
        text(NAMES, "[]"),
        text(NAMES, "{}"),
        text(NAMES, deep_json("parts"), name="deep"),
        text(NAMES, '{"categories": 7, "parts": {}}'),
        text(
            NAMES,
            '{"categories": ["ball", "plate"], "parts": {"ball": [0, 1], "plate": [2, 10000000000]}}',
            name="a part of 10¹⁰",
        ),
        text(
            NAMES, '{"categories": ["ball", "plate"], "parts": {"ball": [0, -1], "plate": [2, 3]}}', name="a part of −1"
        ),
        text(
            NAMES,
            '{"categories": [["a"], "plate"], "parts": {"ball": [0, 1], "plate": [2, 3]}}',
            name="a category that is a list",
        ),
        _hdf5("parts of 255", _put("pid", np.full((8, 32), 255, "u1")), path=ARCHIVE),
        _hdf5("parts of −1", _put("pid", np.full((8, 32), -1)), path=ARCHIVE),
        _hdf5("parts of NaN", _put("pid", np.full((8, 32), np.nan)), path=ARCHIVE),
        _hdf5("parts of fewer points", _put("pid", np.zeros((8, 30), "u1")), path=ARCHIVE),
    ),
)


def _pickled(name: str, content: Any, expect: Expect = "refused") -> Damage:
    return text(FOLD, pickle.dumps(content, protocol=4), expect, name)


CLOUD = np.ones((valid.POINTS, 6), np.float32)
FOLDS = Family(
    "stored folds",
    "folds",
    _folds,
    f"evaluate folds --checkpoint in/e.ckpt --folds in/folds --points {valid.POINTS} --count 2 --device cpu"
    " --out out/result.json",
    ("in/folds/*/*.pkl",),
    (
        code(FOLD, "system"),
        code(FOLD, "eval", 4),
        code(FOLD, "exec", 0),
        hash_bomb(FOLD),
        _pickled("a list", []),
        _pickled("empty parts", {"train": [], "test": []}),
        _pickled("no test", {"train": [(CLOUD, 0, 0)] * 6}),
        _pickled(
            "NaN", {"train": [(CLOUD * np.nan, n % 2, 0) for n in range(6)], "test": [(CLOUD, 0, 0), (CLOUD, 1, 0)]}
        ),
        _pickled("labels that are words", {"train": [(CLOUD, "a", 0)] * 6, "test": [(CLOUD, "a", 0)] * 6}),
        _pickled("labels of 10¹²", {"train": [(CLOUD, 10**12, 0)] * 6, "test": [(CLOUD, 0, 0)]}),
        _pickled(
            "clouds of one point",
            {"train": [(CLOUD[:1], n % 2, 0) for n in range(6)], "test": [(CLOUD[:1], n % 2, 0) for n in range(6)]},
        ),
        text(FOLD, b"\x80\x04\x8a" + struct.pack("<I", 2**31 - 1), name="an integer of 2³¹ bytes"),
        text(FOLD, b"(" * 10**6 + b".", name="10⁶ marks"),
        text(FOLD, b"\x80\x04" + b"]" + b"2" * 10**6 + b".", name="10⁶ copies"),
        fifo(FOLD, "refused"),
        text(FOLD, b"", name="empty"),
    ),
)
