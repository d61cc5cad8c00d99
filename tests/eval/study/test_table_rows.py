from __future__ import annotations

from pathlib import Path

import pytest

from crosspoint import DGCNN, save_encoder
from crosspoint.checkpoints.pretrained import Pretrained, load_pretrained
from crosspoint.eval import checkpoint
from crosspoint.eval.checkpoint import Checkpoint
from crosspoint.eval.study.table_rows import methods


def test_rows(place: Path, tmp_path: Path) -> None:
    a, b, c = (place / f"{name}.safetensors" for name in ("a0", "a1", "b"))
    rows = methods([f"ours={a}", f"{c}", f"ours={b}"], random_init=True, k=None)
    assert [(row.name, tuple(file.path for file in row.checkpoints), row.random_init) for row in rows] == [
        ("ours", (a, b), False),
        ("b", (c,), False),
        ("random initialization (DGCNN)", (a, b), True),
        ("random initialization (PointNet)", (c,), True),
    ]
    assert len({row.folder for row in rows}) == 4
    wide = tmp_path / "run" / "last.safetensors"
    wide.parent.mkdir()
    save_encoder(DGCNN(k=4, channels=[8], embedding=8), wide)
    rows = methods([f"{a}", f"{wide}"], random_init=True, k=6)
    assert [row.name for row in rows[:2]] == ["a0", "run"]
    assert len({row.name for row in rows}) == 4  # two architectures of one kind
    assert rows[0].checkpoints[0].config["k"] == 6
    for given, message in (
        ([f"ours={a}", f"ours={wide}"], "under the name ours, expected seeds of one architecture"),
        ([f"ours={a}", f"theirs={a}"], "twice"),
        ([f"{a}", f"a0={b}"], "found two checkpoints called a0"),
        (["=x"], "expected NAME=FILE or FILE"),
    ):
        with pytest.raises(ValueError, match=message):
            methods(given, random_init=False, k=None)


def test_neighbors_of_a_mixed_study(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c = (place / f"{name}.safetensors" for name in ("a0", "a1", "b"))
    read: list[Path] = []

    def counted(path: Path) -> Pretrained:
        read.append(path)
        return load_pretrained(path)

    monkeypatch.setattr(checkpoint, "load_pretrained", counted)
    graph, pointnet = methods([f"ours={a}", f"ours={b}", f"{c}"], random_init=False, k=6)
    assert [file.config["k"] for file in graph.checkpoints] == [6, 6]
    # A network that looks at none is measured beside the others.
    assert [file.neighbors for file in pointnet.checkpoints] == [None]
    assert read == [a, b, c]
    assert graph.checkpoints[0] == Checkpoint.read(a, 6)
    assert graph.checkpoints[0].encoder().config["k"] == 6
    with pytest.raises(ValueError, match="looks at no neighbors, expected none"):
        Checkpoint.read(c, 6)
