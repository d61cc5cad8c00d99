"""Runs on toy pairs: learning, exact resume after a kill, hold-out, schedule, and what is refused."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from crosspoint import CrossPoint, load_encoder
from crosspoint.checkpoints.load import read_checkpoint
from crosspoint.datasets.pairs import stack_pairs
from crosspoint.models.build import EncoderConfig
from crosspoint.training.callbacks import HoldOut
from crosspoint.training.config import (
    DataConfig,
    ImageEncoderConfig,
    MethodConfig,
    PretrainConfig,
    TrainingConfig,
)
from crosspoint.training.epoch_sampler import EpochSampler, step_seed
from crosspoint.training.lightning_module import Pretraining, cosine_schedule
from crosspoint.training.pretrain import build_method, pretrain, split_holdout
from crosspoint.transforms import CloudAugmentation, ImageAugmentation

HERE = Path(__file__).parent


def configuration(out: Path, **training: object) -> PretrainConfig:
    return PretrainConfig(
        out=out,
        data=DataConfig(holdout=0.25, probe_points=40, workers=0),
        encoder=EncoderConfig(k=5, channels=[8, 8], embedding=16),
        image_encoder=ImageEncoderConfig("resnet18"),
        method=MethodConfig(images=ImageAugmentation(size=24), clouds=CloudAugmentation(points=48)),
        training=TrainingConfig(**{"epochs": 2, "batch_size": 6, "accelerator": "cpu", **training}),
    )


@pytest.fixture(autouse=True)
def toy_data(monkeypatch: pytest.MonkeyPatch, toy_pairs: type) -> None:
    monkeypatch.setattr("crosspoint.training.pretrain.open_pairs", lambda config: toy_pairs())


def weights(path: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(path)["state_dict"]


def test_a_run_leaves_what_it_promises(tmp_path: Path) -> None:
    seen: list[HoldOut] = []

    def probe(encoder: torch.nn.Module, data: HoldOut) -> dict[str, float]:
        assert encoder is not None
        seen.append(data)
        return {"accuracy": [50.0, 80.0, 70.0][len(seen) - 1]}

    out = tmp_path / "run"
    best = pretrain(configuration(out, epochs=5, probe_every=2), probe=probe)
    assert best == out / "best.ckpt"
    assert read_checkpoint(best)["epoch"] == 3  # the second probe, after the fourth epoch, was the best
    assert read_checkpoint(out / "last.ckpt")["epoch"] == 4
    assert len(seen) == 3  # after the epochs 2, 4 and 5
    assert seen[0].fit_points.shape == (16, 40, 3)
    assert np.allclose(np.linalg.norm(seen[0].held_points, axis=2).max(axis=1), 1, atol=1e-5)
    assert np.bincount(seen[0].held_labels).tolist() == [2, 2, 2, 2]
    assert load_encoder(best).config == {"k": 5, "channels": [8, 8], "embedding": 16}
    metrics = (out / "csv" / "version_0" / "metrics.csv").read_text().splitlines()
    assert {"train/loss", "train/intra", "train/cross", "probe/accuracy"} <= set(metrics[0].split(","))
    assert list((out / "tensorboard").rglob("events.out.tfevents.*"))


def test_the_loss_falls(tmp_path: Path) -> None:
    out = tmp_path / "run"
    pretrain(configuration(out, epochs=12))
    rows = [line.split(",") for line in (out / "csv/version_0/metrics.csv").read_text().splitlines()]
    column = rows[0].index("train/loss")
    losses = [float(row[column]) for row in rows[1:]]
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.3


def test_resume_after_a_kill_is_exact(tmp_path: Path) -> None:
    """Three epochs at once equal one epoch, kill -9 inside the second, and a resume: bit for bit."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    pretrain(configuration(whole, epochs=3))
    code = (
        "import sys, time; from pathlib import Path; sys.path[:0] = [sys.argv[2], sys.argv[3]]; "
        "import crosspoint.training.pretrain as p, conftest, test_pretrain as t; "
        "Slow = type('Slow', (conftest.ToyPairs,), {'__getitem__': lambda self, item: "
        "(time.sleep(0.05 if Path(sys.argv[1], 'last.ckpt').exists() else 0), "
        "conftest.ToyPairs.__getitem__(self, item))[1]}); "
        "p.open_pairs = lambda config: Slow(); p.pretrain(t.configuration(Path(sys.argv[1]), epochs=3))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(cut), str(HERE), str(HERE.parent)],
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (cut / "last.ckpt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors.decode()
    assert read_checkpoint(cut / "last.ckpt")["epoch"] == 0
    pretrain(configuration(cut, epochs=3), resume=True)
    expected, found = read_checkpoint(whole / "last.ckpt"), read_checkpoint(cut / "last.ckpt")
    assert all(torch.equal(tensor, found["state_dict"][name]) for name, tensor in expected["state_dict"].items())
    before, after = (content["optimizer_states"][0]["state"] for content in (expected, found))
    assert all(torch.equal(before[i]["exp_avg_sq"], after[i]["exp_avg_sq"]) for i in before)


def test_an_interrupt_keeps_the_last_epoch(tmp_path: Path) -> None:
    def interrupt(encoder: torch.nn.Module, data: HoldOut) -> dict[str, float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(configuration(tmp_path / "run", epochs=3, probe_every=2), probe=interrupt)
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["epoch"] == 0
    config = configuration(tmp_path / "run", epochs=3, probe_every=2)
    pretrain(config, probe=lambda encoder, data: {"accuracy": 1.0}, resume=True)
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["epoch"] == 2


def test_workers_do_not_change_the_result(tmp_path: Path) -> None:
    runs = []
    for workers in (0, 2):
        config = configuration(tmp_path / str(workers), epochs=1)
        runs.append(weights(pretrain(replace(config, data=replace(config.data, workers=workers)))))
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_another_seed_changes_the_result(tmp_path: Path) -> None:
    config = configuration(tmp_path / "a", epochs=1)
    first = weights(pretrain(config))
    second = weights(pretrain(replace(config, out=tmp_path / "b", seed=1)))
    assert any(not torch.equal(first[name], second[name]) for name in first if "weight" in name)


def test_a_run_is_not_written_over(tmp_path: Path) -> None:
    config = configuration(tmp_path / "run", epochs=1)
    last = pretrain(config)
    content = last.read_bytes()
    with pytest.raises(ValueError, match=r"found a run in .* expected a new folder: pass --resume true"):
        pretrain(config)
    with pytest.raises(ValueError, match=r"training.learning_rate: 0.001 then, 0.01 now"):
        pretrain(configuration(tmp_path / "run", epochs=1, learning_rate=0.01), resume=True)
    assert last.read_bytes() == content


def test_bad_settings_leave_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found 16 pairs for training and a batch size of 17"):
        pretrain(configuration(tmp_path / "run", batch_size=17))
    assert not (tmp_path / "run").exists()


def test_divergence_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crosspoint.methods.crosspoint.nt_xent", lambda a, b, temperature: (a * b).sum() * float("nan"))
    with pytest.raises(ValueError, match=r"found a loss of nan in epoch 1, expected a finite one"):
        pretrain(configuration(tmp_path / "run", epochs=1))


def test_schedule_begins_at_one_and_never_reaches_zero() -> None:
    factor = cosine_schedule(100)
    values = [factor(step) for step in range(100)]
    assert values[0] == 1
    assert abs(values[50] - 0.5) < 1e-12
    assert min(values) == values[-1] > 0
    assert all(a > b for a, b in pairwise(values))
    warm = cosine_schedule(100, warmup=10)
    assert [warm(step) for step in range(11)] == pytest.approx([(step + 1) / 11 for step in range(11)])


def test_holdout_is_a_share_of_every_class() -> None:
    labels = np.array([0] * 20 + [1] * 10 + [2] * 1 + [-1] * 5)
    fit, held = split_holdout(labels, 0.2, seed=0)
    assert sorted([*fit, *held]) == list(range(36))
    assert np.bincount(labels[held], minlength=3).tolist() == [4, 2, 0]
    assert np.array_equal(split_holdout(labels, 0.2, seed=0)[1], held)
    assert len(split_holdout(labels, 0.0, seed=0)[1]) == 0
    with pytest.raises(ValueError, match=r"found a hold-out share of 1.5"):
        split_holdout(labels, 1.5, seed=0)


def test_sampler_shares_a_permutation_out() -> None:
    indices = np.arange(100, 111)
    whole = EpochSampler(indices, seed=3)
    first = list(whole)
    assert sorted(index for index, _ in first) == indices.tolist()
    whole.set_epoch(1)
    assert list(whole) != first
    whole.set_epoch(0)
    assert list(whole) == first
    shares = [list(EpochSampler(indices, seed=3, rank=rank, processes=2)) for rank in range(2)]
    assert [len(share) for share in shares] == [5, 5]
    assert [pair for both in zip(*shares, strict=True) for pair in both] == first[:10]
    assert len({step_seed(0, rank, step) for rank in range(4) for step in range(100)}) == 400


def test_method_is_the_sum_of_its_losses(toy_pairs: type) -> None:
    config = configuration(Path("unused"))
    batch = stack_pairs([toy_pairs(views=2)[i, 0] for i in range(6)])
    generator = torch.Generator()
    for intra, cross in ((1.0, 1.0), (0.5, 2.0)):
        weighted = replace(config, method=replace(config.method, intra_weight=intra, cross_weight=cross))
        parts = build_method(weighted).training_step(batch, generator.manual_seed(0))
        assert torch.allclose(parts["loss"], intra * parts["intra"] + cross * parts["cross"])
    alone = build_method(replace(config, method=replace(config.method, cross_weight=0.0)))
    assert alone.image_encoder is None
    assert set(alone.training_step(batch, generator.manual_seed(0))) == {"loss", "intra"}


class HostWaits(TorchDispatchMode):
    """Notes the operations for which the host would wait for a GPU: values read back, copied over, or counted."""

    WAITING = frozenset(
        ["_local_scalar_dense", "lift_fresh", "bincount", "nonzero", "masked_select", "_unique2", "equal"]
    )

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.found |= {func._schema.name.split("::")[1]} & self.WAITING
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("network", ["pointnet"])
def test_a_step_does_not_wait_for_the_device(network: str, toy_pairs: type) -> None:
    config = configuration(Path("unused"))
    config = replace(
        config,
        encoder=replace(config.encoder, network=network),
        method=replace(config.method, clouds=CloudAugmentation(points=48, stretch=(0.7, 1.4), rotation="any")),
    )
    method, batch = build_method(config), stack_pairs([toy_pairs(views=2)[i, 0] for i in range(6)])
    optimizer = torch.optim.Adam(method.parameters(), fused=True)
    generator = torch.Generator().manual_seed(0)
    with HostWaits() as waits:
        method.training_step(batch, generator)["loss"].backward()
        optimizer.step()
    assert not waits.found


def test_fused_adam_takes_the_steps_of_adam(toy_pairs: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for weights in channels-last order: gradients have to lie in memory as the weights do."""
    module = Pretraining(build_method(configuration(Path("unused"))), TrainingConfig(), seed=0, known={})
    monkeypatch.setattr(Pretraining, "trainer", SimpleNamespace(estimated_stepping_batches=10))
    copied = copy.deepcopy(module)
    fused = module.configure_optimizers()["optimizer"]
    plain = torch.optim.Adam(copied.parameters(), lr=1e-3, weight_decay=1e-6, foreach=False, fused=False)
    assert fused.defaults["fused"]
    batch = stack_pairs([toy_pairs()[i, 0] for i in range(6)])
    for step in range(3):
        fused.zero_grad()
        module.method.training_step(batch, torch.Generator().manual_seed(step))["loss"].backward()
        for weight, other in zip(module.parameters(), copied.parameters(), strict=True):
            other.grad = weight.grad.clone()
        fused.step()
        plain.step()
        for (name, weight), other in zip(module.named_parameters(), copied.parameters(), strict=True):
            assert torch.allclose(weight, other, atol=1e-6), name


def test_features_of_several_views_are_averaged(toy_pairs: type) -> None:
    method = build_method(configuration(Path("unused"))).eval()
    object.__setattr__(method.images, "jitter", 0.0)
    object.__setattr__(method.images, "flip", 0.0)
    images = stack_pairs([toy_pairs(views=3)[i, 0] for i in range(4)]).images
    generator = torch.Generator()
    alone = [method.project_images(images[:, [view]], generator) for view in range(3)]
    assert torch.allclose(method.project_images(images, generator), torch.stack(alone).mean(dim=0), atol=1e-5)


def test_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_method(configuration(Path("unused")))
    assert torch.equal(torch.rand(3), expected)


def test_impossible_weights_are_named() -> None:
    encoder = torch.nn.Linear(3, 3)
    encoder.feature_dim = 3
    with pytest.raises(ValueError, match="found weights 0 and 0"):
        CrossPoint(encoder, None, intra_weight=0, cross_weight=0)
    with pytest.raises(ValueError, match="without an image encoder"):
        CrossPoint(encoder, None)
