from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from crosspoint.scene.data.batch import LidarBatch, stack_samples
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.methods import CMCR, CmcrWeights
from crosspoint.scene.models.codebook import Codebook
from crosspoint.scene.models.masked_images import MaskConfig, draw_masks
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.occupancy import OccupancyConfig
from crosspoint.scene.models.pixel_encoder import PixelEncoder
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelConfig
from tests.scene.methods.test_ppkt import SIZE, TINY, VOXELS, made_frame

NOTHING = dict.fromkeys(asdict(CmcrWeights()), 0.0)
FEW = OccupancyConfig(behind=12, before=10, between=6, radius=1.0, neighbors=3, width=8)
MASKS = MaskConfig(probability=0.7, share=0.4, patch=8)
NAMES = tuple(asdict(CmcrWeights()))


def made_batch(voxels: VoxelConfig = VOXELS) -> LidarBatch:
    return stack_samples([made_frame(seed) for seed in (1, 2)], voxels)


def made_method(**options: Any) -> CMCR:
    torch.manual_seed(0)
    encoder = MinkUNet(**TINY)
    teacher = PixelEncoder(network="resnet18", dilated=options.pop("dilated", False), projection=16)
    settings: dict[str, Any] = {
        "voxels": VOXELS,
        "augmentation": SceneAugmentation(size=SIZE, cuboid=0.0),
        "pairs": 40,
        "code_pairs": 30,
        "codes": 12,
        "masks": MASKS,
        "reconstruction_stride": 4,
        "occupancy": FEW,
    }
    return CMCR(encoder, teacher, **{**settings, **options})


def slow_parts(method: CMCR, batch: LidarBatch, seed: int) -> dict[str, Tensor]:
    """The formulas on whole images, pair after pair and cell after cell, with the same draws."""
    generator = torch.Generator().manual_seed(seed)
    masks = draw_masks(batch.images, method.masks, generator)
    images = batch.images.clone()
    images[masks[:, None].expand_as(images)] = 0
    encoded = method.encoder(SparseTensor.of(batch.voxelized))
    f, g = F.normalize(method.head(encoded), dim=1), method.specific_head(encoded)
    v = method.image_encoder(images)
    book = method.codebook.codes.clone()

    def quantized(row: Tensor) -> Tensor:
        code = book[int((book - row).square().sum(dim=1).argmin())]
        return row + (code - row).detach()

    kept = []
    pairs = list(zip(batch.pair_point.tolist(), batch.pair_image.tolist(), batch.pair_pixel.tolist(), strict=True))
    for number, (_, image, (x, y)) in enumerate(pairs):
        if not masks[image, int(y), int(x)]:
            kept.append(number)

    def drawn(count: int) -> tuple[Tensor, Tensor]:
        chosen = [pairs[kept[i]] for i in torch.randperm(len(kept), generator=generator)[:count].tolist()]
        points = [f[batch.voxelized.inverse[p]] for p, _, _ in chosen]
        return torch.stack(points), torch.stack([v[i, :, int(y), int(x)] for _, i, (x, y) in chosen])

    k, q = drawn(method.pairs)
    parts = {"contrast": F.cross_entropy(k @ q.T / method.temperature, torch.arange(len(k)))}
    k, q = drawn(method.code_pairs)
    ck, cq = (torch.stack([quantized(row).detach() for row in rows]) for rows in (k, q))
    parts["commitment"] = 2 * F.mse_loss(k, ck) + F.mse_loss(k, cq) + 2 * F.mse_loss(q, cq) + F.mse_loss(q, ck)
    a, b = (torch.softmax(-torch.stack([(book - row).norm(dim=1) for row in rows]), dim=1) for rows in (k, q))
    parts["matching"] = F.cross_entropy(a @ b.log().T + b @ a.log().T, torch.arange(len(a)))
    parts["reconstruction"] = slow_reconstruction(method, batch, images, masks, [quantized(row) for row in f])
    assert method.occupancy is not None
    around = method.occupancy(g + torch.stack([quantized(row) for row in f]), batch, generator)
    parts |= {"occupancy": around.occupancy, "intensity": around.intensity}
    parts["orthogonality"] = (f.T @ F.normalize(g, dim=1)).norm() / 16**2
    return parts


def slow_reconstruction(method: CMCR, batch: LidarBatch, images: Tensor, masks: Tensor, points: list[Tensor]) -> Tensor:
    step, (count, _, height, width) = method.reconstruction_stride, images.shape
    size = (height // step, width // step)
    trunk = method.image_encoder.features(images)
    maps = [method.image_encoder.decoder(trunk), method.specific_decoder(trunk)]
    shared, own = (F.interpolate(m, size=size, mode="bilinear", align_corners=True) for m in maps)
    shared, book, rows = F.normalize(shared, dim=1), method.codebook.codes.clone(), []
    seen: dict[tuple[int, int, int], list[Tensor]] = {}
    for point, image, (x, y) in zip(
        batch.pair_point.tolist(), batch.pair_image.tolist(), batch.pair_pixel.tolist(), strict=True
    ):
        cell = (image, int(y) // step, int(x) // step)
        seen.setdefault(cell, []).append(points[int(batch.voxelized.inverse[point])])
    for image in range(count):
        for y in range(size[0]):
            for x in range(size[1]):
                row = shared[image, :, y, x]
                row = row + (book[int((book - row).square().sum(dim=1).argmin())] - row).detach()
                if masks[image, y * step, x * step] and (image, y, x) in seen:
                    row = torch.stack(seen[image, y, x]).mean(dim=0)
                rows.append(row + own[image, :, y, x])
    features = torch.stack(rows).view(count, *size, -1).permute(0, 3, 1, 2)
    target = F.interpolate(batch.images.float() / 255, size=size, mode="area")
    return F.mse_loss(torch.sigmoid(method.reconstruction.layers(features)), target)


def test_parts_and_gradients_are_those_of_loops_over_pairs_and_cells() -> None:
    method, batch = made_method().eval(), made_batch()  # in eval mode BatchNorms and codebook stay as they are
    expected, found = slow_parts(method, batch, 3), method.training_step(batch, torch.Generator().manual_seed(3))
    assert {*found} == {"loss", *NAMES}
    for name, part in expected.items():
        torch.testing.assert_close(found[name], part, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    whole = sum(weight * expected[name] for name, weight in asdict(method.weights).items())
    torch.testing.assert_close(found["loss"], whole)
    weights = [weight for weight in method.parameters() if weight.requires_grad]
    for ours, theirs in zip(*(torch.autograd.grad(loss, weights) for loss in (found["loss"], whole)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=1e-4)


def test_published_settings_are_the_defaults() -> None:
    method = CMCR(MinkUNet(**{**TINY, "in_channels": 1}), PixelEncoder(network="resnet18"))
    assert asdict(method.weights) == {
        "contrast": 1, "reconstruction": 1, "occupancy": 1, "intensity": 1, "orthogonality": 0.1, "commitment": 0.25,
        "matching": 1,
    }  # fmt: skip
    assert (method.pairs, method.code_pairs, method.temperature, method.reconstruction_stride) == (2048, 2048, 0.07, 1)
    assert method.codebook is not None and method.codebook.codes.shape == (400, 64)
    assert (method.codebook.decay, method.codebook.smoothing) == (0.999, 1e-5)
    assert (method.masks.probability, method.masks.share, method.masks.patch) == (0.5, 0.5, 16)
    assert (method.voxels.kind, method.voxels.size, method.voxels.intensity_scale) == ("cartesian", 0.1, 1.0)
    assert method.augmentation.cuboid == 0 and method.augmentation.size == (224, 416)
    assert method.recipe["epochs"] == 10 and method.recipe["batch_size"] == 12
    assert method.needs == frozenset()  # no superpixels


def test_pairs_that_count_are_exactly_those_on_pixels_that_are_seen() -> None:
    """The public code takes 1 − mask, integers, for an index: all pairs become copies of the first two."""
    method, batch = made_method(), made_batch()
    masks = draw_masks(batch.images, MASKS, torch.Generator().manual_seed(0))
    kept = method.kept_pairs(batch, masks)
    places = zip(batch.pair_image.tolist(), batch.pair_pixel.tolist(), strict=True)
    seen = [number for number, (i, (x, y)) in enumerate(places) if not masks[i, int(y), int(x)]]
    assert kept.tolist() == seen and len({*seen}) == len(seen)
    assert 0.3 * len(batch.pair_point) < len(seen) < len(batch.pair_point)
    assert torch.equal(method.kept_pairs(batch, None), torch.arange(len(batch.pair_point)))


@pytest.mark.parametrize("name", NAMES)
def test_a_part_alone_builds_and_trains_what_it_needs(name: str) -> None:
    """Weights without a gradient would stop several processes."""
    method, batch = made_method(weights=CmcrWeights(**{**NOTHING, name: 0.5})), made_batch()
    found = method.training_step(batch, torch.Generator().manual_seed(0))
    assert {*found} - {"perplexity"} == {"loss", name}
    torch.testing.assert_close(found["loss"], 0.5 * found[name])
    found["loss"].backward()
    trained = {key: weight for key, weight in method.named_parameters() if weight.requires_grad}
    assert all(weight.grad is not None for weight in trained.values())
    assert any(weight.grad.any() for key, weight in trained.items() if key.startswith("encoder."))
    assert ("perplexity" in found) == (method.codebook is not None) == (name not in ("contrast", "orthogonality"))
    assert (method.reconstruction is None) == (name != "reconstruction")
    assert (method.occupancy is None) == (name not in ("occupancy", "intensity"))


@pytest.mark.parametrize("left_out", NAMES)
def test_a_part_left_out_leaves_nothing_idle(left_out: str) -> None:
    weights = CmcrWeights(**{**asdict(CmcrWeights()), left_out: 0.0})
    method = made_method(weights=weights, orthogonal_pixels=True)
    found = method.training_step(made_batch(), torch.Generator().manual_seed(0))
    assert left_out not in found
    found["loss"].backward()
    assert all(weight.grad is not None for weight in method.parameters() if weight.requires_grad)


def test_without_a_codebook_features_pass_as_they_are() -> None:
    weights = CmcrWeights(**{**asdict(CmcrWeights()), "commitment": 0.0, "matching": 0.0})
    method = made_method(codes=0, weights=weights)
    found = method.training_step(made_batch(), torch.Generator().manual_seed(0))
    assert method.codebook is None and {*found} == {"loss", *NAMES} - {"commitment", "matching"}
    with pytest.raises(ValueError, match="found codes 0 with weights of commitment or matching above 0"):
        made_method(codes=0)


def test_occupancy_alone_runs_no_image_network() -> None:
    method = made_method(codes=0, weights=CmcrWeights(**{**NOTHING, "occupancy": 1.0}))
    method.image_encoder.trunk = None  # type: ignore[assignment]
    assert method.training_step(made_batch(), torch.Generator().manual_seed(0))["loss"].item() > 0


def test_masks_belong_to_the_reconstruction() -> None:
    batch = made_batch()
    contrast = CmcrWeights(**{**NOTHING, "contrast": 1.0})
    losses = [
        made_method(weights=contrast, pairs=4096, masks=MaskConfig(probability=p)).training_step(
            batch, torch.Generator().manual_seed(0)
        )["contrast"]
        for p in (0.0, 1.0)
    ]
    assert torch.equal(*losses)
    none = made_method(masks=MaskConfig(probability=0.0))
    found = none.training_step(batch, torch.Generator().manual_seed(0))
    found["loss"].backward()
    assert all(weight.grad is not None for weight in none.parameters() if weight.requires_grad)


def test_a_teacher_that_sees_clean_images_keeps_all_pairs() -> None:
    batch = made_batch()
    settings: dict[str, Any] = {"pairs": 4096, "code_pairs": 4096}
    clean, masked = (made_method(teacher_sees=sight, **settings).eval() for sight in ("clean", "masked"))
    unmasked = made_method(masks=MaskConfig(probability=0.0), **settings).eval()
    found, other, plain = (
        method.training_step(batch, torch.Generator().manual_seed(0)) for method in (clean, masked, unmasked)
    )
    for name in ("contrast", "commitment", "matching"):
        torch.testing.assert_close(found[name], plain[name])
        assert abs(found[name].item() - other[name].item()) > 1e-6
    torch.testing.assert_close(found["reconstruction"], other["reconstruction"])
    assert abs(found["reconstruction"].item() - plain["reconstruction"].item()) > 1e-8


def test_points_fill_in_what_is_masked() -> None:
    """With all images black, the reconstruction depends on the points, and tells their network something."""
    method, batch = made_method(masks=MaskConfig(probability=1.0, share=1.0, patch=8)), made_batch()
    found = method.training_step(batch, torch.Generator().manual_seed(0))
    assert found["contrast"].item() == found["commitment"].item() == found["matching"].item() == 0  # no pair is left
    found["reconstruction"].backward(retain_graph=True)
    grads = [weight.grad for weight in method.encoder.parameters()]
    assert sum(float(grad.abs().sum()) for grad in grads if grad is not None) > 0
    assert found["loss"].isfinite()


@pytest.mark.parametrize("voxels", [VOXELS, VoxelConfig(size=0.2, angle=3.0, features="xyz_intensity")])
@pytest.mark.parametrize("dilated", [False, True])
@pytest.mark.parametrize("stride", [1, 2, 8])
def test_voxels_teachers_and_strides_of_any_kind(voxels: VoxelConfig, dilated: bool, stride: int) -> None:
    """The public code knows one teacher, and crashes with dilated ones."""
    method = made_method(voxels=voxels, dilated=dilated, reconstruction_stride=stride, orthogonal_pixels=True)
    found = method.training_step(made_batch(voxels), torch.Generator().manual_seed(0))
    assert all(part.isfinite() for part in found.values())


def test_the_orthogonality_of_pixels_is_added() -> None:
    batch, weights = made_batch(), CmcrWeights(**{**NOTHING, "orthogonality": 1.0})
    both, points = (made_method(weights=weights, orthogonal_pixels=option).eval() for option in (True, False))
    found, alone = (m.training_step(batch, torch.Generator().manual_seed(0))["orthogonality"] for m in (both, points))
    trunk = both.image_encoder.features(batch.images)
    v, r = (
        m.permute(0, 2, 3, 1).flatten(0, 2) for m in (both.image_encoder.decoder(trunk), both.specific_decoder(trunk))
    )
    expected = (F.normalize(v, dim=1).T @ F.normalize(r, dim=1)).norm() / 16**2
    torch.testing.assert_close(found - alone, expected, rtol=1e-4, atol=1e-6)


def test_a_step_moves_the_codebook_in_training_alone_and_draws_from_the_generator_alone() -> None:
    method, batch = made_method(), made_batch()
    first, everywhere = method.codebook.codes.clone(), torch.get_rng_state()
    method.eval().training_step(batch, torch.Generator().manual_seed(0))
    assert torch.equal(method.codebook.codes, first)
    found = method.train().training_step(batch, torch.Generator().manual_seed(0))
    assert not torch.equal(method.codebook.codes, first)
    assert torch.equal(torch.get_rng_state(), everywhere)
    assert 1 <= found["perplexity"].item() <= 12
    losses = [made_method().training_step(batch, torch.Generator().manual_seed(seed))["loss"] for seed in (0, 0, 1)]
    assert torch.equal(losses[0], losses[1]) and not torch.equal(losses[0], losses[2])


def test_all_parts_of_a_step_see_the_same_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for moves in (True, False):
        if not moves:
            monkeypatch.setattr(Codebook, "update", lambda *_: torch.ones(()))
        method = made_method(decay=0.1)
        parts = method.training_step(made_batch(), torch.Generator().manual_seed(0))
        parts["loss"].backward()
        found.append([parts["loss"], *(weight.grad for weight in method.parameters() if weight.requires_grad)])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_training_lowers_the_parts_and_leaves_the_trunk_alone() -> None:
    method, batch = made_method(temperature=0.2), made_batch()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    optimizer = torch.optim.AdamW([weight for weight in method.parameters() if weight.requires_grad], lr=3e-3)
    history: list[dict[str, float]] = []
    for step in range(30):
        found = method.train().training_step(batch, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        found["loss"].backward()
        optimizer.step()
        history.append({name: part.item() for name, part in found.items()})
    for name in ("contrast", "reconstruction", "intensity", "orthogonality"):
        early, late = (sum(step[name] for step in part) for part in (history[:6], history[-6:]))
        assert late < 0.97 * early, name
    after = method.state_dict()
    kept = {name for name in before if torch.equal(before[name], after[name])}
    assert kept == {name for name in before if name.startswith("image_encoder.trunk.")}


def test_half_precision_leaves_the_losses_in_single() -> None:
    method, batch = made_method().eval(), made_batch()
    whole = method.training_step(batch, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        halved = method.training_step(batch, torch.Generator().manual_seed(0))
    for name, part in halved.items():
        assert part.dtype == torch.float32
        torch.testing.assert_close(part, whole[name], rtol=0.1, atol=0.02)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pairs": 0}, "found pairs 0"),
        ({"code_pairs": 0}, "found code_pairs 0"),
        ({"temperature": 0.0}, "found temperature 0.0"),
        ({"code_temperature": 0.0}, "found code_temperature 0.0"),
        ({"teacher_sees": "both"}, "found teacher_sees 'both', expected one of masked, clean"),
        ({"reconstruction_stride": 3}, "found reconstruction_stride 3 with images of 32 × 48"),
        ({"voxels": VoxelConfig()}, "found encoder.in_channels 4"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made_method(**wrong)


@pytest.mark.parametrize("wrong", [NOTHING, {"contrast": -1.0}])
def test_weights_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected none below 0 and one or more above"):
        CmcrWeights(**wrong)


def test_kept_maps_and_masks_do_not_go_together(tmp_path: Path) -> None:
    teacher = PixelEncoder(network="resnet18", projection=16, cache=tmp_path)
    settings: dict[str, Any] = {
        "voxels": VOXELS,
        "augmentation": SceneAugmentation(size=SIZE, cuboid=0.0, crop=None),
        "reconstruction_stride": 4,
    }
    with pytest.raises(ValueError, match=r"found image_encoder.cache and masked images"):
        CMCR(MinkUNet(**TINY), teacher, **settings)
    CMCR(MinkUNet(**TINY), teacher, masks=MaskConfig(probability=0.0), **settings)


def test_a_batch_without_pairs_is_refused() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    sample = replace(made_frame(0), pair_point=none, pair_view=none, pair_pixel=torch.zeros(0, 2))
    with pytest.raises(ValueError, match="found 150 points and 2 images without a pair in a batch, expected"):
        made_method().training_step(stack_samples([sample], VOXELS), torch.Generator())
