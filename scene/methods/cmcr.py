"""CMCR: what points and pixels share, told apart from what each has of its own.

Zhang and Hou, Is Contrastive Distillation Enough for Learning Comprehensive 3D Representations?, IJCV 2026,
https://arxiv.org/abs/2412.08973, and its public code (https://github.com/Eaphan/CMCR).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from crosspoint.losses import info_nce
from crosspoint.models.point_encoder import PointEncoder, feature_dim
from crosspoint.ops.precision import full_precision
from crosspoint.renderers.ranges import POINTS, TEMPERATURE, in_range
from crosspoint.scene.data.batch import LidarBatch
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.methods.ppkt import check_pairs
from crosspoint.scene.methods.voxel_method import VoxelMethod, check_channels
from crosspoint.scene.models.code_matching import code_matching
from crosspoint.scene.models.codebook import Codebook, commitment
from crosspoint.scene.models.masked_images import MaskConfig, black_out, draw_masks
from crosspoint.scene.models.occupancy import OCCUPANCY, OccupancyConfig, OccupancyHead
from crosspoint.scene.models.orthogonality import orthogonality
from crosspoint.scene.models.pixel_encoder import PixelEncoder
from crosspoint.scene.models.reconstruction import Reconstruction, check_stride, replace_masked
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.upsampling import upsampled_at
from crosspoint.scene.ops.voxels import VoxelConfig

VOXELS = VoxelConfig(kind="cartesian")  # as published; the authors fine-tune on cylindrical ones
AUGMENTATION = SceneAugmentation(cuboid=0.0)
MASKS = MaskConfig()
RECIPE = {"epochs": 10, "batch_size": 12, "optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.01}

Sight = Literal["masked", "clean"]


@dataclass(frozen=True)
class CmcrWeights:
    """How much each part of the loss counts. A part with weight 0 is not computed, its networks are not built.

    Args:
        contrast: points look for their pixels among others
        reconstruction: masked images
        occupancy: whether the space around points is filled
        intensity: weight of the intensity of the points there
        orthogonality: weight of the orthogonality of what points share and what is their own
        commitment: weight of the commitment of points and pixels to their codes
        matching: weight of the matching of the codes of points with those of pixels
    """

    contrast: float = 1.0
    reconstruction: float = 1.0
    occupancy: float = 1.0
    intensity: float = 1.0
    orthogonality: float = 0.1
    commitment: float = 0.25
    matching: float = 1.0

    def __post_init__(self) -> None:
        if min(astuple(self)) < 0 or max(astuple(self)) == 0:
            raise ValueError(f"found {self}, expected none below 0 and one or more above")


WEIGHTS = CmcrWeights()


class PixelMaps(NamedTuple):
    """Features at the trunk's stride, of any length; None where no part of the loss asks for them."""

    paired: Tensor | None  # (I, h, w, C) shared, with which points are compared
    shared: Tensor | None  # (I, h, w, C) shared, of masked images
    specific: Tensor | None  # (I, h, w, C) of masked images


class CMCR(VoxelMethod):
    """The method: `encoder` is what users keep, the rest serves training.

    Points have features f (of length 1) that they share with pixels, and g of their own; pixels have v (of length 1)
    and r. A codebook of a few hundred directions, of which each shared feature takes the nearest, stands between the
    two: what both modalities know goes through it, the rest is left to g and r.

    - contrast: InfoNCE of f and v, as PPKT.
    - reconstruction: images, some of them masked, from r + Q(v); where an image is masked and points are seen, from
      r + Q(f), so that points have to know what images would show. Mean squared error of all pixels in [0, 1].
    - occupancy, intensity: of the space around points, from g + Q(f).
    - orthogonality: ‖fᵀ ĝ‖ / C² with ĝ of length 1, Frobenius' norm of a sum over all voxels.
    - commitment: 2 MSE(f, Q(f)) + MSE(f, Q(v)), and the same of v.
    - matching: cross-modal code matching of f and v.

    Gradients pass straight through Q. Pairs on masked pixels do not count in contrast, commitment and matching, where
    the teacher sees the masked images, as published. Black patches reach far in a deep network, so that features of
    what is left differ much from those of the whole image, and points learn that, too. With `teacher_sees: clean` they
    are compared with whole images, and the teacher runs a second time on masked ones.

    The public code lacks the replacement of masked features by those of points, which a figure of the paper shows; a
    Kullback-Leibler term of that figure, which neither text nor code defines, is left out here, too.

    Args:
        encoder: maps voxels to features (M, encoder.feature_dim).
        image_encoder: describes pixels; its projection is C.
        weights: of the parts of the loss.
        pairs: number of pairs that are contrasted, drawn from all pairs of a batch without replacement; all, if there
            are fewer.
        code_pairs: number of pairs that move the codebook and are matched by it, drawn anew.
        temperature: temperature of the contrast.
        code_temperature: divides distances to codes when they are matched; 1 as published.
        codes: number of codes of the codebook; 0 takes features as they are, for comparison.
        decay: decay of the codebook's moving averages.
        revive: steps after which a code that no feature chose is replaced by a feature; null replaces none.
        masks: of the images; none are drawn where nothing is reconstructed.
        teacher_sees: the images with which points are compared: masked ones, as published, or clean ones.
        reconstruction_stride: edge in pixels of the cells that images are reconstructed at, 1 as published.
        occupancy: queries around points.
        orthogonal_pixels: add ‖vᵀ r̂‖ / C² to the orthogonality, over the nodes of the maps, as the figure has it.
        voxels: how clouds are cut.
        augmentation: of clouds and images.
        min_depth: meters before a camera that a paired point exceeds.
        occlusion: meters by which nearer points hide others; None pairs hidden points too, as the public codes do.
        views_per_step: images that are drawn of each frame at each step; None takes all of them.

    Raises:
        ValueError: if a setting is out of range, two do not fit each other, or the encoder is one for other voxels.
    """

    default_encoder = "minkunet"
    default_image_encoder = "pixel_encoder"
    recipe = RECIPE
    image_encoder: PixelEncoder

    def __init__(
        self,
        encoder: PointEncoder,
        image_encoder: PixelEncoder,
        *,
        weights: CmcrWeights = WEIGHTS,
        pairs: int = 2048,
        code_pairs: int = 2048,
        temperature: float = 0.07,
        code_temperature: float = 1.0,
        codes: int = 400,
        decay: float = 0.999,
        revive: int | None = 300,
        masks: MaskConfig = MASKS,
        teacher_sees: Sight = "masked",
        reconstruction_stride: int = 1,
        occupancy: OccupancyConfig = OCCUPANCY,
        orthogonal_pixels: bool = False,
        voxels: VoxelConfig = VOXELS,
        augmentation: SceneAugmentation = AUGMENTATION,
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
        in_range("pairs", pairs, *POINTS)
        in_range("code_pairs", code_pairs, *POINTS)
        in_range("temperature", temperature, *TEMPERATURE)
        in_range("code_temperature", code_temperature, *TEMPERATURE)
        if teacher_sees not in get_args(Sight):
            raise ValueError(f"found teacher_sees {teacher_sees!r}, expected one of {', '.join(get_args(Sight))}")
        if codes == 0 and max(weights.commitment, weights.matching) > 0:
            raise ValueError(
                "found codes 0 with weights of commitment or matching above 0, expected a codebook for them: set both "
                "weights to 0, or take more codes"
            )
        check_channels(encoder, voxels)
        check_stride(reconstruction_stride, augmentation.size, masks.patch)
        self.weights = weights
        self.pairs = pairs
        self.code_pairs = code_pairs
        self.temperature = temperature
        self.code_temperature = code_temperature
        self.masks = masks
        self.teacher_sees = teacher_sees
        self.reconstruction_stride = reconstruction_stride
        self.orthogonal_pixels = orthogonal_pixels and weights.orthogonality > 0
        self.voxels = voxels
        self._build(codes, decay, revive, occupancy)
        if self.masked and image_encoder.cache is not None:
            raise ValueError(
                "found image_encoder.cache and masked images, expected images that come again: leave the cache out, or "
                "set masks.probability to 0"
            )

    def _build(self, codes: int, decay: float, revive: int | None, occupancy: OccupancyConfig) -> None:
        """The heads that the weights ask for; one that gets no gradient would stop several processes."""
        weights, image_encoder = self.weights, self.image_encoder
        width, channels = feature_dim(self.encoder), feature_dim(image_encoder)
        around = max(weights.occupancy, weights.intensity) > 0
        paired = max(weights.contrast, weights.commitment, weights.matching) > 0
        quantized = around or max(weights.reconstruction, weights.commitment, weights.matching) > 0
        self.head = nn.Linear(width, channels)
        self.specific_head: nn.Module | None = None
        self.specific_decoder: nn.Conv2d | None = None
        self.occupancy: OccupancyHead | None = None
        self.reconstruction: Reconstruction | None = None
        self.codebook: Codebook | None = None
        if around or weights.orthogonality > 0:
            self.specific_head = nn.Linear(width, channels)
        if around:
            self.occupancy = OccupancyHead(channels, occupancy)
        if weights.reconstruction > 0:
            self.reconstruction = Reconstruction(channels)
        if weights.reconstruction > 0 or self.orthogonal_pixels:
            self.specific_decoder = nn.Conv2d(image_encoder.decoder.in_channels, channels, 1)
        if quantized and codes > 0:
            self.codebook = Codebook(codes, channels, decay=decay, revive=revive)
        self.compares = paired or self.codebook is not None
        image_encoder.decoder.requires_grad_(paired or self.specific_decoder is not None)

    @property
    def masked(self) -> bool:
        """Whether some images are masked."""
        return self.reconstruction is not None and self.masks.probability > 0 and self.masks.share > 0

    def training_step(self, batch: LidarBatch, generator: Generator) -> dict[str, Tensor]:
        """One batch → "loss", its parts by the names of `CmcrWeights`, and the codebook's "perplexity"; all scalars.

        The codebook moves at the end, in training only. Parts are means over what this process has.

        Args:
            batch: frames with pairs and the point field "intensity".
            generator: on the device of the batch; all draws come from it alone.

        Raises:
            ValueError: if the batch has no pairs, or points have no intensity.
        """
        check_pairs(batch)
        masks = draw_masks(batch.images, self.masks, generator) if self.masked else None
        shared, specific = self.describe_points(batch)
        maps = self.describe_pixels(batch.images, masks)
        quantized = shared
        if self.codebook is not None and (self.reconstruction is not None or self.occupancy is not None):
            quantized = self.codebook(shared)
        kept = self.kept_pairs(batch, masks)
        parts: dict[str, Tensor] = {}
        if self.weights.contrast > 0 and maps.paired is not None:
            parts["contrast"] = self.contrast(*self.draw_pairs(self.pairs, shared, maps.paired, batch, kept, generator))
        drawn = None
        if self.codebook is not None and maps.paired is not None:
            drawn = self.draw_pairs(self.code_pairs, shared, maps.paired, batch, kept, generator)
            parts |= self.compare_codes(self.codebook, *drawn)
        if self.reconstruction is not None:
            parts["reconstruction"] = self.reconstruct(self.reconstruction, maps, quantized, batch, masks)
        if self.occupancy is not None and specific is not None:
            around = self.occupancy(specific + quantized, batch, generator)._asdict()
            parts |= {name: part for name, part in around.items() if getattr(self.weights, name) > 0}
        if self.weights.orthogonality > 0 and specific is not None:
            parts["orthogonality"] = orthogonality(shared, specific)
            if self.orthogonal_pixels and maps.shared is not None and maps.specific is not None:
                rows, own = maps.shared.flatten(0, 2), maps.specific.flatten(0, 2)
                parts["orthogonality"] = parts["orthogonality"] + orthogonality(F.normalize(rows, dim=1), own)
        loss = torch.stack([getattr(self.weights, name) * part for name, part in parts.items()]).sum()
        if self.codebook is not None and drawn is not None and self.training:
            parts["perplexity"] = self.codebook.update(*drawn, generator)  # last: all parts see the same codes
        return {"loss": loss, **parts}

    def describe_points(self, batch: LidarBatch) -> tuple[Tensor, Tensor | None]:
        """Voxels → f (M, C) of length 1, and g (M, C), None where no part of the loss asks for it."""
        features = self.encoder(SparseTensor.of(batch.voxelized))
        shared = F.normalize(full_precision(self.head(features)), dim=1)
        return shared, None if self.specific_head is None else full_precision(self.specific_head(features))

    def describe_pixels(self, images: Tensor, masks: Tensor | None) -> PixelMaps:
        """Images (I, 3, H, W) uint8 and their masks (I, H, W) → maps at the trunk's stride."""
        if not self.compares and self.specific_decoder is None:
            return PixelMaps(None, None, None)
        count, place = len(images), None
        seen = images if masks is None else black_out(images, masks)
        if masks is not None and self.teacher_sees == "clean":  # whole images first, then those that masks change
            changed = masks.flatten(1).any(dim=1).nonzero().squeeze(1)
            seen = torch.cat([images, seen[changed]])
            place = torch.arange(count, device=images.device)
            place[changed] = torch.arange(count, len(seen), device=images.device)
        layers = [self.image_encoder.decoder] + ([] if self.specific_decoder is None else [self.specific_decoder])
        maps = pointwise(layers, self.image_encoder.features(seen))
        paired = maps[0][:count] if self.compares else None
        if place is not None:
            maps = [one.index_select(0, place) for one in maps]
        return PixelMaps(paired, maps[0], maps[1] if len(maps) > 1 else None)

    def kept_pairs(self, batch: LidarBatch, masks: Tensor | None) -> Tensor:
        """Which pairs count, (P',) int64: those whose pixel the teacher saw."""
        if masks is None or self.teacher_sees == "clean":
            return torch.arange(len(batch.pair_point), device=batch.pair_point.device)
        x, y = batch.pair_pixel.floor().long().unbind(dim=1)
        return (~masks[batch.pair_image, y, x]).nonzero().squeeze(1)

    def draw_pairs(
        self, count: int, shared: Tensor, maps: Tensor, batch: LidarBatch, kept: Tensor, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Features of points and pixels, (M, C) each and of length 1, of pairs drawn without replacement.

        Args:
            count: M; all pairs, if there are fewer.
            shared: (V, C) of voxels.
            maps: (I, h, w, C) shared, of images.
            batch: whose pairs these are.
            kept: (P',) the pairs that count.
            generator: draws among them.
        """
        chosen = kept[torch.randperm(len(kept), generator=generator, device=kept.device)[:count]]
        size = (batch.images.shape[2], batch.images.shape[3])
        points = shared.index_select(0, batch.pair_voxel[chosen])
        return points, upsampled_at(maps.permute(0, 3, 1, 2), size, batch.pair_image[chosen], batch.pair_pixel[chosen])

    def contrast(self, points: Tensor, pixels: Tensor) -> Tensor:
        """Points (M, C) look for their pixels (M, C): a scalar, 0 where all pairs are masked."""
        if len(points) == 0:
            return (points.sum() + pixels.sum()) * 0.0
        return info_nce(points, pixels, temperature=self.temperature, normalize=False)

    def compare_codes(self, codebook: Codebook, points: Tensor, pixels: Tensor) -> dict[str, Tensor]:
        """What the codes of points (M, C) and of their pixels (M, C) cost: "commitment" and "matching"."""
        parts: dict[str, Tensor] = {}
        if self.weights.commitment > 0:
            own, other = (codebook.codes[codebook.nearest(rows)] for rows in (points, pixels))
            parts["commitment"] = commitment(points, own, other) + commitment(pixels, other, own)
        if self.weights.matching > 0:
            codes = codebook.codes.clone()  # an update writes into them before the backward pass
            parts["matching"] = code_matching(points, pixels, codes, temperature=self.code_temperature)
        return parts

    def reconstruct(
        self, head: Reconstruction, maps: PixelMaps, points: Tensor, batch: LidarBatch, masks: Tensor | None
    ) -> Tensor:
        """The error of the images that the features show.

        Args:
            head: decodes features.
            maps: of the images as the teacher saw them.
            points: (M, C) quantized shared features of voxels.
            batch: with whole images.
            masks: (I, H, W) bool, or None where none is masked.
        """
        assert maps.shared is not None and maps.specific is not None
        step, (count, _, height, width) = self.reconstruction_stride, batch.images.shape
        check_stride(step, (height, width), self.masks.patch)
        size = height // step, width // step
        pixels = F.normalize(upsampled_rows(maps.shared, size), dim=1)
        if self.codebook is not None:
            pixels = self.codebook(pixels)
        if masks is None:
            pixels = pixels + points.sum() * 0.0
        else:
            x, y = (batch.pair_pixel.floor().long() // step).unbind(dim=1)
            cell = (batch.pair_image * size[0] + y) * size[1] + x
            cells = masks[:, ::step, ::step].flatten()  # patches are made of whole cells
            pixels = replace_masked(pixels, cells, points, batch.pair_voxel, cell)
        features = pixels + upsampled_rows(maps.specific, size)
        return head.loss(features.unflatten(0, (count, *size)).permute(0, 3, 1, 2), batch.images)


def pointwise(layers: Sequence[nn.Conv2d], maps: Tensor) -> list[Tensor]:
    """1×1 convolutions of one size as one matrix product: (I, C, h, w) → (I, h, w, D) each.

    On one thread PyTorch's convolution takes a slow path for them.
    """
    weight, bias = (torch.cat([getattr(layer, name) for layer in layers]) for name in ("weight", "bias"))
    rows = F.linear(maps.permute(0, 2, 3, 1), weight.flatten(1), bias)
    return [full_precision(part) for part in rows.chunk(len(layers), dim=3)]


def upsampled_rows(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (I, h, w, C) at a size (H, W), corners on corners, as rows (I · H · W, C)."""
    if maps.shape[1:3] != size:
        maps = F.interpolate(maps.permute(0, 3, 1, 2), size=size, mode="bilinear", align_corners=True)
        maps = maps.permute(0, 2, 3, 1)
    return maps.flatten(0, 2)
