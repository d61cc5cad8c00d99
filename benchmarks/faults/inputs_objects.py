"""Tiny valid inputs of objects, in every format that is read: meshes, archives of clouds, folds, checkpoints."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import h5py
import numpy as np
import torch
import trimesh
from PIL import Image
from trimesh.visual.texture import TextureVisuals

from crosspoint import DGCNN, Inputs, PartSegDGCNN, save_encoder
from crosspoint.checkpoints.record import RECORD_KEY, Record
from crosspoint.models.image_encoder import ImageEncoder
from crosspoint.plugins import describe

POINTS = 32
MESHES = ("obj", "off", "ply", "stl", "gltf", "glb")
TINY = {"k": 4, "channels": [8], "embedding": 8}


def textured_box(extent: float = 1.0) -> trimesh.Trimesh:
    """A box of 12 faces with a texture of 4×4 pixels."""
    box = trimesh.creation.box(extents=(extent, 0.8, 1.2))
    vertices, faces = box.vertices[box.faces.reshape(-1)], np.arange(36).reshape(-1, 3)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    uv = np.tile([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], (12, 1))
    return trimesh.Trimesh(vertices, faces, visual=TextureVisuals(uv=uv, image=Image.fromarray(pixels)), process=False)


def write_mesh(folder: Path, kind: str) -> None:
    """One mesh `bad.<kind>` with the files it refers to, and one beside it that nothing is done to."""
    folder.mkdir(parents=True, exist_ok=True)
    trimesh.creation.icosphere(subdivisions=1).export(folder / "good.off")
    suffix, _, variant = kind.partition("-")
    mesh = textured_box() if suffix in ("obj", "gltf", "glb") else trimesh.creation.box(extents=(1, 0.8, 1.2))
    if suffix == "gltf":
        for name, content in trimesh.exchange.gltf.export_gltf(mesh).items():
            (folder / ("bad.gltf" if name.endswith(".gltf") else name)).write_bytes(content)
        return
    options = {
        "ply": {"encoding": "ascii" if variant else "binary"},
        "stl": {"file_type": f"stl{'_ascii' * (variant == 'ascii')}"},
    }
    mesh.export(folder / f"bad.{suffix}", **options.get(suffix, {}))


def write_meshes(root: Path, train: int = 4, test: int = 2) -> None:
    """Balls and boxes of several sizes in a ModelNet tree."""
    generator = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        for name in ("ball", "box"):
            folder = root / name / split
            folder.mkdir(parents=True)
            for number in range(count):
                mesh = trimesh.creation.icosphere(subdivisions=1) if name == "ball" else trimesh.creation.box()
                mesh.apply_scale(generator.uniform(0.5, 2, 3))
                mesh.export(folder / f"{name}_{number:04d}.off")


def write_clouds(root: Path, parts: bool = False, train: int = 4, test: int = 3) -> None:
    """Ellipsoids of two proportions as ModelNet40's archive; with the part of each point as ShapeNetPart's."""
    root.mkdir(parents=True)
    generator = np.random.default_rng(0)
    axes = np.array([[1, 1, 1], [1, 0.2, 0.5]])
    for split, count in (("train", train), ("test", test)):
        labels = np.repeat([0, 1], count)
        clouds = (generator.normal(size=(2 * count, POINTS, 3)) * axes[labels][:, None]).astype(np.float32)
        with h5py.File(root / f"ply_data_{split}0.h5", "w") as file:
            file["data"], file["label"] = clouds, labels[:, None].astype(np.uint8)
            if parts:
                file["pid"] = (2 * labels[:, None] + (clouds[..., 0] > 0)).astype(np.uint8)
    if parts:
        described = {"categories": ["ball", "plate"], "parts": {"ball": [0, 1], "plate": [2, 3]}}
        (root / "categories.json").write_text(json.dumps(described))
    else:
        (root / "shape_names.txt").write_text("ball\nplate\n")


def write_folds(root: Path, folds: int = 2) -> None:
    """Point-BERT's pickles: two classes, three clouds of each."""
    (root / "2way_3shot").mkdir(parents=True)
    for fold in range(folds):
        generator = np.random.default_rng(fold)
        entries = [
            ((generator.normal(size=(POINTS, 6)) * (1, 1 + 9 * way, 1, 1, 1, 1)).astype(np.float32), way, np.int32(way))
            for way in range(2)
            for _ in range(3)
        ]
        (root / "2way_3shot" / f"{fold}.pkl").write_bytes(pickle.dumps({"train": entries, "test": entries}, protocol=4))


def write_encoder(path: Path, parts: bool = False) -> None:
    """An export (.safetensors), a checkpoint of `pretrain` (.ckpt), or the same in torch's older format (.pth)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    encoder = PartSegDGCNN(k=4) if parts else DGCNN(**TINY)
    if path.suffix == ".safetensors":
        save_encoder(encoder, path, Inputs(points=POINTS))
        return
    images = ImageEncoder("resnet18")
    weights = {f"method.encoder.{name}": weight for name, weight in encoder.state_dict().items()}
    record = Record(describe(encoder), Inputs(points=POINTS), describe(images), {})
    torch.save(
        {"state_dict": weights, RECORD_KEY: record.as_dict()},
        path,
        _use_new_zipfile_serialization=path.suffix == ".ckpt",
    )
