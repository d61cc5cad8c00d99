"""What one item of a large set costs: seconds of the processor, and bytes on disk. docs/clusters.md multiplies them.

Items stand for those of ShapeNetCore and nuScenes: boxes and balls that are rendered, views of noise, tables of records
as long as real ones. With `--nuscenes DIR`, images and sweeps are real ones. What compares all with all is measured at
several sizes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh

from benchmarks.measure import options, report, resident
from crosspoint import DGCNN
from crosspoint.eval import knn_classify, retrieve_within
from crosspoint.models.timm_encoder import TimmEncoder
from crosspoint.renderers import render_folder
from crosspoint.scene.data.superpixels import SuperpixelCache, SuperpixelConfig
from crosspoint.scene.datasets.nuscenes_tables import Tables

WIDTH = 2048  # features of DGCNN


def main() -> None:
    """Run it."""
    parser = options("what one item costs")
    parser.add_argument("--nuscenes", type=Path, default=None, help="folder with a keyframe: samples/CAM_*/*.jpg")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        report("items", list(rows(args, Path(folder))), args)


def rows(args: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """One row a kind of item."""
    yield rendered(folder, 2 if args.quick else 8)
    for network in ("resnet18",) if args.quick else ("tf_efficientnet_lite0", "vit_base_patch14_dinov2"):
        teacher = TimmEncoder(network, weights="none", frozen=True).eval()
        views = torch.zeros(1 if args.quick else 4, 3, 224, 224, dtype=torch.uint8)
        size = 12 * 2 * (teacher.feature_dim + 64)  # float16, beside the colors of the view
        yield row(f"embed 12 views, {network}", 12 / len(views), lambda t=teacher, v=views: t.embed(v), size)
    encoder, cloud = DGCNN().eval(), torch.rand(1, 1024, 3)
    with torch.inference_mode():
        yield row("features of a cloud of 1,024 points, DGCNN", 1.0, lambda: encoder(cloud), 4 * WIDTH)
    yield superpixels(args, folder)
    yield table(folder, 1_000 if args.quick else 50_000)
    for count in (100,) if args.quick else (1_000, 2_000, 4_000):
        generator = np.random.default_rng(0)
        x, y = generator.normal(size=(count, WIDTH)).astype(np.float32), np.arange(count) % 50
        half = count // 2
        yield row(f"retrieval among {count:,}", 1.0, lambda x=x, y=y: retrieve_within(x, y))
        yield row(
            f"kNN, {half:,} to {half:,}",
            1.0,
            lambda x=x, y=y, half=half: knn_classify(x[:half], y[:half], x[half:], y[half:]),
        )


def row(what: str, times: float, work: Callable[[], object], size: float | None = None) -> dict[str, Any]:
    """Seconds of the processor of a second run, `times` as many, and bytes."""
    work()
    start = time.process_time()
    work()
    return {"item": what, "cpu_seconds": times * (time.process_time() - start), "bytes": size or "–", "memory_mb": "–"}


def rendered(folder: Path, count: int) -> dict[str, Any]:
    """A mesh of 20,480 faces → 12 views of 224² and 2,048 points."""
    (folder / "meshes").mkdir()
    for number in range(count):
        mesh = trimesh.creation.icosphere(5).apply_scale((1, 0.5 + 0.05 * number, 0.7))
        mesh.export(folder / "meshes" / f"{number}.off")
    start = time.process_time()
    render_folder(folder / "meshes", folder / "set", jobs=1, progress=False)
    seconds = (time.process_time() - start) / count
    size = sum(path.stat().st_size for path in (folder / "set").iterdir()) / count
    return {"item": "render a mesh of 20,480 faces", "cpu_seconds": seconds, "bytes": size, "memory_mb": "–"}


def superpixels(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Regions of an image of 900 × 1600."""
    from crosspoint.scene.datasets.readers import read_images

    if args.nuscenes is not None:
        images = [read_images([path])[0] for path in sorted(args.nuscenes.glob("samples/CAM_*/*.jpg"))]
    else:
        images = [torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 900, 1600), dtype=np.uint8))]
    cache = SuperpixelCache(folder / "regions", SuperpixelConfig())
    start = time.process_time()
    for image in images:
        cache(image[None], None)
    seconds = (time.process_time() - start) / len(images)
    size = sum(path.stat().st_size for path in (folder / "regions").iterdir()) / len(images)
    return {"item": "superpixels of an image", "cpu_seconds": seconds, "bytes": size, "memory_mb": "–"}


def table(folder: Path, count: int) -> dict[str, Any]:
    """A record of nuScenes' largest table, sample_data.json."""
    (folder / "v1.0-trainval").mkdir()
    records = [
        {
            "token": f"{number:032x}",
            "sample_token": f"{number // 12:032x}",
            "ego_pose_token": f"{number:032x}",
            "calibrated_sensor_token": f"{number % 12:032x}",
            "timestamp": 1533151603512404 + number,
            "fileformat": "jpg",
            "is_key_frame": number % 13 == 0,
            "height": 900,
            "width": 1600,
            "filename": f"sweeps/CAM_FRONT/n015-2018-07-24-11-22-45+0800__CAM_FRONT__{number:016d}.jpg",
            "prev": f"{number - 1:032x}",
            "next": f"{number + 1:032x}",
        }
        for number in range(1, count + 1)
    ]
    path = folder / "v1.0-trainval" / "sample_data.json"
    path.write_text(json.dumps(records))
    del records
    before, start = resident("VmRSS"), time.process_time()
    found = Tables(folder).read("sample_data")
    seconds, memory = time.process_time() - start, (resident("VmRSS") - before) / 2**20
    assert len(found) == count
    size = path.stat().st_size / count
    return {"item": "a record of a table, in full", "cpu_seconds": seconds / count, "bytes": size, "memory_mb": memory}


if __name__ == "__main__":
    main()
