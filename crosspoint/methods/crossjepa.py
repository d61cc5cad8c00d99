"""CrossJEPA: predict what a frozen image network makes of each view of an object, from its cloud and the camera.

CrossJEPA, 2025, https://arxiv.org/abs/2511.18424, by an author of CrossPoint. Nothing is contrasted or masked, and no
image is decoded in training: the embeddings of all views are made once (`crosspoint embed-views`). There is no public
code, and which distance the paper takes is not known to us: two usual ones are here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from crosspoint.datasets.embedded.pairs import EmbeddedPair, EmbeddedPairs, check_embeddings, stack_embedded
from crosspoint.datasets.embedded.view_facts import CAMERA, COLORS, turn_cameras
from crosspoint.datasets.finite import FinitePairs
from crosspoint.datasets.pairs import PairDataset
from crosspoint.fields import turn_cloud
from crosspoint.losses import feature_distance
from crosspoint.methods.object_method import ObjectMethod
from crosspoint.models.point_encoder import PointEncoder, feature_dim
from crosspoint.models.view_predictor import ViewPredictor
from crosspoint.ops.precision import full_precision
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.ranges import CHANNELS, in_range
from crosspoint.transforms import CloudAugmentation, Rotation, rotations

Comparison = Literal["cosine", "smooth_l1"]

# A camera says where it stands around the object as it is: the object's own pose must be kept.
CLOUDS = CloudAugmentation(scale=(0.8, 1.25), rotation="none", translation=0.1, dropout=0.5)


class CrossJEPA(ObjectMethod):
    """CrossJEPA: `encoder` is what users keep, the predictor serves training.

    L = 1/(B V) Σ d(g(f(P), c, h), e) over the V views of each cloud P, with the embedding e of a view, its camera c and
    its shares of colors h; f is the encoder, g the predictor.

    Args:
        encoder: maps clouds (B, N, 3) to features (B, encoder.feature_dim).
        image_encoder: none: embeddings are read.
        embedding: numbers of an embedding, as the teacher of `crosspoint embed-views` gives them.
        hidden: features between the layers of the predictor.
        layers: number of layers of the predictor.
        distance: "cosine", 1 − cos; or "smooth_l1", number by number.
        standardize: bring each number of an embedding to mean 0 and deviation 1 over the set first, so that none counts
            more because it is larger, and what all views share counts nothing.
        camera: tell the predictor where the camera of a view stands.
        colors: tell it the colors of a view, which no cloud knows.
        rotation: turn each cloud, and its cameras with it: none, about the up axis, or any.
        clouds: augmentation of clouds; its own rotation must be none, as cameras would not follow.

    Raises:
        ValueError: if a number is out of range, an image encoder is given, or the augmentation turns clouds.
    """

    default_image_encoder: ClassVar[str | None] = None
    min_batch: ClassVar[int] = 2  # BatchNorm of the encoders
    recipe: ClassVar[JsonObject] = {
        "epochs": 100,
        "batch_size": 32,
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "weight_decay": 0.05,
    }

    def __init__(
        self,
        encoder: PointEncoder,
        image_encoder: None = None,
        *,
        embedding: int = 1280,
        hidden: int = 1024,
        layers: int = 3,
        distance: Comparison = "cosine",
        standardize: bool = True,
        camera: bool = True,
        colors: bool = True,
        rotation: Rotation = "none",
        clouds: CloudAugmentation = CLOUDS,
    ) -> None:
        super().__init__()
        if image_encoder is not None:
            raise ValueError("found an image encoder for CrossJEPA, expected none: it reads what embed-views wrote")
        in_range("embedding", embedding, *CHANNELS)
        in_range("hidden", hidden, *CHANNELS)
        in_range("layers", layers, 1, 100)
        if distance not in get_args(Comparison):
            raise ValueError(f"found the distance {distance!r}, expected one of {', '.join(get_args(Comparison))}")
        if clouds.rotation != "none":
            raise ValueError(
                f"found clouds.rotation {clouds.rotation}, expected none, as cameras would not follow: set rotation of "
                "the method, which turns both"
            )
        self.encoder = encoder
        self.embedding = embedding
        facts = CAMERA * camera + COLORS * colors
        self.predictor = ViewPredictor(feature_dim(encoder), facts, embedding, hidden=hidden, layers=layers)
        self.distance = distance
        self.camera, self.colors = camera, colors
        self.rotation = rotation
        self.clouds = clouds
        self.standardize = standardize
        # Of the set, for checkpoints: a predictor is of no use without them.
        self.register_buffer("mean", torch.zeros(embedding))
        self.register_buffer("deviation", torch.ones(embedding))

    mean: Tensor
    deviation: Tensor

    @classmethod
    def uses_images(cls, settings: JsonObject) -> bool:
        """Never."""
        return False

    def training_samples(self, dataset: Any, *, prepare: bool = True) -> PairDataset:
        """The pairs as they are, each cloud checked; their mean embedding is taken here, once.

        Raises:
            ValueError: if they are no pairs with embeddings, or embeddings are of another length.
        """
        if not isinstance(dataset, EmbeddedPairs):
            raise ValueError(
                f"found a {type(dataset).__name__} for CrossJEPA, expected pairs with embeddings: run crosspoint "
                "embed-views on the rendered set, and take data.dataset embedded"
            )
        check_embeddings(dataset, self.embedding, "method.embedding")
        if self.standardize:
            mean, deviation = dataset.stored.moments()
            # A number that is the same for all views says nothing; it becomes 0, not a division by nothing.
            deviation[deviation < 1e-6] = torch.inf
            self.mean.copy_(mean)
            self.deviation.copy_(deviation)
        return FinitePairs(dataset)

    def collate(self, samples: Sequence[Any]) -> Any:
        """Pairs → a batch."""
        return stack_embedded(samples)

    def points_per_cloud(self, dataset: Any) -> int:
        """Those that the augmentation leaves."""
        return self.clouds.points or super().points_per_cloud(dataset)

    def training_step(self, batch: EmbeddedPair, generator: Generator) -> dict[str, Tensor]:
        """One batch of pairs → "loss", a scalar.

        Args:
            batch: points (B, N, 3), embeddings (B, V, D), cameras (B, V, 16), colors (B, V, 64).
            generator: on the device of the batch; augmentations draw from it alone.
        """
        points, cameras = self.augmented(batch, generator)
        predicted = self.predict(self.encoder(points), cameras, batch.colors)
        return {"loss": self.compare(predicted.flatten(0, 1), self.targets(batch.embeddings).flatten(0, 1))}

    def predict(self, features: Tensor, cameras: Tensor, colors: Tensor) -> Tensor:
        """Features of clouds (B, F), cameras (B, V, 16) and colors (B, V, 64) → predictions (B, V, D), float32."""
        facts = [facts for facts, known in ((cameras, self.camera), (colors, self.colors)) if known]
        known = torch.cat([cameras[..., :0], *facts], dim=-1)
        return full_precision(self.predictor(features, known))

    def augmented(self, batch: EmbeddedPair, generator: Generator) -> tuple[Tensor, Tensor]:
        """Augmented clouds (B, N', 3), and the facts of the cameras (B, V, 16) that were turned with them."""
        points, cameras = batch.points, batch.cameras
        with torch.autocast(points.device.type, enabled=False):  # half precision would round the coordinates
            if self.rotation != "none":
                turn = rotations(self.rotation, points, generator)
                points, cameras = turn_cloud(points, turn, self.encoder.fields), turn_cameras(cameras, turn)
            return self.clouds(points, generator, self.encoder.fields), cameras

    def targets(self, embeddings: Tensor) -> Tensor:
        """Embeddings (…, D) as they are to be predicted."""
        return (embeddings - self.mean) / self.deviation

    def compare(self, predicted: Tensor, targets: Tensor) -> Tensor:
        """The distance of predictions (P, D) from what they should be, a scalar."""
        if self.distance == "cosine":
            return feature_distance(predicted, targets, distance="cosine")
        return F.smooth_l1_loss(predicted, targets)

    def networks_to_compile(self) -> list[nn.Module]:
        """The point encoder."""
        return [self.encoder]
