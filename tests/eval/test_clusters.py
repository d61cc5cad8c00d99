"""Every command on clusters of two worker processes, of Dask and of Ray: the bytes are those of one process."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from crosspoint import load_encoder
from crosspoint.cli.main import main
from crosspoint.datasets.clouds import Clouds
from crosspoint.eval import extract_features
from crosspoint.eval.protocols.knn import Knn
from crosspoint.eval.protocols.retrieval import Retrieval
from crosspoint.eval.report.report_model import Report
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.study.study import report_study
from crosspoint.eval.supervised.classification import Classifier, classification_head
from crosspoint.eval.supervised.cloud_training import save_trained
from crosspoint.renderers import ClusterConfig, on_cluster, render_folder
from crosspoint.renderers.parallel import in_processes

MINE = """
from dataclasses import dataclass
import numpy as np
from crosspoint.scene.labels.labeler import Labeler

@dataclass(frozen=True)
class Bright(Labeler):
    kind = "semantic"
    names = ["dark", "bright"]

    def recipe(self):
        return {"labels": "bright"}

    def load(self, device):
        return lambda images: [1 + (image.mean(axis=2) > 127).astype(np.uint8) for image in images]
"""
COMMANDS = {
    "render": "render meshes OUT --views 2 --size 16 --points 32",
    "synthesize": "synthesize OUT --train 2 --val 0 --frames 1",
    "superpixels": "superpixels folder --root streets --cache OUT --segments 20",
    "label": "label streets/images OUT --kind mine.Bright",
    "embed": "embed views OUT/features.safetensors --checkpoint encoder.safetensors --device cpu",
    "predict": "predict views OUT --checkpoint network --device cpu",
    "embed-views": "embed-views views --network resnet18 --weights none --name OUT --device cpu",
    "evaluate": "evaluate knn --checkpoint encoder.safetensors --dataset rendered --root views --points 40 "
    "--device cpu --out OUT/knn.json",
}


@pytest.fixture(scope="module")
def address() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason="needs pip install 'crosspoint3d[dask]'")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs="CRITICAL"
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def head() -> Iterator[str]:
    """The address of a Ray cluster of this machine, which ends with the process that began it."""
    pytest.importorskip("ray", reason="needs pip install 'crosspoint3d[ray]'")
    flags = ["--head", "--block", "--num-cpus=2", "--port=0", "--include-dashboard=false", "--disable-usage-stats"]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", *flags, "--object-store-memory=100000000"]
    # Else the address stays in a buffer, and workers get what other programs leave (nice 15).
    at_once = {**os.environ, "PYTHONUNBUFFERED": "1", "RAY_worker_niceness": "0"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=at_once)
    try:
        said = []
        for line in process.stdout:  # it ends where Ray does not start
            said.append(line)
            if found := re.search(r"ray start --address='([^']+)'", line):
                break
        assert found, "".join(said)
        yield found[1]
    finally:
        process.terminate()  # it ends what it has begun
        process.communicate(timeout=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, views: Path, place: Path) -> Path:
    """What the commands read, under short names."""
    root = tmp_path_factory.mktemp("clusters")
    (root / "mine.py").write_text(MINE)
    shutil.copytree(views, root / "views")  # a copy: embeddings are written beside the views
    (root / "encoder.safetensors").symlink_to(place / "a0.safetensors")
    clouds = Clouds(np.zeros((2, 40, 3), np.float32), np.arange(2), ["ball", "box"], "toys", "train")
    network = Classifier(load_encoder(place / "a0.safetensors"), classification_head(16, 2, 0.5))
    head = {"kind": "mlp", "dropout": 0.5}
    save_trained(root / "network", network, clouds, "classes", head, predicted=np.zeros(2))
    generator = np.random.default_rng(0)
    for number in range(36):  # two shards
        mesh = trimesh.creation.box() if number % 2 else trimesh.creation.icosphere(1)
        (root / "meshes" / "shapes").mkdir(parents=True, exist_ok=True)
        mesh.apply_scale(generator.uniform(0.5, 2, 3)).export(root / "meshes" / "shapes" / f"{number}.off")
    return root


def die(parent: int) -> None:
    assert os.getpid() != parent
    os.kill(os.getpid(), signal.SIGKILL)


def content(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_bytes_are_those_of_one_process(
    name: str, address: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(name, "dask", address.scheduler_address, folder, monkeypatch)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_bytes_on_ray_are_those_of_one_process(
    name: str, head: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(name, "ray", head, folder, monkeypatch)


def compare(name: str, cluster: str, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command here and on a cluster."""
    monkeypatch.chdir(folder)  # paths are relative: workers begin elsewhere
    if name in ("superpixels", "label") and not (folder / "streets").exists():
        assert main("synthesize streets --train 1 --val 0 --frames 1 --jobs 1".split()) == 0
    flags = ["--cluster", cluster, "--address", address, "--batch", "1"]
    found = []
    for out, where in ((f"{name}-one-{cluster}", ["--jobs", "1"]), (f"{name}-{cluster}", flags)):
        assert main([*COMMANDS[name].replace("OUT", out).split(), *where]) == 0
        found.append(content(folder / "views" / "embeddings" / out if name == "embed-views" else folder / out))
    assert found[0] and found[0] == found[1]
    assert not [path for path in found[1] if Path(path).name.startswith(".")]


def test_the_bytes_do_not_depend_on_a_worker_that_dies(
    address: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    small: dict[str, Any] = {"views": 2, "size": 32, "points": 64, "shard_size": 1}
    killed: list[int] = []

    def kill() -> None:
        while not list(folder.glob("killed/*.tar")):
            time.sleep(0.01)
        killed.append(next(iter(address.workers.values())).pid)
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    with on_cluster(ClusterConfig("dask", address.scheduler_address, batch=1)):
        render_folder("meshes", "killed", **small)
    thread.join()
    render_folder("meshes", "whole", jobs=1, **small)
    assert killed and content(folder / "killed") == content(folder / "whole")


def test_features_and_studies_are_those_of_one_process(
    address: Any, study: StudyConfig, drawn: list[Report], tmp_path: Path, network: Callable[[str, int], Any]
) -> None:
    address.wait_for_workers(2)
    encoder, clouds = network("dgcnn", 0), np.random.default_rng(0).normal(size=(300, 32, 3)).clip(-1, 1)
    study = replace(study, protocols=[Knn(), Retrieval()], random_init=False)
    here, there = replace(study, out=tmp_path / "here"), replace(study, out=tmp_path / "there")
    features = extract_features(encoder, clouds, batch_size=100)
    assert report_study(here) == 0
    with on_cluster(ClusterConfig("dask", address.scheduler_address)):
        assert np.array_equal(extract_features(encoder, clouds, batch_size=100), features)
        assert report_study(there) == 0
    files = content(there.out)
    assert files == content(here.out) and "results.json" in files


def test_a_folder_that_a_worker_does_not_have_is_named(address: Any, tmp_path: Path) -> None:
    from crosspoint.renderers.parallel import _call_there

    with pytest.raises(FileNotFoundError, match=r"found no folder .*gone on the worker .*: share it"):
        _call_there(str(tmp_path / "gone"), b"")


def test_work_that_ends_every_worker_is_named(address: Any) -> None:
    address.wait_for_workers(2)
    address.scheduler.allowed_failures = 0  # of three, which take three starts of a worker
    with (
        on_cluster(ClusterConfig("dask", address.scheduler_address)),
        pytest.raises(ChildProcessError, match=r"the same work ended several workers of dask, .*: give them more"),
    ):
        list(in_processes(die, [(os.getpid(),)], 1))


def test_a_worker_of_ray_that_dies_is_named(head: str) -> None:
    with (
        on_cluster(ClusterConfig("ray", head)),
        pytest.raises(ChildProcessError, match=r"found that a worker of ray died, .*: give them more"),
    ):
        list(in_processes(die, [(os.getpid(),)], 1))
