from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from crosspoint.models.dgcnn import DGCNN
from crosspoint.models.dgcnn_partseg import PartSegDGCNN, TransformNet
from crosspoint.models.image_encoder import ImageEncoder
from crosspoint.models.part_segmenter import PartSegmenter
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.models.point_transformer import PointTransformer
from crosspoint.models.pointnet import PointNet
from crosspoint.models.projection_heads import cloud_head, image_head


def small(network: str, k: int) -> PointEncoder:
    made = {
        "dgcnn": lambda: DGCNN(k=k, channels=[16, 16], embedding=32),
        "pointnet": lambda: PointNet(embedding=32),
        "dgcnn_partseg": lambda: PartSegDGCNN(k=k),
        "point_transformer": lambda: PointTransformer(groups=12, size=k, width=24, depth=2, heads=3),
    }
    return made[network]()


def parameters(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def test_sizes_are_those_of_the_original() -> None:
    assert parameters(DGCNN()) == 617_856
    assert parameters(cloud_head(2048)) == 2_362_624
    assert parameters(DGCNN(), cloud_head(2048)) == 2_980_480
    assert parameters(image_head(2048)) == 1_180_672
    assert parameters(TransformNet()) == 801_289
    assert parameters(cloud_head(1024)) == 1_314_048
    segmenter = PartSegmenter(PartSegDGCNN(), categories=16, parts=50)
    assert parameters(segmenter, cloud_head(1024)) == 2_774_409
    # In pre-training the original also holds the four norms of the decoder that it does not have yet: ours does not.
    idle = sum(parameters(layer.norm) for layer in [segmenter.category, *segmenter.decoder] if hasattr(layer, "norm"))
    assert idle == 1_408
    assert parameters(PartSegDGCNN(), cloud_head(1024)) + idle == 2_341_001


@pytest.mark.parametrize("network", ["dgcnn", "pointnet", "dgcnn_partseg", "point_transformer"])
@pytest.mark.parametrize("batch", [1, 3])
def test_features_do_not_depend_on_batch_or_order(network: str, batch: int) -> None:
    torch.manual_seed(0)
    encoder = small(network, k=8).eval()
    points = torch.randn(batch, 60, 3, generator=torch.Generator().manual_seed(1))
    features = encoder(points)
    assert features.shape == (batch, encoder.feature_dim)
    alone = torch.cat([encoder(cloud[None]) for cloud in points])
    assert torch.allclose(features, alone, atol=1e-5)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(features, encoder(points[:, order]), atol=1e-5)


@pytest.mark.parametrize("network", ["dgcnn", "pointnet", "dgcnn_partseg", "point_transformer"])
def test_a_network_builds_another_like_itself(network: str) -> None:
    encoder = small(network, k=7)
    again = encoder.fresh()
    again.load_state_dict(encoder.state_dict())
    assert again.config == encoder.config
    assert copy.deepcopy(encoder).config == encoder.config


@pytest.mark.parametrize("network", ["dgcnn", "pointnet", "dgcnn_partseg", "point_transformer"])
def test_features_of_points_follow_the_order_of_points(network: str) -> None:
    torch.manual_seed(0)
    encoder = small(network, k=8).eval()
    points = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(1))
    features = encoder.forward_features(points)
    assert features.shape[:2] == (2, 40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(encoder.forward_features(points[:, order]), features[:, order], atol=1e-4)


@pytest.mark.parametrize("network", ["dgcnn", "pointnet", "dgcnn_partseg", "point_transformer"])
def test_levels_come_with_the_feature_of_the_cloud(network: str) -> None:
    torch.manual_seed(0)
    encoder = small(network, k=8).eval()
    points = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(1))
    pooled, levels = encoder.forward_levels(points)
    assert torch.allclose(pooled, encoder(points), atol=1e-6)
    assert levels.shape == (2, 40, encoder.level_dim)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(encoder.forward_levels(points[:, order])[1], levels[:, order], atol=1e-4)


def test_a_network_without_features_per_point_says_so() -> None:
    class Mean(PointEncoder):
        feature_dim = 3

        def forward(self, points: torch.Tensor) -> torch.Tensor:
            return points.mean(dim=1)

    with pytest.raises(ValueError, match="found Mean, which has no features per point"):
        Mean().forward_features(torch.rand(1, 4, 3))


def test_transform_net_begins_as_the_identity() -> None:
    points = torch.randn(2, 30, 3, generator=torch.Generator().manual_seed(1))
    neighbors = torch.arange(5).expand(2, 30, 5)
    assert torch.equal(TransformNet()(points, neighbors), torch.eye(3).expand(2, 3, 3))


def test_segmenter_gives_logits_for_each_point_in_its_order() -> None:
    torch.manual_seed(0)
    segmenter = PartSegmenter(PartSegDGCNN(k=6), categories=4, parts=9).eval()
    points = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(1))
    logits = segmenter(points, torch.eye(4)[:2])
    assert logits.shape == (2, 40, 9)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(segmenter(points[:, order], torch.eye(4)[:2]), logits[:, order], atol=1e-4)
    assert not torch.allclose(segmenter(points, torch.eye(4)[2:]), logits)


@pytest.mark.parametrize(("network", "width"), [("resnet18", 512), ("resnet50", 2048)])
def test_image_encoders(network: str, width: int) -> None:
    encoder = ImageEncoder(network).eval()
    assert encoder(torch.rand(2, 3, 32, 32)).shape == (2, width)
    with pytest.raises(ValueError, match=f"found weights 'imagenet' for {network}, expected null or one of"):
        ImageEncoder(network, weights="imagenet")


def test_too_few_points_is_one_clear_line() -> None:
    with pytest.raises(ValueError, match="found clouds of 10 points, expected at least k = 15"):
        DGCNN()(torch.rand(2, 10, 3))


def test_gradients_reach_every_parameter() -> None:
    for encoder in (DGCNN(k=5, channels=[8, 8], embedding=16), PointNet(embedding=16), PartSegDGCNN(k=5)):
        encoder(torch.rand(4, 30, 3, generator=torch.Generator().manual_seed(1))).square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("network", ["dgcnn", "pointnet"])
def test_encoders_take_arrays_of_any_kind(network: str) -> None:
    encoder = small(network, 4).eval()
    points = torch.randn(2, 24, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wanted = encoder(points.float())
    for given in (points, points.numpy(), points.numpy().astype("f4"), points.tolist()):
        assert torch.equal(encoder(given), wanted)
    torch.testing.assert_close(encoder(points[0].numpy()), wanted[:1])
    with pytest.raises(ValueError, match=r"shape \(2, 24, 6\), expected \(N, 3\) or \(B, N, 3\): give xyz alone"):
        encoder(torch.zeros(2, 24, 6))
    with pytest.raises(ValueError, match=r"expected clouds .* of one size"):
        encoder([points[0].numpy(), points[1, :5].numpy()])
