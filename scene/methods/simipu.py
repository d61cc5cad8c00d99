"""SimIPU: contrast a cloud with a second view of itself, and let the image network find the cloud's features.

Li et al., SimIPU: Simple 2D Image and 3D Point Cloud Unsupervised Pre-Training for Spatial-Aware Visual
Representations, AAAI 2022, https://arxiv.org/abs/2112.04680 and its code.

Images in this method learn from points: what is used downstream (fusion, monocular detection, depth) is the image
network, `SimIPU.image_encoder`: a ResNet up to its last map, whose weights have torchvision's names. The point network,
`SimIPU.encoder`, learns from the second view alone.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Generator, Tensor, nn

from crosspoint.checkpoints.record import Inputs
from crosspoint.losses import info_nce
from crosspoint.models.image_backbone import ImageBackbone
from crosspoint.models.point_encoder import PointEncoder, feature_dim
from crosspoint.renderers.ranges import CHANNELS, TEMPERATURE, in_range
from crosspoint.scene.data.batch import LidarBatch
from crosspoint.scene.data.similarity_augmentation import SimilarityAugmentation
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.data.visible_points import VisiblePoints, find_visible, sample_bilinear
from crosspoint.scene.methods.ppkt import check_pairs
from crosspoint.scene.methods.scene_method import SceneMethod
from crosspoint.scene.models.pixel_encoder import PixelEncoder
from crosspoint.transforms import normalize_images

VIEW = SimilarityAugmentation()
# As published: images are taken whole, and the first view of a cloud stays as it is.
WHOLE_IMAGES = SceneAugmentation(size=(192, 640), rotate=False, flip_points=0.0, cuboid=0.0, crop=None)

# The authors give the image branch SGD at a rate of 0.03; here one AdamW trains both.
RECIPE = {"epochs": 100, "batch_size": 4, "optimizer": "adamw", "learning_rate": 0.001, "weight_decay": 0.01}


class SimIPU(SceneMethod):
    """The method: `encoder` describes points, `image_encoder` is what pre-training is for.

    Out-of-image points are left out of the loss between points and images; the public code gives them zeros for image
    features, which all look for different points. The head of points in that loss gets no gradient there, either: it
    is a random projection, and is frozen here.

    Args:
        encoder: maps clouds (B, N, 4) of x y z intensity to some of their points with features, `SampledPoints`.
        image_encoder: maps normalized images to maps of stride 32, with which points are compared. All of it is
            trained, from random weights as published.
        projection: dimensions in which the losses compare.
        temperature: temperature of both losses.
        points: drawn from each frame for both views, all of its points and some again where it has fewer.
        reach: meters around the sensor within which they are drawn; None: anywhere. KITTI's range, with which SimIPU
            trains, ends here.
        seen_only: draw points that an image sees, from frames that have such, as SimIPU does with KITTI's clouds cut
            to the camera's view; otherwise all around.
        view: how the second view differs.
        augmentation: of the first view and of the images, which may be mirrored: correspondences are exact either way.
        min_depth: meters before a camera that a paired point exceeds.
        occlusion: meters by which nearer points hide others; None pairs hidden points too, as the public codes do.
        views_per_step: images that are drawn of each frame at each step; None takes all of them.

    Raises:
        ValueError: if a setting is out of range, `points` are fewer than the encoder needs, or the image encoder is a
            frozen one.
    """

    default_encoder = "pointnet2"
    default_image_encoder = "resnet_maps"
    recipe = RECIPE
    image_encoder: ImageBackbone

    def __init__(
        self,
        encoder: PointEncoder,
        image_encoder: ImageBackbone,
        *,
        projection: int = 128,
        temperature: float = 0.07,
        points: int = 16384,
        reach: float | None = 70.4,
        seen_only: bool = False,
        view: SimilarityAugmentation = VIEW,
        augmentation: SceneAugmentation = WHOLE_IMAGES,
        min_depth: float = 1.0,
        occlusion: float | None = None,
        views_per_step: int | None = None,
    ) -> None:
        super().__init__(
            encoder,
            image_encoder,
            augmentation=augmentation,
            min_depth=min_depth,
            occlusion=occlusion,
            views_per_step=views_per_step,
        )
        needed, features = getattr(encoder, "min_points", 1), getattr(encoder, "features", 1)
        if points < needed or features != 1:
            raise ValueError(
                f"found {points} points with {features} features each, expected at least the {needed} "
                "that the encoder's first stage needs, and 1 feature: the intensity"
            )
        if isinstance(image_encoder, PixelEncoder):
            raise ValueError(
                "found a PixelEncoder for SimIPU, which is frozen and may be dilated, expected a network to train that "
                "gives maps of stride 32: take resnet_maps"
            )
        if reach is not None and not reach > 0:
            raise ValueError(f"found reach {reach}, expected meters above 0, or null")
        in_range("projection", projection, *CHANNELS)
        in_range("temperature", temperature, *TEMPERATURE)
        width = feature_dim(encoder)
        self.intra_head = three_layers(width, projection)
        self.inter_head = three_layers(width, projection).requires_grad_(False)
        self.image_head = three_layers(feature_dim(image_encoder), projection)
        self.temperature = temperature
        self.points = points
        self.reach = reach
        self.seen_only = seen_only
        self.view = view

    def inputs(self, dataset: Any) -> Inputs:
        """Clouds in meters."""
        return Inputs(kind="sweeps", points=self.points, up_axis="z", unit_sphere=False)

    def describe(self, batch: LidarBatch) -> Tensor:
        """Features of the points that the encoder samples of a fixed draw, (B · S, C)."""
        drawn = self.draw_points(batch, Generator(batch.points.device).manual_seed(0))
        features: Tensor = self.encoder(batch.points_with("intensity")[drawn]).features
        return features.flatten(0, 1)

    def training_step(self, batch: LidarBatch, generator: Generator) -> dict[str, Tensor]:
        """One batch of frames → "loss" and its parts "intra" and "inter", all scalars.

        Args:
            batch: frames with pairs and the point field "intensity".
            generator: on the device of the batch; all draws come from it alone.

        Raises:
            ValueError: if the batch has no pairs, a frame no point within reach, or all points one intensity and the
                encoder nothing else to go by.
        """
        check_pairs(batch)
        points = batch.points_with("intensity")
        intensity = points[:, 3]
        if not getattr(self.encoder, "relative_positions", True) and bool((intensity == intensity[0]).all()):
            raise ValueError(
                f"found intensity {float(intensity[0]):g} at all points of a batch, expected several: "
                "set relative_positions, or read the intensity"
            )
        drawn = self.draw_points(batch, generator)
        clouds = points[drawn]
        samples = self.encoder(clouds)
        target = self.matched_features(clouds, samples.positions, generator)
        intra = self.intra_loss(samples.features, target)
        seen = find_visible(batch, drawn.gather(1, samples.rows).flatten())
        inter = self.inter_loss(samples.features.flatten(0, 1), batch.images, seen)
        return {"loss": intra + inter, "intra": intra, "inter": inter}

    def draw_points(self, batch: LidarBatch, generator: Generator) -> Tensor:
        """Rows of `batch.points` in random order, the same number of every frame: (B, points) int64."""
        points, ends = batch.points, batch.point_offsets.tolist()
        near = torch.ones(len(points), dtype=torch.bool, device=points.device)
        if self.reach is not None:
            near = points[:, :2].norm(dim=1) <= self.reach
        seen = near & torch.zeros_like(near).index_fill_(0, batch.pair_point, True)
        rows = []
        for frame, (start, end) in enumerate(pairwise(ends)):
            own = slice(start, end)
            allowed = seen[own] if self.seen_only and bool(seen[own].any()) else near[own]
            found = allowed.nonzero().squeeze(1) + start
            if len(found) == 0:
                raise ValueError(
                    f"found no point within {self.reach} meters in frame {frame} of a batch, expected some: raise reach"
                )
            found = found[torch.randperm(len(found), generator=generator, device=found.device)]
            again = torch.randint(
                len(found), (max(0, self.points - len(found)),), generator=generator, device=found.device
            )
            rows.append(torch.cat([found[: self.points], found[again]]))
        return torch.stack(rows)

    @torch.no_grad()
    def matched_features(self, clouds: Tensor, positions: Tensor, generator: Generator) -> Tensor:
        """Features of the second view, each at the place of the sample of the first view that it belongs to.

        The second view has the same points in another order, so other ones are sampled; brought back, they are matched
        by their distances in meters. No gradient is wanted, so none is recorded.

        Args:
            clouds: (B, N, 4), the first view.
            positions: (B, S, 3), what was sampled of it.
            generator: draws the second view.

        Returns:
            (B, S, C).
        """
        order = torch.rand(clouds.shape[:2], generator=generator, device=clouds.device).argsort(dim=1)
        clouds = clouds.gather(1, order.unsqueeze(2).expand_as(clouds))
        similarity = self.view.draw(len(clouds), generator)
        other = self.encoder(torch.cat([similarity.apply(clouds[..., :3]), clouds[..., 3:]], dim=2))
        match = match_positions(positions, similarity.restore(other.positions))
        return other.features.gather(1, match.unsqueeze(2).expand_as(other.features))

    def intra_loss(self, features: Tensor, target: Tensor) -> Tensor:
        """Each sample is to find its match among those of all frames: features, target (B, S, C) → scalar.

        The target gets no gradient.
        """
        queries = self.intra_head(features.flatten(0, 1))
        with torch.no_grad():
            keys = self.intra_head(target.flatten(0, 1))
        return info_nce(queries, keys, temperature=self.temperature)

    def inter_loss(self, features: Tensor, images: Tensor, seen: VisiblePoints) -> Tensor:
        """Each pixel that a sample is seen at is to find this sample among those of all frames.

        The gradient reaches the image network and its head alone.

        Args:
            features: (B · S, C) of the samples.
            images: (I, 3, H, W) uint8.
            seen: which samples count, and where they are seen.

        Returns:
            The scalar loss; 0 where images see less than two samples.
        """
        if len(seen.samples) < 2:  # nothing to compare; every weight still takes part, as several processes demand
            return sum_of_nothing(self.image_encoder, self.image_head)
        x = normalize_images(images.float() / 255).contiguous(memory_format=torch.channels_last)
        maps = self.image_encoder(x)
        queries = self.image_head(sample_bilinear(maps, seen.images, seen.pixels, (images.shape[2], images.shape[3])))
        with torch.no_grad():
            keys = self.inter_head(features[seen.samples])
        return info_nce(queries, keys, temperature=self.temperature)


def three_layers(features: int, projection: int) -> nn.Sequential:
    """The heads of SimIPU: (P, features) → (P, projection), hidden layers as wide as the features."""
    return nn.Sequential(
        nn.Linear(features, features, bias=False),  # a bias would be lost in the normalization, here and below
        nn.BatchNorm1d(features),
        nn.ReLU(inplace=True),
        nn.Linear(features, features, bias=False),
        nn.BatchNorm1d(features),
        nn.ReLU(inplace=True),
        nn.Linear(features, projection, bias=False),
        nn.BatchNorm1d(projection),
    )


@torch.no_grad()
def match_positions(positions: Tensor, others: Tensor) -> Tensor:
    """The one-to-one matching within each cloud that has the least sum of distances (Hungarian method, on the CPU).

    Args:
        positions: (B, S, 3) meters.
        others: (B, S, 3).

    Returns:
        (B, S) int64: which of the others each position is matched with.
    """
    costs = torch.cdist(positions, others, compute_mode="donot_use_mm_for_euclid_dist").cpu().numpy()
    columns = [torch.from_numpy(linear_sum_assignment(cost)[1]) for cost in costs]
    return torch.stack(columns).to(positions.device)


def sum_of_nothing(*modules: nn.Module) -> Tensor:
    """0, with a gradient of 0 for all weights of some networks."""
    weights = [weight for module in modules for weight in module.parameters() if weight.requires_grad]
    return torch.stack([weight.sum() for weight in weights]).sum() * 0.0
