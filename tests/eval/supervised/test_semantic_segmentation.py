from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from crosspoint.eval.results import Result
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.labeled_frames import EncodedFrames, LabeledFrames, label_step
from crosspoint.eval.supervised.segmenter import (
    SegmentationConfig,
    SegmentationTraining,
    Segmenter,
    measure_segmenter,
)
from crosspoint.eval.supervised.semantic_segmentation import build_segmenter, semantic_segmentation
from crosspoint.scene.data.batch import voxelize_sample
from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.ops.kernel_maps import Grid
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelConfig, voxelize
from crosspoint.scene.segmentation_scores import class_ious, segmentation_scores
from tests.eval.supervised.yard import CLASSES, VOXELS, Yard, tiny
from tests.scene.frames import labels_of, returns, with_field

CPU = Resources(accelerator="cpu", evaluation_batch=2)
RECIPE = SegmentationConfig(epochs=3, batch_size=3, learning_rate=0.02, head_learning_rate=0.2)


class Broken(Yard):
    """Frames whose labels something happened to."""

    def __init__(self, change):
        super().__init__(2)
        self.change = change

    def __getitem__(self, index):
        frame = super().__getitem__(index)
        return with_field(frame, "label", self.change(labels_of(frame)))


def run(encoder, train, test, **changes):
    return semantic_segmentation(
        encoder, train, test, **{"voxels": VOXELS, "recipe": RECIPE, "resources": CPU} | changes
    )


def epochs(result):
    return [row for row in result.records if "epoch" in row]


@pytest.fixture(scope="module")
def by_heart(tmp_path_factory):
    """Three frames by heart: all weights, then a linear layer on random features and on those of the first network."""
    out = tmp_path_factory.mktemp("by_heart")
    settings = {"recipe": replace(RECIPE, epochs=40, batch_size=1, norm_momentum=0.2, augment=False)}
    finetuned = run(tiny(), Yard(3), Yard(3), **settings, out=out)
    taught = Segmenter(tiny(), nn.Linear(12, 4))
    taught.load_state_dict(load_file(out / "network.safetensors"))
    random, linear = (run(x, Yard(3), Yard(3), mode="linear", **settings) for x in (tiny(), taught.encoder))
    return {"finetuned": finetuned, "random": random, "linear": linear}


def test_a_network_learns_frames_by_heart_and_a_linear_layer_sees_what_it_stands_on(by_heart):
    figures = {name: result.metrics["miou"] for name, result in by_heart.items()}
    assert figures["finetuned"] > 90 and by_heart["finetuned"].metrics["point_accuracy"] > 97
    assert figures["linear"] > 90 and 20 < figures["random"] < 80
    losses = [row["train_loss"] for row in epochs(by_heart["finetuned"])]
    assert losses[-1] < 0.3 * losses[0]


def test_records_are_epochs_and_then_classes(by_heart, tmp_path):
    result = by_heart["finetuned"]
    rows = result.records[40:]
    assert len(epochs(result)) == 40 and [row["class"] for row in rows] == CLASSES
    confusion = np.array([row["points_given"] for row in rows])
    labels = np.concatenate([labels_of(Yard(3)[index]) for index in range(3)])
    assert np.array_equal(confusion.sum(axis=1), np.bincount(labels[labels != IGNORED], minlength=4))
    scores = segmentation_scores(confusion)
    assert {name: result.metrics[name] for name in scores} == scores
    ious = [row["iou"] for row in rows]
    assert ious[3] is None and np.allclose(ious[:3], 100 * class_ious(confusion)[:3])
    assert result.metrics["miou_last_epoch"] == result.metrics["miou"]
    assert result.metrics["miou_absent_as_100"] == pytest.approx((3 * result.metrics["miou"] + 100) / 4)
    assert result.constants["chosen_by"] == "last epoch" and result.constants["classes"] == 4
    result.save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == result


def test_validation_chooses_the_epoch_and_the_last_one_stands_beside_it(tmp_path):
    recipe = replace(RECIPE, epochs=8, batch_size=1, norm_momentum=0.5, learning_rate=0.2)  # restless
    train, test, validation = Yard(2), Yard(2, 1), Yard(2, 2, name="kept back")
    result = run(tiny(), train, test, recipe=recipe, validation=validation, out=tmp_path)
    figures = [row["validation_miou"] for row in epochs(result)]
    best = int(np.argmax(figures))
    assert result.constants["epoch"] == best + 1 < 8 and result.constants["chosen_by"] == "validation_miou"
    assert result.metrics["validation_miou"] == max(figures)
    assert result.metrics["miou"] != result.metrics["miou_last_epoch"]
    last = run(tiny(), train, test, recipe=recipe)
    assert last.metrics["miou"] == last.metrics["miou_last_epoch"] == result.metrics["miou_last_epoch"]
    assert (result.constants["validation"], result.constants["validation_data"]) == (2, "kept back")
    again = Segmenter(tiny(5), nn.Linear(12, 4))
    again.load_state_dict(load_file(tmp_path / "network.safetensors"))
    for frames, figure in ((validation, "validation_miou"), (test, "miou")):
        confusion, _ = measure_segmenter(again, LabeledFrames(frames, VOXELS), CPU, torch.device("cpu"))
        assert segmentation_scores(confusion)["miou"] == pytest.approx(result.metrics[figure])


def test_predictions_are_of_every_raw_point(tmp_path):
    test = Yard(3, 1)
    result = run(tiny(), Yard(2), test, out=tmp_path)
    network = Segmenter(tiny(5), nn.Linear(12, 4)).eval()
    network.load_state_dict(load_file(tmp_path / "network.safetensors"))
    right = counted = 0
    with np.load(tmp_path / "predictions.npz") as file:
        assert file["predicted"].dtype == np.int16 and file["offsets"].tolist() == [0, 810, 1620, 2430]
        for index in range(3):
            frame = test[index]
            voxels = voxelize(torch.from_numpy(returns(frame)), VOXELS)
            grid = Grid(nn.functional.pad(voxels.coordinates, (1, 0)))
            with torch.no_grad():
                logits = network.head(network.encoder(SparseTensor(voxels.features, grid)))
            answers = logits.argmax(dim=1).numpy()
            expected = np.array([answers[voxel] for voxel in voxels.inverse])  # a point's answer is its voxel's
            assert np.array_equal(file["predicted"][810 * index :][:810], expected)
            mine = labels_of(frame) != IGNORED
            right, counted = right + (expected == labels_of(frame))[mine].sum(), counted + mine.sum()
    assert len(answers) < 810  # several points to a voxel
    assert result.metrics["point_accuracy"] == pytest.approx(100 * right / counted)
    with pytest.raises(ValueError, match="found a trained network in"):
        run(tiny(), Yard(2), test, out=tmp_path)


def test_the_same_seed_gives_the_same_result():
    first = run(tiny(), Yard(3), Yard(2, 1))
    torch.manual_seed(7)  # not what decides
    other = Resources(accelerator="cpu", evaluation_batch=1, workers=1)
    assert run(tiny(), Yard(3), Yard(2, 1), resources=other) == first
    assert run(tiny(), Yard(3), Yard(2, 1), seed=1).records != first.records


def test_a_linear_probe_holds_the_encoder_still_with_its_norms(tmp_path):
    encoder = tiny().train()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    run(encoder, Yard(3), Yard(1), mode="linear", out=tmp_path)
    kept = load_file(tmp_path / "network.safetensors")
    assert encoder.training and all(weight.requires_grad for weight in encoder.parameters())
    for name, tensor in before.items():
        assert torch.equal(kept[f"encoder.{name}"], tensor) and torch.equal(encoder.state_dict()[name], tensor)
    assert not torch.equal(kept["head.weight"], build(tiny(), "linear").head.weight)
    finetuned = tmp_path / "finetuned"
    run(encoder, Yard(3), Yard(1), out=finetuned)
    moved = load_file(finetuned / "network.safetensors")
    assert not any(torch.equal(moved[f"encoder.{name}"], tensor) for name, tensor in before.items())
    assert all(torch.equal(encoder.state_dict()[name], tensor) for name, tensor in before.items())


def build(encoder, mode, recipe=RECIPE, seed=0):
    torch.manual_seed(seed)
    return build_segmenter(encoder, 4, mode, recipe.of(mode))


def test_features_kept_in_memory_give_the_probe_that_computes_them_at_every_step():
    recipe = replace(RECIPE.of("linear"), augment=False)
    direct = build(tiny(), "linear")
    kept = Segmenter(None, build(tiny(), "linear").head)
    frames = LabeledFrames(Yard(3), VOXELS)
    features = EncodedFrames(direct.encoder, frames, torch.device("cpu"), keep=10**9)
    assert len(features.kept) == 3
    for network, examples in ((direct.train(), frames), (kept.train(), features)):
        training = SegmentationTraining(network, examples, recipe, CPU, 0)
        training.log = lambda *args, **kwargs: None
        (optimizer,), _ = training.configure_optimizers()
        assert sum(len(group["params"]) for group in optimizer.param_groups) == 2
        for step in range(3):
            optimizer.zero_grad()
            training.training_step(examples.collate([examples[index, 0] for index in range(3)]), step).backward()
            optimizer.step()
    assert torch.allclose(direct.head.weight, kept.head.weight, atol=1e-6)
    assert not direct.encoder.training


def test_as_many_frames_are_kept_as_fit_and_the_result_is_the_same():
    frames, device = LabeledFrames(Yard(3), VOXELS), torch.device("cpu")
    encoder = tiny()
    whole = EncodedFrames(encoder, frames, device, keep=10**9)
    size = sum(part.element_size() * part.nelement() for part in whole.kept[0][1])
    size += sum(
        part.element_size() * part.nelement() for part in (frames.cloud(0).points, whole[0, 0][0].point_fields["label"])
    )
    for keep, kept in ((0, 0), (size - 1, 0), (size, 1)):
        part = EncodedFrames(encoder, frames, device, keep=keep)
        assert (len(part.kept), len(part)) == (kept, 3)
        for index in range(3):
            for one, other in zip(part[index, 0][1], whole[index, 0][1], strict=True):
                assert torch.equal(one, other)
    results = []
    for room in (8.0, 2 * size / 1e9, 0.0):
        resources = replace(CPU, kept_features=room)
        recipe = replace(RECIPE, augment=False)
        options = {"mode": "linear", "recipe": recipe, "resources": resources, "validation": Yard(2, 1)}
        results.append(run(tiny(), Yard(3), Yard(1), **options))
    assert results[0] == results[1] == results[2]


def test_standardized_features_have_no_scale():
    """Features a hundred times as large make another probe, but for a standardized one."""
    losses = {}
    for scale in (10, 1000):
        encoder = tiny()
        with torch.no_grad():
            for norm in (encoder.decoder[-1][-1].norm2.norm, encoder.decoder[-1][-1].shortcut[1].norm):
                norm.weight *= scale
                norm.bias *= scale
        for standardize in (False, True):
            recipe = replace(RECIPE, epochs=10, augment=False, standardize=standardize)
            records = epochs(run(encoder, Yard(3), Yard(1), mode="linear", recipe=recipe))
            losses.setdefault(standardize, []).append([row["train_loss"] for row in records])
    assert np.allclose(*losses[True], rtol=1e-2) and losses[True][0][-1] < losses[True][0][0] - 0.1
    assert not np.allclose(*losses[False], rtol=0.1)


def test_steps_are_those_of_sgd_with_two_rates():
    """Two steps by hand: PyTorch's first one takes the gradient whole, later ones are dampened."""
    recipe = replace(RECIPE, learning_rate=0.02, head_learning_rate=2.0, weight_decay=1e-2).of("finetuned")
    network = build(tiny(), "finetuned", recipe)
    (optimizer,), (schedule,) = SegmentationTraining(
        network, LabeledFrames(Yard(1), VOXELS), recipe, CPU, 0
    ).configure_optimizers()
    for weight, rate in ((network.encoder.stem[0].kernel, 0.02), (network.head.bias, 2.0)):
        expected, velocity = weight.detach().clone(), None
        for _ in range(2):
            optimizer.zero_grad()
            gradient = torch.ones_like(weight)
            weight.grad = gradient.clone()
            optimizer.step()
            slope = gradient + 1e-2 * expected
            velocity = slope if velocity is None else 0.9 * velocity + 0.9 * slope
            expected = expected - rate * velocity
            assert torch.allclose(weight, expected, atol=1e-6)
    rates = []
    for _ in range(4):
        rates.append([group["lr"] for group in optimizer.param_groups])
        schedule.step()
    cosine = 0.5 * (1 + np.cos(np.pi * np.arange(4) / 3))
    assert np.allclose(rates, np.outer(cosine, [0.02, 2.0]))


def test_rates_and_epochs_of_the_modes_are_those_of_the_code():
    recipe = SegmentationConfig()
    linear, finetuned = recipe.of("linear"), recipe.of("finetuned")
    assert (linear.epochs, linear.head_learning_rate) == (50, 0.05)
    assert (finetuned.epochs, finetuned.learning_rate, finetuned.head_learning_rate) == (100, 0.02, 2.0)
    assert recipe.of("scratch") == finetuned and replace(recipe, epochs=7).of("linear").epochs == 7
    network = build(tiny(), "finetuned", recipe)
    assert network.encoder.stem[1].norm.momentum == 0.02 and tiny().stem[1].norm.momentum == 0.05
    assert build(tiny(), "finetuned", replace(recipe, norm_momentum=None)).encoder.stem[1].norm.momentum == 0.05


def test_from_scratch_forgets_the_weights_and_fine_tuning_does_not():
    short = {"recipe": replace(RECIPE, epochs=1)}
    scratch = [epochs(run(tiny(seed), Yard(2), Yard(1), mode="scratch", **short)) for seed in (0, 1)]
    finetuned = [epochs(run(tiny(seed), Yard(2), Yard(1), **short)) for seed in (0, 1)]
    assert scratch[0] == scratch[1] and finetuned[0] != finetuned[1]
    heads = [build(tiny(), mode).head.weight for mode in ("linear", "finetuned", "scratch")]
    assert torch.equal(heads[0], heads[1]) and torch.equal(heads[0], heads[2])


def test_a_voxel_has_the_label_of_its_representative_point():
    sample = LabeledFrames(Yard(1), VOXELS)[0, 0]
    frame = Yard(1)[0]
    cells = np.floor(returns(frame)[:, :3].astype(np.float64) / 0.25).astype(int)
    first = {}
    for place, cell in enumerate(map(tuple, cells)):
        first.setdefault(cell, place)
    voxels = voxelize_sample(sample, VOXELS)
    expected = [labels_of(frame)[first[tuple(cell)]] for cell in voxels.coordinates.tolist()]
    assert sample.point_fields["label"][voxels.representative].tolist() == expected


def test_augmentation_turns_and_mirrors_by_the_items_seed():
    plain, moved = (LabeledFrames(Yard(2), VOXELS, augment=flag) for flag in (False, True))
    samples = plain[1, 5], moved[1, 5], moved[1, 5], moved[1, 6]
    before, once, again, other = (sample.points_with("intensity") for sample in samples)
    assert torch.equal(once, again) and not torch.allclose(once, other)
    assert torch.equal(once[:, 2:], before[:, 2:])  # height and intensity
    assert torch.allclose(once[:, :2].norm(dim=1), before[:, :2].norm(dim=1), atol=1e-5)
    assert not torch.allclose(once[:, :2], before[:, :2])
    assert torch.equal(moved[1, 5].point_fields["label"], plain[1, 0].point_fields["label"])


def test_a_fraction_takes_every_nth_frame():
    assert [label_step(f) for f in (1, 0.5, 0.33, 0.25, 0.1, 0.05, 0.01)] == [1, 2, 3, 4, 10, 20, 100]
    frames = LabeledFrames(Yard(7), VOXELS, every=3)
    assert list(frames.indices) == [0, 3, 6]
    assert torch.equal(frames[1, 0].points, Yard(7)[3].points)
    for fraction in (0.0, 0.3, 0.7, 1.5):
        with pytest.raises(ValueError, match=f"found a label fraction of {fraction}, expected one over a whole number"):
            label_step(fraction)
    assert run(tiny(), Yard(4), Yard(1), fraction=0.5).constants["train"] == 2


@pytest.mark.parametrize("mode", ["finetuned", "linear"])
@pytest.mark.parametrize("epochs_done", [2, 3])
def test_an_interrupted_training_goes_on_exactly(mode, epochs_done, tmp_path, monkeypatch):
    """Killed in the middle of an epoch, and after the last one, before what it was for was written."""
    settings = {"mode": mode, "validation": Yard(1, 2), "recipe": replace(RECIPE, augment=mode == "finetuned")}
    whole = run(tiny(), Yard(3), Yard(1, 1), **settings)
    kept = SegmentationTraining.training_step

    def killed(self, batch, batch_idx):
        if self.current_epoch == epochs_done:
            raise InterruptedError
        return kept(self, batch, batch_idx)

    def unwritten(*args, **kwargs):
        raise InterruptedError

    with monkeypatch.context() as patched, pytest.raises(InterruptedError):
        patched.setattr(SegmentationTraining, "training_step", killed)
        patched.setattr("crosspoint.eval.supervised.semantic_segmentation.save_network", unwritten)
        run(tiny(), Yard(3), Yard(1, 1), out=tmp_path, **settings)
    assert (tmp_path / "training.ckpt").is_file()
    for change in (
        {"seed": 1},
        {"recipe": replace(RECIPE, weight_decay=0.0)},
        {"voxels": VoxelConfig("cartesian", 0.3)},
    ):
        with pytest.raises(ValueError, match="of another network, data, recipe or seed"):
            run(tiny(), Yard(3), Yard(1, 1), out=tmp_path, **settings | change)
    with pytest.raises(ValueError, match="of another network, data, recipe or seed"):
        run(tiny(), Yard(3, 9), Yard(1, 1), out=tmp_path, **settings)
    assert run(tiny(), Yard(3), Yard(1, 1), out=tmp_path, **settings) == whole
    assert not (tmp_path / "training.ckpt").exists()


def test_what_does_not_fit_is_named():
    good, unlabeled = Yard(2), Broken(lambda labels: None)
    cases = {
        "found the mode 'frozen', expected one of: linear, mlp, finetuned, scratch": (good, good, {"mode": "frozen"}),
        "found 4 classes in yard and 3 in other, expected": (good, Yard(1, 0, CLASSES[:3], "other"), {}),
        r"found classes \['ground'\] in yard": (Yard(1, 0, CLASSES[:1]), good, {}),
        "found no frame in yard, expected at least one": (Yard(0), good, {}),
        "found no labels in yard 0, expected one for each point": (good, unlabeled, {}),
        "found labels 4…4 in yard 0, expected -1": (Broken(lambda labels: np.full(810, 4)), good, {}),
        r"found the point field label of shape \(809,\) in yard 0, expected one row for each of 810": (
            Broken(lambda labels: labels[1:]),
            good,
            {},
        ),
        "for 1 features of a voxel, expected 4": (good, good, {"voxels": VoxelConfig(features="xyz_intensity")}),
        "found voxels with the extent": (
            good,
            good,
            {"voxels": VoxelConfig("cartesian", 0.5, extent=(0, 0, 0, 1, 1, 1))},
        ),
        "found no labeled point": (good, Broken(lambda labels: np.full(810, IGNORED)), {}),
        "found a loss of nan in epoch [12]": (good, good, {"recipe": replace(RECIPE, learning_rate=1e30)}),
    }
    for message, (train, test, changes) in cases.items():
        with pytest.raises(ValueError, match=message) as error:
            run(tiny(), train, test, **changes)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="found an encoder of type Linear, expected one of voxels"):
        run(nn.Linear(1, 1), good, good)
