from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from crosspoint.eval.metrics.panoptic_quality import PanopticSums, panoptic_scores, panoptic_sums
from crosspoint.eval.panoptic import panoptic_segmentation as module
from crosspoint.eval.panoptic.config import BranchConfig, PanopticConfig
from crosspoint.eval.panoptic.grouping import GroupingConfig
from crosspoint.eval.panoptic.instance_frames import InstanceFrames
from crosspoint.eval.panoptic.losses import MASKINGS
from crosspoint.eval.panoptic.network import PanopticSegmenter, pool_cells
from crosspoint.eval.panoptic.panoptic_segmentation import panoptic_segmentation
from crosspoint.eval.panoptic.polar_grid import PolarGrid
from crosspoint.eval.panoptic.training import PanopticTraining, measure_panoptic
from crosspoint.eval.results import Result
from crosspoint.eval.supervised.resume import CHECKPOINT
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.models.minkunet import MinkUNet
from tests.eval.panoptic.yards import BRANCH, CLASSES, CPU, GROUPING, RECIPE, VOXELS, CrateYard, epochs, tiny

THINGS = torch.tensor([False, False, True])


def run(encoder: MinkUNet, train: LidarDataset, test: LidarDataset, **changes: Any) -> Result:
    given: dict[str, Any] = {"voxels": VOXELS, "recipe": RECIPE, "branch": BRANCH}
    given |= {"grouping": GROUPING, "resources": CPU}
    return panoptic_segmentation(encoder, train, test, **given | changes)


@pytest.fixture(scope="module")
def by_heart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """Two frames by heart."""
    weights = {"center_weight": 10.0, "offset_weight": 1.0}
    recipe = replace(RECIPE, epochs=40, learning_rate=0.01, milestones=(25, 35), augment=False, **weights)
    out = tmp_path_factory.mktemp("by_heart")
    return run(tiny(), CrateYard(2), CrateYard(2), recipe=recipe, out=out), out


def test_a_network_learns_objects_by_heart(by_heart: tuple[Result, Path]) -> None:
    result, _ = by_heart
    assert result.metrics["pq_things"] > 80 and result.metrics["miou"] > 90
    losses = [row["train_loss"] for row in epochs(result)]
    assert losses[-1] < 0.3 * losses[0]
    assert result.metrics["pq"] == result.metrics["pq_last_epoch"]
    assert result.constants["things"] == ["crate"] and result.constants["least_points"] == 10


def test_answers_are_of_every_raw_point_and_give_the_figures_again(by_heart: tuple[Result, Path]) -> None:
    result, out = by_heart
    yard = CrateYard(2)
    sums = PanopticSums.empty(3)
    with np.load(out / "predictions.npz") as file:
        assert file["predicted"].dtype == file["instance"].dtype == np.int16
        assert file["offsets"].tolist() == [0, 780, 1560]
        for index in range(2):
            rows, fields = slice(780 * index, 780 * (index + 1)), yard[index].point_fields
            given = file["predicted"][rows], file["instance"][rows]
            assert not given[1][given[0] != 2].any()  # no object of stuff
            truth = fields["label"].numpy(), fields["instance"].numpy()
            sums += panoptic_sums(*given, *truth, classes=3, least_points=10)
    scores = panoptic_scores(sums, [2])
    assert {name: result.metrics[name] for name in scores} == pytest.approx(scores)
    rows = [row for row in result.records if "class" in row]
    assert [row["class"] for row in rows] == CLASSES
    assert [row["kind"] for row in rows] == ["stuff", "stuff", "thing"]
    assert rows[2]["matched"] + rows[2]["missed"] == 6
    with pytest.raises(ValueError, match="found a trained network in"):
        run(tiny(), yard, yard, out=out)


def test_results_are_kept_as_json(by_heart: tuple[Result, Path], tmp_path: Path) -> None:
    by_heart[0].save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == by_heart[0]


def test_the_same_seed_gives_the_same_result() -> None:
    first = run(tiny(), CrateYard(3), CrateYard(2, 1))
    torch.manual_seed(7)  # not what decides
    assert run(tiny(), CrateYard(3), CrateYard(2, 1), resources=replace(CPU, evaluation_batch=1)) == first
    assert run(tiny(), CrateYard(3), CrateYard(2, 1), seed=1).records != first.records
    other = run(tiny(5), CrateYard(3), CrateYard(2, 1)).records
    scratch = run(tiny(5), CrateYard(3), CrateYard(2, 1), mode="scratch").records
    assert scratch == first.records != other  # the random weights of the seed 0 are those of the first encoder


def test_an_interrupted_training_goes_on_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the middle of the last epoch."""
    given: dict[str, Any] = {
        "recipe": replace(RECIPE, epochs=3, milestones=(1, 2), batch_size=1),
        "validation": CrateYard(1, 2),
    }
    whole = run(tiny(), CrateYard(2), CrateYard(1, 1), **given, out=tmp_path / "whole")
    assert whole.constants["chosen_by"] == "validation_pq"
    assert whole.metrics["validation_pq"] == max(row["validation_pq"] for row in epochs(whole))
    kept = PanopticTraining.training_step

    def killed(self: PanopticTraining, batch: Any, batch_idx: int) -> torch.Tensor:
        if (self.current_epoch, batch_idx) == (2, 1):
            raise InterruptedError
        return kept(self, batch, batch_idx)

    with monkeypatch.context() as patched, pytest.raises(InterruptedError):
        patched.setattr(PanopticTraining, "training_step", killed)
        run(tiny(), CrateYard(2), CrateYard(1, 1), **given, out=tmp_path / "cut")
    assert (tmp_path / "cut" / CHECKPOINT).is_file()
    for change in (
        {"least_points": 3},
        {"seed": 1},
        {"branch": replace(BRANCH, drop=0.2)},
        {"grouping": GroupingConfig(most=3)},
    ):
        with pytest.raises(ValueError, match="of another network, data, recipe or seed"):
            run(tiny(), CrateYard(2), CrateYard(1, 1), **given | change, out=tmp_path / "cut")
    assert run(tiny(), CrateYard(2), CrateYard(1, 1), **given, out=tmp_path / "cut") == whole
    first, second = (load_file(tmp_path / name / "network.safetensors") for name in ("whole", "cut"))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert not (tmp_path / "cut" / CHECKPOINT).exists()


def test_a_frozen_encoder_is_held_still(tmp_path: Path) -> None:
    encoder = tiny().train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    for mode, still in (("frozen", True), ("finetuned", False)):
        run(encoder, CrateYard(2), CrateYard(1), mode=mode, out=tmp_path / mode)
        kept = load_file(tmp_path / mode / "network.safetensors")
        assert all(torch.equal(kept[f"encoder.{name}"], tensor) for name, tensor in before.items()) == still
        assert all(torch.equal(encoder.state_dict()[name], tensor) for name, tensor in before.items())
    assert encoder.training and all(weight.requires_grad for weight in encoder.parameters())


def test_cells_have_the_largest_feature_of_their_voxels() -> None:
    generator = torch.Generator().manual_seed(0)
    grid, features = PolarGrid(8.0, (3, 4)), torch.randn(40, 5, generator=generator)
    frame = torch.randint(2, (40,), generator=generator)
    cells = torch.stack([torch.randint(high, (40,), generator=generator) for high in (3, 4)], dim=1)
    cells[cells[:, 0] + cells[:, 1] == 5] = 0  # one cell stays empty
    found = pool_cells(features, frame, cells, 2, grid)
    for b, r, c in torch.ones(2, 3, 4).nonzero().tolist():
        mine = (frame == b) & (cells == torch.tensor([r, c])).all(dim=1)
        expected = features[mine].amax(dim=0) if mine.any() else torch.zeros(5)
        assert torch.equal(found[b, :5, r, c], expected) and found[b, 5, r, c] == pytest.approx((r + 0.5) / 3)
    assert not found[:, :5, 2, 3].any()


def test_frames_are_answered_as_they_are_alone() -> None:
    torch.manual_seed(0)
    network = PanopticSegmenter(tiny(), 3, BRANCH).eval()
    with torch.no_grad():
        network.branch.get_parameter("center_head.bias").fill_(0.3)  # some peaks
    frames = InstanceFrames(CrateYard(3), VOXELS)
    device = torch.device("cpu")
    together, alone = (
        measure_panoptic(network, frames, THINGS, GROUPING, 10, replace(CPU, evaluation_batch=size), device, keep=True)
        for size in (3, 1)
    )
    for one, other in zip(together[1], alone[1], strict=True):
        assert np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1])
    parts = [
        panoptic_sums(*answer, *(frames.cloud(i).point_fields[n].numpy() for n in ("label", "instance")), classes=3,
                      least_points=10)
        for i, answer in enumerate(alone[1])
    ]  # fmt: skip
    for mine, expected in zip(together[0].parts, reduce(add, parts).parts, strict=True):
        np.testing.assert_allclose(mine, expected)
    assert measure_panoptic(network, frames, THINGS, GROUPING, 10, CPU, device)[1] == []


def test_rates_fall_after_the_milestones() -> None:
    result = run(tiny(), CrateYard(2), CrateYard(1), recipe=replace(RECIPE, epochs=4, milestones=(1, 3), decay=0.1))
    rates = [row["learning_rate"] for row in epochs(result)]
    assert rates == pytest.approx([0.004, 0.0004, 0.0004, 0.00004])


def test_masking_as_published_trains_another_network() -> None:
    first, other = (
        run(tiny(), CrateYard(2), CrateYard(1), recipe=replace(RECIPE, masking=masking)).records for masking in MASKINGS
    )
    assert first[0]["train_loss"] > other[0]["train_loss"]


def test_settings_are_checked() -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"milestones": (3, 2)}, r"found milestones \[3, 2\], expected epochs from 1 on"),
        ({"learning_rate": 0.0}, "found learning_rate 0.0 and weight_decay 0.0, expected a positive rate"),
        ({"masking": "none"}, "found the masking 'none', expected one of: intended, published"),
        ({"epochs": 0}, "epochs"),
    ]
    for settings, told in wrong:
        with pytest.raises(ValueError, match=told):
            PanopticConfig(**settings)
    with pytest.raises(ValueError, match=r"found cells \[4, 24\] for 4 widths, expected 8 or more each way"):
        BranchConfig(PolarGrid(cells=(4, 24)), (4, 4, 4, 4))
    with pytest.raises(ValueError, match="found the mode 'linear', expected one of: finetuned, scratch, frozen"):
        run(tiny(), CrateYard(2), CrateYard(1), mode="linear")
    with pytest.raises(ValueError, match="found the class 'lorry' among things"):
        run(tiny(), CrateYard(2), CrateYard(1), things=["lorry"])
    assert module.RECIPE.epochs == 100 and module.RECIPE.milestones == (10, 20, 30)
