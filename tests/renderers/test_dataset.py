from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from crosspoint.renderers import RenderedSet, Style, load_mesh, normalize, render_folder
from crosspoint.renderers.dataset import plan
from crosspoint.renderers.layouts import Item, Source
from crosspoint.renderers.sample import Recipe

SMALL = {"views": 2, "size": 32, "points": 64, "shard_size": 2, "progress": False}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ModelNet tree of 9 meshes, 4 of which cannot be used."""
    root = tmp_path_factory.mktemp("source")
    shapes = {"ball": trimesh.creation.icosphere(2), "can": trimesh.creation.cylinder(0.3, 1.0)}
    for name, mesh in shapes.items():
        for split, count in (("train", 2), ("test", 1)):
            (root / name / split).mkdir(parents=True)
            for number in range(count - (name == "can" and split == "test")):
                mesh.apply_scale([1.0, 1.1, 0.9])
                mesh.export(root / name / split / f"{name}_{number}.off")
    bad = root / "can" / "train"
    (bad / "empty.off").write_text("")
    (bad / "flat.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n")
    (bad / "nan.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 nan\n0 1 0\n3 0 1 2\n")
    (bad / "noise.glb").write_bytes(bytes(range(256)))
    return root


def content(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir()}


@pytest.fixture(scope="module")
def rendered(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rendered") / "set"
    summary = render_folder(source, out, jobs=1, **SMALL)
    assert (summary.rendered, summary.failed, summary.views) == (5, 4, 10)
    assert "rendered 5 objects" in str(summary) and "4 meshes failed" in str(summary)
    return out


def test_failures_are_listed_with_their_reason_and_stop_nothing(rendered: Path) -> None:
    failures = [json.loads(line) for line in (rendered / "failures.jsonl").read_text().splitlines()]
    reasons = {failure["path"].split("/")[-1]: failure["reason"] for failure in failures}
    assert set(reasons) == {"empty.off", "flat.off", "nan.off", "noise.glb"}
    assert "zero surface area" in reasons["flat.off"] and "NaN" in reasons["nan.off"]
    assert all(reason and "\n" not in reason for reason in reasons.values())


def test_the_bytes_do_not_depend_on_the_number_of_jobs(source: Path, rendered: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking in a process that has threads
        render_folder(source, tmp_path / "set", jobs=2, **SMALL)
    assert content(tmp_path / "set") == content(rendered)


def test_the_settings_and_classes_are_recorded(rendered: Path) -> None:
    about = json.loads((rendered / "set.json").read_text())
    assert about["classes"] == ["ball", "can"] and about["shards"] == {"test": 1, "train": 4}
    assert about["settings"]["up_axis"] == "z" and about["settings"]["views"] == 2 and about["format"] == 1


def test_clouds_and_meta_are_those_of_the_mesh(source: Path, rendered: Path) -> None:
    objects = RenderedSet(rendered)
    for index in range(len(objects)):
        meta = objects.meta(index)
        original = load_mesh(source / meta["source"])
        mesh = normalize(original, "z")
        moved = trimesh.transform_points(original.vertices, np.array(meta["transform"]))
        np.testing.assert_allclose(moved, mesh.vertices, atol=1e-12)
        _, distance, _ = trimesh.proximity.closest_point_naive(mesh, objects.points(index))
        assert distance.max() < 1e-6
        assert objects.classes[objects.labels[index]] == meta["class"]


def test_each_path_draws_its_own_points_and_cameras(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "source" / name).mkdir(parents=True)
        trimesh.creation.icosphere(1).export(tmp_path / "source" / name / "ball.ply")
    drawn = []
    for seed in (0, 1):
        render_folder(tmp_path / "source", tmp_path / f"set {seed}", jobs=1, seed=seed, **SMALL)
        objects = RenderedSet(tmp_path / f"set {seed}")
        drawn += [(objects.points(i).tobytes(), objects.cameras(i).R.numpy().tobytes()) for i in range(2)]
    assert len({points for points, _ in drawn}) == len({poses for _, poses in drawn}) == 4


def test_shards_divide_each_split_and_mix_classes() -> None:
    items = [Item(f"{i:03d}", f"{i:03d}", str(i // 50), "train", 1) for i in range(100)]
    recipe = Recipe(1, 8, 8, "ring", "raycast", "y", 3, Style())
    shards = plan(Path("out"), Source("labeled", "y", ["0", "1"], items), recipe, 40)
    assert [(Path(shard.path).name, len(shard.items)) for shard in shards] == [
        ("train-000000.tar", 40),
        ("train-000001.tar", 40),
        ("train-000002.tar", 20),
    ]
    assert sorted(item.path for shard in shards for item in shard.items) == [item.path for item in items]
    assert all(5 < sum(item.category == "0" for item in shard.items) < 35 for shard in shards[:2])


def test_webdataset_reads_the_shards(rendered: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import webdataset

        shards = sorted(str(path) for path in rendered.glob("*.tar"))
        samples = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False).decode("rgb8"))
    objects = RenderedSet(rendered)
    assert [sample["__key__"] for sample in samples] == objects.keys
    for index, sample in enumerate(samples):
        np.testing.assert_array_equal(sample["points.npy"], objects.points(index))
        views = np.stack([sample["view00.png"], sample["view01.png"]]).transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(views, objects.images(index))
        np.testing.assert_array_equal(sample["cameras.npz"]["R"], objects.cameras(index).R)
        assert sample["json"]["class"] in sample["json"]["source"]


def test_a_finished_set_is_left_alone(source: Path, rendered: Path) -> None:
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in rendered.glob("*.tar")}
    assert render_folder(source, rendered, jobs=1, **SMALL).views == 0
    assert before == {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in rendered.glob("*.tar")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"views": 3}, "begun with views = 2, expected 3"),
        ({"seed": 1}, "begun with seed = 0, expected 1"),
        ({"up_axis": "y"}, "begun with up_axis = z, expected y"),
        ({"background": "transparent"}, "begun with background = white, expected transparent"),
    ],
)
def test_other_settings_are_refused(source: Path, rendered: Path, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render_folder(source, rendered, jobs=1, **{**SMALL, **change})


def test_a_changed_source_and_foreign_files_are_refused(source: Path, rendered: Path, tmp_path: Path) -> None:
    extra = source / "ball" / "train" / "new.off"
    extra.write_text("OFF\n")
    try:
        with pytest.raises(ValueError, match=r"found 1 meshes that differ .*\(ball/train/new.off is new\)"):
            render_folder(source, rendered, jobs=1, **SMALL)
    finally:
        extra.unlink()
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="no rendered set"):
        render_folder(source, tmp_path, jobs=1, **SMALL)
    assert content(tmp_path) == {"thesis.tex": b"precious"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"views": 0}, "found views 0"),
        ({"seed": -1}, "found seed -1"),
        ({"jobs": 0}, "found 0 jobs"),
        ({"orbit": "spiral"}, "orbit 'spiral'"),
        ({"backend": "blender"}, "backend 'blender'"),
        ({"up_axis": "w"}, "up axis 'w'"),
        ({"shard_size": 0}, "found shard_size 0"),
    ],
)
def test_impossible_settings_write_nothing(source: Path, tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render_folder(source, tmp_path / "set", **{**SMALL, "jobs": 1, **change})
    assert not (tmp_path / "set").exists()


def test_a_killed_run_is_finished_to_the_same_bytes(source: Path, rendered: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    code = (
        "from crosspoint.renderers import render_folder; "
        f"render_folder({str(source)!r}, {str(out)!r}, jobs=1, **{SMALL!r})"
    )
    # The process stops itself in the middle of its third shard, so that the kill falls there however fast it is.
    pause = (
        "import crosspoint.renderers.dataset as d, time; plain = d.render_sample; done = []\n"
        "def slow(*a):\n    done.append(1)\n    if len(done) > 3: time.sleep(60)\n    return plain(*a)\n"
        "d.render_sample = slow\n"
    )
    process = subprocess.Popen([sys.executable, "-c", pause + code], cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 60
    while not (drafts := list(out.glob(".*.tar.*"))) or len(list(out.glob("*-*.json"))) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert drafts[0].exists() and not (out / "failures.jsonl").exists()
    with pytest.raises(ValueError, match="run `render` again to finish"):
        RenderedSet(out)
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    assert render_folder(source, out, jobs=1, **SMALL).views < 10
    assert content(out) == content(rendered)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())


def test_a_run_killed_before_its_first_shard_can_go_on(source: Path, rendered: Path, tmp_path: Path) -> None:
    (tmp_path / "sources.json").write_bytes((rendered / "sources.json").read_bytes())
    render_folder(source, tmp_path, jobs=1, **SMALL)
    assert content(tmp_path) == content(rendered)


def test_colors_and_transparency_are_kept(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(2)
    ball.visual.vertex_colors = [255, 0, 0, 255]
    (tmp_path / "source").mkdir()
    ball.export(tmp_path / "source" / "red.ply")
    summary = render_folder(tmp_path / "source", tmp_path / "set", jobs=1, background="transparent", **SMALL)
    assert summary.rendered == 1
    objects = RenderedSet(tmp_path / "set", "all")
    assert objects.labels.tolist() == [-1] and objects.classes == []
    colors = objects.colors(0)
    assert colors is not None and (colors == [255, 0, 0]).all()
    stored = np.asarray(Image.open(io.BytesIO(objects._read(0, "view00.png"))))
    assert stored.shape == (32, 32, 4) and stored[0, 0].tolist() == [0, 0, 0, 0]
    image = objects.images(0)[0]
    assert image[:, 0, 0].tolist() == [255, 255, 255] and image[1, 16, 16] < image[0, 16, 16]


def test_textures_that_were_not_found_are_counted_and_listed(tmp_path: Path) -> None:
    (tmp_path / "source" / "cup").mkdir(parents=True)
    text = "mtllib a.mtl\nusemtl m\nv 0 0 0\nv 1 0 0\nv 0 1 1\nf 1 2 3\n"
    (tmp_path / "source" / "cup" / "a.obj").write_text(text)
    (tmp_path / "source" / "cup" / "a.mtl").write_text("newmtl m\nKd 0 0 0\nmap_Kd gone.png\n")
    summary = render_folder(tmp_path / "source", tmp_path / "set", jobs=1, **SMALL)
    assert summary.lacking == 1 and "1 object without some textures or materials (gone.png of cup/a.obj)" in str(
        summary
    )
    listed = json.loads((tmp_path / "set" / "not_found.jsonl").read_text())
    assert listed == {"path": "cup/a.obj", "names": ["gone.png"]}
    objects = RenderedSet(tmp_path / "set")
    assert objects.colors(0) is None and objects.meta(0)["not_found"] == ["gone.png"]


def test_a_dangling_link_is_a_failure_and_own_classes_can_be_split(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / "source" / "cup").mkdir(parents=True, exist_ok=True)
        trimesh.creation.box().export(tmp_path / "source" / "cup" / f"{number}.off")
    (tmp_path / "source" / "cup" / "link.off").symlink_to("gone.off")
    summary = render_folder(tmp_path / "source", tmp_path / "set", jobs=1, test_share=0.25, **SMALL)
    assert (summary.rendered, summary.failed) == (4, 1) and "a file that is not there" in summary.reason
    splits = {split: len(RenderedSet(tmp_path / "set", split)) for split in ("train", "test")}
    assert sum(splits.values()) == 4 and splits["train"] >= 3
    with pytest.raises(ValueError, match=r"begun with test_share = 0\.25, expected 0\.5"):
        render_folder(tmp_path / "source", tmp_path / "set", jobs=1, test_share=0.5, **SMALL)


def test_one_file_is_rendered(tmp_path: Path) -> None:
    trimesh.creation.box().export(tmp_path / "a.off")
    trimesh.creation.box().export(tmp_path / "b.off")
    assert render_folder(tmp_path / "a.off", tmp_path / "set", jobs=1, **SMALL).rendered == 1
    with pytest.raises(ValueError, match=r"not split, expected one: render them with --test_share 0\.2"):
        RenderedSet(tmp_path / "set", "train")
