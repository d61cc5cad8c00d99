from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from safetensors import safe_open

from crosspoint import DGCNN, Inputs, load_pretrained, save_encoder
from crosspoint.cli.main import main
from crosspoint.datasets.cloud_reading import read_cloud
from crosspoint.eval.embedding import embed
from crosspoint.eval.embedding.sources import FileSource, FrameSource, RenderedSource
from crosspoint.renderers import RenderedSet, render_folder
from crosspoint.scene.models.frame_features import frame_features
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.synthetic.dataset import SyntheticScenes

CLOUD = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32) * 7 + 3


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("encoder") / "encoder.safetensors"
    save_encoder(DGCNN(k=5, channels=[8, 8], embedding=16), path, Inputs(points=48, k=5))
    return path


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cloud in every format, and meshes in folders of classes."""
    root = tmp_path_factory.mktemp("clouds")
    np.save(root / "a.npy", CLOUD.astype(np.float64))
    np.savez(root / "b.npz", other=np.zeros(3), points=CLOUD)
    np.savetxt(root / "c.xyz", np.hstack([CLOUD, CLOUD]), fmt="%.9g")
    (root / "d.csv").write_text("x,y,z,label\n" + "\n".join(",".join(f"{v:.9g}" for v in row) + ",1" for row in CLOUD))
    (root / "e.pts").write_text("60\n" + "\n".join(" ".join(f"{v:.9g}" for v in row) for row in CLOUD))
    trimesh.PointCloud(CLOUD).export(root / "f.ply")
    return root


def test_every_format_gives_the_same_cloud(clouds: Path) -> None:
    for path in sorted(clouds.iterdir()):
        assert np.allclose(read_cloud(path, 48, path.name), CLOUD, atol=1e-5), path.name


def test_features_are_those_of_the_transformed_cloud(clouds: Path, checkpoint: Path) -> None:
    found = embed(FileSource(clouds, 48), checkpoint, per_point=True)
    assert found.names == ["a.npy", "b.npz", "c.xyz", "d.csv", "e.pts", "f.ply"] and found.labels == [""] * 6
    pretrained = load_pretrained(checkpoint)
    seen = pretrained.transform(CLOUD)
    with torch.no_grad():
        expected, of_points = pretrained.encoder(seen)[0].numpy(), pretrained.encoder.forward_features(seen)[0].numpy()
    assert found.features.shape == (6, 32)
    assert np.allclose(found.features, expected, atol=1e-4)
    assert found.offsets is not None and found.points is not None and found.point_features is not None
    assert found.offsets.tolist() == [48 * i for i in range(7)]
    assert np.allclose(found.points[48:96], seen[0].numpy(), atol=1e-5)
    assert np.allclose(found.point_features[:48], of_points, atol=1e-4)


def test_meshes_are_sampled_alike_in_any_order_and_their_folders_are_labels(tmp_path: Path, checkpoint: Path) -> None:
    for split, name, mesh in (
        ("train", "box", trimesh.creation.box((1, 2, 3))),
        ("test", "ball", trimesh.creation.icosphere(1)),
    ):
        (tmp_path / name / split).mkdir(parents=True)
        mesh.export(tmp_path / name / split / "0.off")
    source = FileSource(tmp_path, 48)
    assert (source.names, source.labels, source.up_axis) == (
        ["ball/test/0.off", "box/train/0.off"], ["ball", "box"], "z"
    )  # fmt: skip
    assert FileSource(tmp_path / "box", 48).up_axis == "z"
    box = source.read(1)
    assert box.shape == (48, 3)
    assert np.allclose(np.abs(box / [0.5, 1, 1.5]).max(axis=1), 1, atol=1e-5)  # each point lies on a face
    turned = embed(source, checkpoint, up_axis="z").features
    alone = embed(FileSource(tmp_path / "box" / "train" / "0.off", 48), checkpoint, up_axis="z")
    assert turned.shape == (2, 32) and alone.names == ["0.off"]


def test_a_rendered_set_and_frames_of_a_scene(tmp_path: Path, checkpoint: Path) -> None:
    (tmp_path / "source" / "ball").mkdir(parents=True)
    trimesh.creation.icosphere(1).export(tmp_path / "source" / "ball" / "0.ply")
    render_folder(tmp_path / "source", tmp_path / "set", views=1, size=16, points=64, jobs=1, progress=False)
    found = embed(RenderedSource(tmp_path / "set"), checkpoint)
    objects, pretrained = RenderedSet(tmp_path / "set"), load_pretrained(checkpoint)
    with torch.no_grad():
        assert np.allclose(found.features[0], pretrained.encoder(pretrained.transform(objects.points(0)))[0], atol=1e-5)
    assert (found.names, found.labels) == (objects.keys, ["ball"])

    torch.manual_seed(0)
    network = MinkUNet(stem=8, encoder=[8] * 4, encoder_blocks=[1] * 4, decoder=[8] * 4, decoder_blocks=[1] * 4)
    save_encoder(
        network,
        tmp_path / "scene.safetensors",
        Inputs(kind="voxels", voxels={"size": 0.5, "kind": "cartesian"}),
    )
    frames = SyntheticScenes(sequences=1, frames=2)
    described = frame_features(load_pretrained(tmp_path / "scene.safetensors"), frames[1])
    scenes = embed(FrameSource(frames), tmp_path / "scene.safetensors", per_point=True)
    assert np.allclose(scenes.features[1], described.mean(axis=0), atol=1e-5)
    assert scenes.offsets is not None and scenes.point_features is not None
    assert np.allclose(scenes.point_features[scenes.offsets[1] :], described, atol=1e-5)


@pytest.mark.parametrize("suffix", ["safetensors", "npz", "parquet"])
def test_the_command_writes_what_python_gives(clouds: Path, checkpoint: Path, tmp_path: Path, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="parquet needs pyarrow")
    out = tmp_path / f"features.{suffix}"
    words = ["embed", str(clouds), str(out), "--checkpoint", str(checkpoint), "--jobs", "1", "--device", "cpu"]
    assert main(words) == 0
    expected = embed(FileSource(clouds, 48), checkpoint)
    if suffix == "safetensors":
        with safe_open(out, framework="np") as file:
            facts, features = json.loads(file.metadata()["crosspoint_embeddings"]), file.get_tensor("features")
        assert facts["names"] == expected.names and facts["left_out"] == []
    elif suffix == "npz":
        with np.load(out) as file:
            features, names = file["features"], file["names"].tolist()
        assert names == expected.names
    else:
        import pyarrow.parquet as pq

        table = pq.read_table(out)
        features = np.stack(table["features"].to_numpy())
        assert table["name"].to_pylist() == expected.names
    assert np.allclose(features, expected.features, atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]  # no draft stays


def test_an_interrupted_run_goes_on_with_the_same_bytes(
    clouds: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crosspoint.eval.embedding.run.CHUNK", 2)
    whole, cut = tmp_path / "whole.npz", tmp_path / "cut.npz"
    embed(FileSource(clouds, 48), checkpoint, out=whole)
    plain, reads = FileSource.read, []

    def stopped(self: FileSource, index: int) -> np.ndarray:
        if index == 3:
            raise KeyboardInterrupt
        return plain(self, index)

    def counted(self: FileSource, index: int) -> np.ndarray:
        reads.append(index)
        return plain(self, index)

    monkeypatch.setattr(FileSource, "read", stopped)
    with pytest.raises(KeyboardInterrupt):
        embed(FileSource(clouds, 48), checkpoint, out=cut)
    assert not cut.exists()
    monkeypatch.setattr(FileSource, "read", counted)
    embed(FileSource(clouds, 48), checkpoint, out=cut)
    assert reads == [2, 3, 4, 5]
    assert cut.read_bytes() == whole.read_bytes()


def test_a_checkpoint_that_was_written_anew_is_read_anew(clouds: Path, tmp_path: Path) -> None:
    path, found = tmp_path / "encoder.safetensors", []
    for seed in range(2):
        torch.manual_seed(seed)
        save_encoder(DGCNN(k=5, channels=[8, 8], embedding=16), path, Inputs(points=48, k=5))
        found.append(embed(FileSource(clouds, 48), path).features)
    assert not np.allclose(*found)


def test_what_cannot_be_read_stops_the_run_or_is_left_out(clouds: Path, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "good.npy").write_bytes((clouds / "a.npy").read_bytes())
    for name, content in {"bad.npy": b"x", "worse.xyz": b"1 2\n", "nan.csv": b"1,2,nan\n"}.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.npy.*--skip_incomplete true leaves such items out"):
        embed(FileSource(tmp_path, 48), checkpoint)
    found = embed(FileSource(tmp_path, 48), checkpoint, skip_incomplete=True)
    assert found.names == ["good.npy"]
    (tmp_path / "good.npy").unlink()
    with pytest.raises(ValueError, match="found no item that can be read among 3"):
        embed(FileSource(tmp_path, 48), checkpoint, skip_incomplete=True)


def test_wrong_input_is_one_line(
    clouds: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--checkpoint", str(checkpoint), "--jobs", "1"]
    for words, said in (
        ([str(clouds), str(tmp_path / "x.h5"), *out], "expected a name that ends in .safetensors"),
        ([str(tmp_path / "none"), str(tmp_path / "x.npz"), *out], "expected a folder of meshes or clouds"),
        ([str(tmp_path), str(tmp_path / "x.npz"), *out], "found neither mesh nor cloud"),
        ([str(clouds), str(tmp_path / "x.npz"), *out, "--split", "train"], "only sets and datasets have splits"),
        ([str(clouds), str(tmp_path / "x.npz"), "--checkpoint", "none.ckpt"], "found no checkpoint at none.ckpt"),
    ):
        assert main(["embed", *words]) == 2
        error = capsys.readouterr().err
        assert said in error and error.strip().count("\n") == 0, error
