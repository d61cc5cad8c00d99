from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
import torchvision
from torch import nn

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.batch import LidarBatch, stack_samples
from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.data.similarity_augmentation import SimilarityAugmentation
from crosspoint.scene.data.visible_points import VisiblePoints
from crosspoint.scene.methods.simipu import SimIPU, match_positions
from crosspoint.scene.models.pixel_encoder import PixelEncoder, ResNetMaps
from crosspoint.scene.models.pointnet2 import PointNet2, SampledPoints
from crosspoint.scene.ops.set_abstraction import AbstractionConfig
from tests.scene.frames import made_frame

SIZE = (64, 96)
FORWARD = torch.tensor([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]], dtype=torch.float64)
CAMERA = Cameras(
    torch.tensor([[[48.0, 0, 48], [0, 48, 32], [0, 0, 1]]], dtype=torch.float64),
    FORWARD.unsqueeze(0),
    torch.zeros(1, 3, dtype=torch.float64),
    SIZE,
)


def frame(seed: int, size: int = 500) -> LidarSample:
    """Points all around; whether one is bright depends on where it lies, and so do the image's colors."""
    generator = torch.Generator().manual_seed(seed)
    points = (2 * torch.rand(size, 4, generator=generator) - 1) * torch.tensor([30.0, 30, 3, 1])
    points[:, 3] = 0.5 + 0.5 * torch.sin(points[:, 0] / 4 + seed) * torch.cos(points[:, 1] / 3)
    image = 255 * torch.rand(1, 3, 4, 6, generator=generator)
    image = nn.functional.interpolate(image, size=SIZE, mode="bilinear").to(torch.uint8)
    return made_frame(f"frame {seed}", points.numpy(), image, CAMERA)


def batch_of(*frames: LidarSample) -> LidarBatch:
    return stack_samples([pair_points(f) for f in frames])


BATCH = batch_of(frame(0), frame(1, 300))


def network(samples: int = 32, neighbors: int = 16) -> PointNet2:
    stages = [
        AbstractionConfig(0, 2 * samples, 0, (3.0, 6.0), (neighbors, neighbors), ((8, 16), (8, 16)), 32),
        AbstractionConfig(samples // 2, samples // 2, samples, (6.0, 12.0), (neighbors, neighbors), ((32,), (32,)), 48),
    ]
    return PointNet2(stages=stages)


def method(encoder: nn.Module | None = None, **options) -> SimIPU:
    torch.manual_seed(0)
    options = {"points": 256, "projection": 16} | options
    encoder = network() if encoder is None else encoder
    return SimIPU(encoder, ResNetMaps(network="resnet18"), **options)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gradients(module: nn.Module) -> float:
    """The largest gradient of any weight; 0 where there is none."""
    return max(0.0 if w.grad is None else float(w.grad.abs().max()) for w in module.parameters())


class Everything(nn.Module):
    """In place of the point network: every point is sampled, and its intensity is its feature."""

    feature_dim = 1

    def forward(self, points: torch.Tensor) -> SampledPoints:
        rows = torch.arange(points.shape[1]).expand(len(points), -1)
        return SampledPoints(points[..., :3], points[..., 3:], rows)


def test_the_matching_has_the_least_sum_of_distances() -> None:
    positions = torch.randn(4, 6, 3, generator=generator())
    others = torch.randn(4, 6, 3, generator=generator(1))
    for cloud, other, match in zip(positions, others, match_positions(positions, others), strict=True):
        best = min(permutations(range(6)), key=lambda p: float((cloud - other[list(p)]).norm(dim=1).sum()))
        assert match.tolist() == list(best)


def test_an_identical_second_view_is_matched_one_by_one() -> None:
    positions = 70 * torch.randn(2, 300, 3, generator=generator())
    view = SimilarityAugmentation(rotation=0, scale=(1, 1), flip=0).draw(2, generator())
    assert torch.equal(match_positions(positions, view.restore(view.apply(positions))), torch.arange(300).expand(2, -1))


@pytest.mark.parametrize(
    "view", [SimilarityAugmentation(), SimilarityAugmentation(rotation=180, scale=(0.2, 5), translation=20, flip=1)]
)
def test_the_second_view_of_a_point_is_matched_with_it_whatever_happened_to_it(view: SimilarityAugmentation) -> None:
    points = torch.randn(3, 200, 4, generator=generator()) * torch.tensor([30.0, 30, 2, 1])
    matched = method(Everything(), view=view).matched_features(points, points[..., :3], generator(5))
    assert torch.equal(matched, points[..., 3:])


def test_turned_and_mirrored_points_have_the_features_of_the_first_view() -> None:
    """All points of the first stage are sampled, balls are not full, and turning leaves rings as they are."""
    stages = [
        AbstractionConfig(0, 256, 0, (4.0, 8.0), (256, 256), ((8, 16), (8, 16)), 32),
        AbstractionConfig(0, 256, 0, (8.0,), (256,), ((32,),), 48),
    ]
    simipu = method(PointNet2(stages=stages), view=SimilarityAugmentation(scale=(1, 1), translation=5)).eval()
    clouds = BATCH.points_with("intensity")[simipu.draw_points(BATCH, generator())]
    samples = simipu.encoder(clouds)
    matched = simipu.matched_features(clouds, samples.positions, generator(1))
    assert not matched.requires_grad
    close = (matched - samples.features).abs().amax(dim=2) < 1e-4
    assert close.double().mean() > 0.97  # a border of a ring may pass a point by rounding
    assert (samples.features.std(dim=1) > 1e-3).any()


def test_drawn_points_are_the_frames_own_each_once_before_one_comes_again() -> None:
    rows = method(points=400, reach=None).draw_points(BATCH, generator())
    assert rows.shape == (2, 400)
    assert len(rows[0].unique()) == 400 and 0 <= rows[0].min() and rows[0].max() < 500
    assert rows[1].unique().tolist() == list(range(500, 800))
    assert rows[0].tolist() != sorted(rows[0].tolist())


def test_drawn_points_are_within_reach_and_seen_where_that_is_asked_for() -> None:
    near = method(reach=20.0).draw_points(BATCH, generator())
    assert BATCH.points[near, :2].norm(dim=2).max() <= 20 < BATCH.points[:, :2].norm(dim=1).max()
    seen = method(reach=20.0, seen_only=True).draw_points(BATCH, generator())
    assert torch.isin(seen, BATCH.pair_point).all() and not torch.isin(near, BATCH.pair_point).all()
    blind = BATCH._replace(**{name: getattr(BATCH, name)[:0] for name in ("pair_point", "pair_image", "pair_pixel")})
    assert torch.equal(method(reach=20.0, seen_only=True).draw_points(blind, generator()), near)


def test_a_step_depends_on_its_generator_alone() -> None:
    simipu = method()
    one, same, other = (simipu.training_step(BATCH, generator(seed)) for seed in (3, 3, 4))
    assert set(one) == {"loss", "intra", "inter"}
    torch.testing.assert_close(one["loss"], same["loss"])
    assert one["loss"] != other["loss"]
    torch.testing.assert_close(one["loss"], one["intra"] + one["inter"])


def test_the_loss_between_images_and_points_teaches_the_image_network_alone() -> None:
    simipu = method()
    simipu.training_step(BATCH, generator())["inter"].backward()
    for idle in (simipu.encoder, simipu.intra_head, simipu.inter_head):
        assert gradients(idle) == 0
    for trained in (simipu.image_encoder, simipu.image_head):
        assert gradients(trained) > 0
        assert all(weight.grad is not None for weight in trained.parameters())


def test_the_loss_between_views_teaches_the_point_network_alone() -> None:
    simipu = method()
    simipu.training_step(BATCH, generator())["intra"].backward()
    for idle in (simipu.image_encoder, simipu.image_head, simipu.inter_head):
        assert gradients(idle) == 0
    for trained in (simipu.encoder, simipu.intra_head):
        assert gradients(trained) > 0
        assert all(weight.grad is not None for weight in trained.parameters())


def test_the_target_gets_no_gradient() -> None:
    features, target = (torch.randn(2, 9, 48, generator=generator(s), requires_grad=True) for s in (0, 1))
    method().intra_loss(features, target).backward()
    assert features.grad is not None and target.grad is None


def test_what_no_image_sees_does_not_count() -> None:
    simipu = method()
    features = torch.randn(20, 48, generator=generator())
    seen = VisiblePoints(
        torch.tensor([3, 4, 11]), torch.tensor([0, 1, 1]), torch.tensor([[5.0, 8], [50, 20], [80, 40]])
    )
    before = simipu.inter_loss(features, BATCH.images, seen)
    unseen = torch.ones(20, dtype=torch.bool).index_fill(0, seen.samples, False)
    changed = torch.where(unseen.unsqueeze(1), 100 * torch.randn(20, 48, generator=generator(1)), features)
    assert torch.equal(simipu.inter_loss(changed, BATCH.images, seen), before)
    changed = torch.where(unseen.unsqueeze(1), features, changed + torch.randn(20, 48, generator=generator(2)))
    assert simipu.inter_loss(changed, BATCH.images, seen) != before


def test_identical_orthonormal_features_give_the_closed_form() -> None:
    simipu = method(temperature=0.5)
    simipu.intra_head = simipu.inter_head = simipu.image_head = nn.Identity()
    expected = math.log(1 + 11 * math.exp(-1 / 0.5))
    features = torch.eye(12)
    assert simipu.intra_loss(features.view(2, 6, 12), features.view(2, 6, 12)).item() == pytest.approx(expected)

    class Cells(nn.Module):
        """A map whose cells have the unit vectors for features, over both images."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.eye(12).view(2, 2, 3, 12).permute(0, 3, 1, 2)

    simipu.image_encoder = Cells()
    centers = torch.tensor([[x, y] for _ in range(2) for y in (16.0, 48) for x in (16.0, 48, 80)])
    seen = VisiblePoints(torch.arange(12), torch.arange(12) // 6, centers)
    assert simipu.inter_loss(features, BATCH.images, seen).item() == pytest.approx(expected)


@pytest.mark.parametrize("count", [0, 1])
def test_with_less_than_two_seen_samples_there_is_nothing_to_find(count: int) -> None:
    simipu = method()
    seen = VisiblePoints(torch.arange(count), torch.zeros(count, dtype=torch.int64), torch.full((count, 2), 9.0))
    loss = simipu.inter_loss(torch.randn(20, 48), BATCH.images, seen)
    loss.backward()
    assert loss == 0
    assert all(weight.grad is not None for weight in simipu.image_encoder.parameters())
    assert gradients(simipu.image_head) == 0


def test_a_few_steps_lower_both_losses() -> None:
    simipu = method()
    optimizer = torch.optim.Adam((w for w in simipu.parameters() if w.requires_grad), lr=1e-3)
    history = []
    for _ in range(12):
        parts = simipu.training_step(BATCH, generator())
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        history.append([parts[name].item() for name in ("intra", "inter")])
    first, last = torch.tensor(history[:4]).mean(dim=0), torch.tensor(history[-4:]).mean(dim=0)
    assert (last < first - 0.2).all(), (first, last)


def test_half_precision_gives_nearly_the_same_loss() -> None:
    simipu = method()
    full = simipu.training_step(BATCH, generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = simipu.training_step(BATCH, generator())
    assert half["loss"].dtype == torch.float32
    for name in full:
        torch.testing.assert_close(half[name], full[name], rtol=0.1, atol=0.1)


def test_the_image_network_has_the_names_of_torchvision() -> None:
    names = torchvision.models.resnet18(weights=None).state_dict()
    own = method().image_encoder.state_dict()
    assert {name: w.shape for name, w in own.items()} == {n: w.shape for n, w in names.items() if "fc." not in n}


def test_what_cannot_be_trained_is_named() -> None:
    simipu = method()
    with pytest.raises(ValueError, match="without a pair"):
        none = {name: getattr(BATCH, name)[:0] for name in ("pair_point", "pair_image", "pair_pixel")}
        simipu.training_step(BATCH._replace(**none), generator())
    with pytest.raises(ValueError, match=r"found intensity 0.5 at all points.*relative_positions"):
        gray = {"intensity": torch.full((800,), 0.5)}
        simipu.training_step(BATCH._replace(point_fields=gray), generator())
    with pytest.raises(ValueError, match=r"no point within 0.001 meters in frame 0"):
        method(reach=0.001).training_step(BATCH, generator())
    with pytest.raises(ValueError, match=r"found 63 points .*at least the 64"):
        method(points=63)
    with pytest.raises(ValueError, match="reach -1"):
        method(reach=-1.0)
    with pytest.raises(ValueError, match="temperature 0"):
        method(temperature=0.0)
    with pytest.raises(ValueError, match=r"found a PixelEncoder for SimIPU.*take resnet_maps"):
        SimIPU(network(), PixelEncoder(network="resnet18"), points=256)
