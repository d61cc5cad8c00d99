"""Views per second: the whole way from mesh file to shard, and the fragments of both backends on the same meshes.

`--meshes FOLDER` takes a folder of meshes (`crosspoint render --help` lists the layouts); otherwise procedural shapes.
PyTorch3D is compared with where it is installed.
"""

from __future__ import annotations

import importlib.util
import itertools
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import medians, options, report, rounds
from crosspoint.datasets.procedural.shapes import FAMILIES, make_shape
from crosspoint.renderers import load_mesh, normalize, orbit, render_folder
from crosspoint.renderers.layouts import find_meshes
from crosspoint.renderers.rendering import open_backend

VIEWS = 12
SIZE = 224


def write_shapes(root: Path, each: int) -> None:
    """A folder of procedural shapes, one file a mesh."""
    for family, number in itertools.product(FAMILIES, range(each)):
        (root / family).mkdir(parents=True, exist_ok=True)
        make_shape(family, seed=number).mesh.export(root / family / f"{number}.off")


def whole_way(source: Path, out: Path, jobs: int) -> dict[str, Any]:
    """Load, normalize, sample points, trace, shade, encode, write."""
    summary = render_folder(source, out, views=VIEWS, size=SIZE, jobs=jobs, progress=False)
    return {
        "meshes": summary.rendered,
        "views": summary.views,
        "jobs": jobs,
        "seconds": summary.seconds,
        "views_per_second": summary.views / summary.seconds,
    }


def backends(source: Path, meshes: int, repeats: int, device: str) -> list[dict[str, Any]]:
    """Fragments alone, one thread of control, of some meshes spread over the folder. Embree is always on the CPU."""
    found = find_meshes(source)
    rows = []
    for item in found.items[:: max(1, len(found.items) // meshes)][:meshes]:
        mesh = normalize(load_mesh(source / item.path), found.up_axis)
        cameras, one = orbit(VIEWS, size=SIZE, seed=0), orbit(1, size=SIZE, seed=0)
        row: dict[str, Any] = {"mesh": item.path, "faces": len(mesh.faces)}
        ours = medians({"raycast": lambda mesh=mesh, cameras=cameras: open_backend("raycast")(mesh)(cameras)}, repeats)
        row["raycast_per_second"] = VIEWS / ours["raycast"]
        if importlib.util.find_spec("pytorch3d"):
            from crosspoint.renderers.pytorch3d import PyTorch3D

            # Seconds a view on a CPU: there, one is enough.
            tracer, seen, times = PyTorch3D(mesh, device), *((one, 1) if device == "cpu" else (cameras, repeats))
            theirs = medians({"pytorch3d": lambda tracer=tracer, seen=seen: tracer(seen)}, times)
            row["pytorch3d_per_second"] = len(seen) / theirs["pytorch3d"]
            row["faster"] = row["raycast_per_second"] / row["pytorch3d_per_second"]
        rows.append(row)
    return rows


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--meshes", type=Path, help="folder of meshes; procedural shapes without it")
    parser.add_argument("--each", type=int, help="procedural shapes of each family (default 8, quick 1)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = args.meshes
        if source is None:
            source = Path(folder, "shapes")
            write_shapes(source, each=args.each or (1 if args.quick else 8))
        jobs = [2] if args.quick else [1, 2]
        report("rendering", [whole_way(source, Path(folder, f"set{n}"), n) for n in jobs], args)
        report("raycast", backends(source, 2 if args.quick else 8, rounds(args), args.device), args)


if __name__ == "__main__":
    main()
