"""Runs on toy pairs: learning, exact resume after a kill, hold-out, schedule, and what is refused."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from crosspoint import DGCNN, CloudAugmentation, Compute, CrossPoint, PointNet, ProbeConfig, load_pretrained
from crosspoint.checkpoints.files import read_checkpoint
from crosspoint.checkpoints.record import Inputs, Record
from crosspoint.datasets.pairs import stack_pairs
from crosspoint.datasets.splits import split_holdout, stratified_subset
from crosspoint.training.config import ResolvedTraining
from crosspoint.training.lightning_module import Pretraining, cosine_schedule
from crosspoint.training.probe import HoldOut
from crosspoint.training.run_folder import differences
from tests.crosspoint.toys import ToyPairs, toy_method, toy_run

ROOT = Path(__file__).parents[3]
PROBE = ProbeConfig(holdout=0.25, points=40, every=2)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(path)["state_dict"]


def test_a_run_leaves_what_it_promises(tmp_path: Path) -> None:
    seen: list[HoldOut] = []

    def probe(encoder: torch.nn.Module, data: HoldOut) -> dict[str, float]:
        assert encoder is not None
        seen.append(data)
        return {"accuracy": [50.0, 80.0, 70.0][len(seen) - 1]}

    out = tmp_path / "run"
    best = toy_run(out, training={"epochs": 5}, probe=PROBE, measure=probe)
    assert best == out / "best.ckpt"
    assert read_checkpoint(best)["epoch"] == 3  # the second probe, after the fourth epoch, was the best
    assert read_checkpoint(out / "last.ckpt")["epoch"] == 4
    assert len(seen) == 3  # after the epochs 2, 4 and 5
    assert seen[0].fit_points.shape == (16, 40, 3)
    assert np.allclose(np.linalg.norm(seen[0].held_points, axis=2).max(axis=1), 1, atol=1e-5)
    assert np.bincount(seen[0].held_labels).tolist() == [2, 2, 2, 2]
    assert load_pretrained(best).encoder.config == {
        "k": 5,
        "channels": [8, 8],
        "embedding": 16,
        "fields": None,
    }
    metrics = (out / "csv" / "version_0" / "metrics.csv").read_text().splitlines()
    assert {"train/loss", "train/intra", "train/cross", "probe/accuracy"} <= set(metrics[0].split(","))
    assert list((out / "tensorboard").rglob("events.out.tfevents.*"))


def test_the_loss_falls(tmp_path: Path) -> None:
    out = tmp_path / "run"
    toy_run(out, training={"epochs": 12})
    rows = [line.split(",") for line in (out / "csv/version_0/metrics.csv").read_text().splitlines()]
    column = rows[0].index("train/loss")
    losses = [float(row[column]) for row in rows[1:]]
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.3


def test_resume_after_a_kill_is_exact(tmp_path: Path) -> None:
    """Three epochs at once equal one epoch, kill -9 inside the second, and a resume: bit for bit."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    toy_run(whole, training={"epochs": 3})
    code = (
        "import sys, time; from pathlib import Path; from tests.crosspoint.toys import ToyPairs, toy_run\n"
        "out = Path(sys.argv[1])\n"
        "plain = ToyPairs.__getitem__\n"
        "def slow(self, item):\n"
        "    time.sleep(0.05 if (out / 'last.ckpt').exists() else 0)\n"
        "    return plain(self, item)\n"
        "ToyPairs.__getitem__ = slow\n"
        "toy_run(out, training={'epochs': 3})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(cut)], cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (cut / "last.ckpt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors.decode()
    assert read_checkpoint(cut / "last.ckpt")["epoch"] == 0
    toy_run(cut, training={"epochs": 3}, resume=True)
    expected, found = read_checkpoint(whole / "last.ckpt"), read_checkpoint(cut / "last.ckpt")
    assert all(torch.equal(tensor, found["state_dict"][name]) for name, tensor in expected["state_dict"].items())
    before, after = (content["optimizer_states"][0]["state"] for content in (expected, found))
    assert all(torch.equal(before[i]["exp_avg_sq"], after[i]["exp_avg_sq"]) for i in before)


def test_an_interrupt_keeps_the_last_epoch(tmp_path: Path) -> None:
    def interrupt(encoder: torch.nn.Module, data: HoldOut) -> dict[str, float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        toy_run(tmp_path / "run", training={"epochs": 3}, probe=PROBE, measure=interrupt)
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["epoch"] == 0
    measure = lambda encoder, data: {"accuracy": 1.0}  # noqa: E731
    toy_run(tmp_path / "run", training={"epochs": 3}, probe=PROBE, measure=measure, resume=True)
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["epoch"] == 2


class Dies(ToyPairs):
    """Ends the loader process that reads it."""

    def __getitem__(self, item: tuple[int, int]) -> Any:
        if torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(item)


def test_a_loader_process_that_dies_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChildProcessError, match=r"found that a loader process died, .* give fewer workers"):
        toy_run(tmp_path / "run", dataset=Dies(), compute=Compute(accelerator="cpu", workers=1))


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from tests.crosspoint.toys import toy_run
out = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # config, figures and events fit
try:
    toy_run(out, training={"epochs": 3}, resume=True)
except OSError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_disk_that_is_full_when_a_checkpoint_is_written_costs_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk. The run ends in one line, leaves no draft, and goes on."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    toy_run(whole, training={"epochs": 3})
    command = [sys.executable, "-c", FULL_DISK, str(cut)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"for {cut / 'last.ckpt'}, expected enough: make room, and give the command again" in done.stdout
    assert not list(cut.rglob(".*")) and not (cut / "last.ckpt").exists()
    toy_run(cut, training={"epochs": 3}, resume=True)
    expected, found = weights(whole / "last.ckpt"), weights(cut / "last.ckpt")
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "run"
    told: list[str] = []

    def probe(encoder: torch.nn.Module, data: HoldOut) -> dict[str, float]:
        with pytest.raises(ValueError, match=r"found .* in use by process \d+ on .*, expected one writer") as error:
            toy_run(out, training={"epochs": 1}, resume=True)
        told.append(str(error.value))
        return {"accuracy": 1.0}

    toy_run(out, training={"epochs": 1}, probe=PROBE, measure=probe)
    assert len(told) == 1 and not list(out.glob(".*"))
    (out / ".last.ckpt.0123456789abcdef0123456789abcdef").write_bytes(b"of a run that was killed")
    toy_run(out, training={"epochs": 1}, probe=PROBE, measure=probe, resume=True)
    assert not list(out.glob(".*"))


def test_workers_do_not_change_the_result(tmp_path: Path) -> None:
    runs = []
    for workers in (0, 2):
        compute = Compute(accelerator="cpu", workers=workers)
        runs.append(weights(toy_run(tmp_path / str(workers), training={"epochs": 1}, compute=compute)))
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_another_seed_changes_the_result(tmp_path: Path) -> None:
    first = weights(toy_run(tmp_path / "a", training={"epochs": 1}))
    second = weights(toy_run(tmp_path / "b", training={"epochs": 1}, seed=1))
    assert any(not torch.equal(first[name], second[name]) for name in first if "weight" in name)


def test_a_run_is_not_written_over(tmp_path: Path) -> None:
    last = toy_run(tmp_path / "run", training={"epochs": 1})
    content = last.read_bytes()
    with pytest.raises(ValueError, match=r"found a run in .* expected a new folder: pass --resume true"):
        toy_run(tmp_path / "run", training={"epochs": 1})
    with pytest.raises(ValueError, match=r"training.learning_rate: 0.001 then, 0.01 now"):
        toy_run(tmp_path / "run", training={"epochs": 1, "learning_rate": 0.01}, resume=True)
    with pytest.raises(ValueError, match=r"method.init_args.temperature: 0.1 then, 0.5 now"):
        toy_run(tmp_path / "run", method=toy_method(temperature=0.5), training={"epochs": 1}, resume=True)
    assert last.read_bytes() == content


def test_bad_settings_leave_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found 24 samples for training and a batch size of 25"):
        toy_run(tmp_path / "run", training={"batch_size": 25})
    with pytest.raises(ValueError, match="found an encoder of type Linear, expected one that extends"):
        network = torch.nn.Linear(3, 3)
        network.feature_dim = 3
        toy_run(tmp_path / "run", method=CrossPoint(network, None, cross_weight=0.0))
    assert not (tmp_path / "run").exists()


def test_accumulated_gradients_are_those_of_one_larger_batch(tmp_path: Path) -> None:
    """Of a loss that is a mean over the samples of a batch; every batch has draws of its own."""
    seeds: list[int] = []

    class Mean(CrossPoint):
        def training_step(self, batch: Any, generator: torch.Generator) -> dict[str, torch.Tensor]:
            seeds.append(generator.initial_seed())
            return {"loss": self.head(batch.points.mean(dim=1).repeat(1, 4)[:, :8]).square().mean()}

    runs = []
    for batch_size, accumulation in ((8, 1), (4, 2)):
        torch.manual_seed(0)
        method = Mean(PointNet(embedding=8), None, cross_weight=0.0)
        method.head = torch.nn.Linear(8, 2)  # without BatchNorm, which sees each batch by itself
        compute = Compute(accelerator="cpu", workers=0, accumulation=accumulation)
        training = {"epochs": 1, "batch_size": batch_size}
        runs.append(weights(toy_run(tmp_path / str(batch_size), method=method, training=training, compute=compute)))
    for name in ("method.head.weight", "method.head.bias"):
        assert torch.allclose(runs[0][name], runs[1][name], atol=1e-6)
    assert len(set(seeds[:3])) == 3 and len(set(seeds[3:])) == 6


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


def test_a_probe_of_many_clouds_is_fitted_on_a_share_of_every_class(tmp_path: Path) -> None:
    labels = np.array([0] * 700 + [1] * 200 + [2] * 90 + [3] * 8 + [4] * 2)
    chosen = stratified_subset(labels, 100, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [70, 20, 9, 5, 2]
    assert len(np.unique(chosen)) == len(chosen)
    assert np.array_equal(chosen, stratified_subset(labels, 100, seed=0))
    assert not np.array_equal(chosen, stratified_subset(labels, 100, seed=1))
    assert np.array_equal(stratified_subset(labels, 1000, seed=0), np.arange(1000))
    seen: list[HoldOut] = []

    def probe(encoder: torch.nn.Module, data: HoldOut) -> dict[str, float]:
        seen.append(data)
        return {"accuracy": 1.0}

    toy_run(
        tmp_path / "run",
        dataset=ToyPairs(per_class=12),
        training={"epochs": 1},
        probe=ProbeConfig(holdout=0.25, points=40, samples=20),
        measure=probe,
    )
    assert np.bincount(seen[0].fit_labels).tolist() == [5] * 4 and len(seen[0].held_labels) == 12


def test_a_run_that_began_before_the_probe_was_capped_goes_on() -> None:
    before = {"probe": {"holdout": 0.1, "every": 10}, "seed": 0}
    assert differences(before, {"probe": {"holdout": 0.1, "every": 10, "samples": 4000}, "seed": 0}) == []
    now = {"probe": {"holdout": 0.1, "every": 10, "samples": 4000}, "seed": 0}
    later = {"probe": {"holdout": 0.1, "every": 10, "samples": 5000}, "seed": 0}
    assert differences(now, later) == ["probe.samples: 4000 then, 5000 now"]


def test_method_is_the_sum_of_its_losses(toy_pairs: type) -> None:
    batch = stack_pairs([toy_pairs(views=2)[i, 0] for i in range(6)])
    generator = torch.Generator()
    for intra, cross in ((1.0, 1.0), (0.5, 2.0)):
        weighted = toy_method(intra_weight=intra, cross_weight=cross)
        parts = weighted.training_step(batch, generator.manual_seed(0))
        assert torch.allclose(parts["loss"], intra * parts["intra"] + cross * parts["cross"])
    alone = toy_method(cross_weight=0.0)
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


def test_a_step_does_not_wait_for_the_device(toy_pairs: type) -> None:
    clouds = CloudAugmentation(points=48, stretch=(0.7, 1.4), rotation="any")
    method = toy_method(encoder=PointNet, clouds=clouds)
    batch = stack_pairs([toy_pairs(views=2)[i, 0] for i in range(6)])
    optimizer = torch.optim.Adam(method.parameters(), fused=True)
    generator = torch.Generator().manual_seed(0)
    with HostWaits() as waits:
        method.training_step(batch, generator)["loss"].backward()
        optimizer.step()
    assert not waits.found


def test_fused_adam_takes_the_steps_of_adam(toy_pairs: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for weights in channels-last order: gradients have to lie in memory as the weights do."""
    module = Pretraining(toy_method(), ResolvedTraining(), seed=0, record=Record({}, Inputs()))
    data = SimpleNamespace(batches=lambda processes: 10)
    trainer = SimpleNamespace(datamodule=data, world_size=1, accumulate_grad_batches=1, precision="32-true")
    monkeypatch.setattr(Pretraining, "trainer", trainer)
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
    method = toy_method().eval()
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
    toy_method()
    assert torch.equal(torch.rand(3), expected)


def test_impossible_weights_are_named() -> None:
    encoder = DGCNN(k=5, channels=[8], embedding=8)
    with pytest.raises(ValueError, match="found weights 0 and 0"):
        CrossPoint(encoder, None, intra_weight=0, cross_weight=0)
    with pytest.raises(ValueError, match="without an image encoder"):
        CrossPoint(encoder, None)
