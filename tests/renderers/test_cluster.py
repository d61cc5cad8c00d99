"""What is refused before any work goes to a cluster, in one line."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from crosspoint.renderers import ClusterConfig, cluster, on_cluster
from crosspoint.renderers.parallel import in_processes, processes


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cluster": "dask"}, "found --cluster dask without an address, .*: give --address HOST:PORT"),
        ({"address": "here:1"}, "found --address here:1 without a cluster, expected --cluster dask or --cluster ray"),
        ({"batch": 0}, "found batch 0, expected 1 or more items"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClusterConfig(**given)


@pytest.mark.parametrize(("name", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_a_missing_package_is_named(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with (
        pytest.raises(ImportError, match=f"found no package {package} for --cluster {name}, .*: pip install {package}"),
        on_cluster(ClusterConfig(name, "127.0.0.1:1")),
    ):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense:", "gone/scheduler.json"])
def test_an_address_that_nobody_answers_is_one_line(
    address: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("distributed", reason="needs pip install 'crosspoint3d[dask]'")
    monkeypatch.setattr(cluster, "SECONDS", 1)
    with pytest.raises(ConnectionError, match=f"found no .*{address}.*, expected one: start dask scheduler"):
        cluster._dask(address, ExitStack())
    assert capfd.readouterr().err == ""


def test_without_a_cluster_nothing_changes_but_the_batch() -> None:
    with on_cluster(ClusterConfig(batch=3)):
        assert cluster.batch_size() == 3 and cluster.opened_cluster() is None
        assert processes(2) == 2 and processes(2, "cuda") == 1
        assert list(in_processes(pow, [(number, 2) for number in range(9)], 1)) == [n**2 for n in range(9)]
    assert cluster.batch_size() == "auto"


def test_a_gpu_and_a_cluster_are_refused_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_dask", lambda address, stack: 2)
    with on_cluster(ClusterConfig("dask", "somewhere:8786")):
        assert processes(7) == 2
        with pytest.raises(ValueError, match=r"found --cluster dask with the device cuda, expected the CPU: .* cpu"):
            processes(1, "cuda")


def test_the_renderers_do_not_bring_a_cluster_along() -> None:
    """Who has no cluster needs no package of one."""
    text = (Path(cluster.__file__)).read_text()
    assert "import distributed" not in text and "import ray" not in text
