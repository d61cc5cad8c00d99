"""Normals and colors behind x y z: from augmentation to encoders, checkpoints and pre-training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from torch import Generator, Tensor, nn

from crosspoint import CloudAugmentation, CrossPoint, load_pretrained
from crosspoint.datasets.pairs import ObjectPair
from crosspoint.eval.supervised.config import ScaleAndShift
from crosspoint.fields import Fields, checked_fields, turn_cloud
from crosspoint.models.dgcnn import DGCNN
from crosspoint.models.dgcnn_partseg import PartSegDGCNN
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.models.point_transformer import PointTransformer
from crosspoint.models.pointnet import PointNet
from crosspoint.renderers.meshes import sample_surface
from tests.crosspoint.toys import ToyPairs, toy_run

BOTH: Fields = ("normals", "colors")
STILL = {"scale": (1.0, 1.0), "rotation": "none", "translation": 0.0, "jitter": 0.0, "dropout": 0.0}


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def surface(count: int = 200) -> tuple[Tensor, np.ndarray]:
    """Points with normals and colors (2, N, 9) of a lopsided mesh, and the corners of the face under each (N, 3, 3)."""
    mesh = trimesh.creation.box((1.0, 2.0, 3.0))
    mesh.vertices += np.random.default_rng(0).normal(size=mesh.vertices.shape) / 5
    sample = sample_surface(mesh, count, 1)
    colors = np.random.default_rng(2).uniform(size=(count, 3))
    cloud = np.concatenate([sample.points, sample.normals, colors], axis=1).astype(np.float32)
    return torch.from_numpy(np.stack([cloud, cloud])), np.asarray(mesh.vertices)[mesh.faces][sample.faces]


def face_normals(corners: np.ndarray) -> np.ndarray:
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


@pytest.mark.parametrize(
    "augmentation",
    [
        CloudAugmentation(rotation="any", jitter=0.0, dropout=0.0),
        CloudAugmentation(rotation="up", stretch=(0.5, 2.0), jitter=0.0, dropout=0.0),
        ScaleAndShift(),
    ],
    ids=["turned", "stretched", "scaled"],
)
def test_normals_are_those_of_the_mesh_moved_alike(augmentation: CloudAugmentation | ScaleAndShift) -> None:
    before, corners = surface()
    after = augmentation(before, generator(), BOTH)
    for cloud, moved in zip(before.double().numpy(), after.double().numpy(), strict=True):
        # What the augmentation did to the points is an affine map, which least squares find again.
        known = np.concatenate([cloud[:, :3], np.ones((len(cloud), 1))], axis=1)
        map_, *_ = np.linalg.lstsq(known, moved[:, :3], rcond=None)
        assert np.allclose(known @ map_, moved[:, :3], atol=1e-4)
        expected = face_normals(corners @ map_[:3] + map_[3])
        assert np.allclose(moved[:, 3:6], expected, atol=1e-3)
        assert np.array_equal(moved[:, 6:], cloud[:, 6:])  # colors are seen from any side


def test_what_happens_to_coordinates_does_not_depend_on_fields() -> None:
    clouds, _ = surface()
    augmentation = CloudAugmentation(points=64, stretch=(0.75, 1.33), color_jitter=0.1)
    alone = augmentation(clouds[..., :3], generator(5))
    assert torch.equal(augmentation(clouds, generator(5), BOTH)[..., :3], alone)
    assert torch.equal(
        ScaleAndShift()(clouds, generator(5), BOTH)[..., :3], ScaleAndShift()(clouds[..., :3], generator(5))
    )


def test_fields_stay_with_their_points() -> None:
    clouds, _ = surface()
    number = torch.arange(200.0) / 200  # each point bears its number
    clouds[..., 3:] = number[None, :, None]
    for points, dropout in ((64, 0.0), (None, 0.9)):
        seen = CloudAugmentation(**{**STILL, "points": points, "dropout": dropout})(clouds, generator(), BOTH)
        rows = (seen[..., 6] * 200).round().long()
        assert torch.equal(seen[..., 3:], seen[..., 3:4].expand(-1, -1, 6))
        chosen = torch.stack([cloud[row, :3] for cloud, row in zip(clouds, rows, strict=True)])
        center = chosen.mean(dim=1, keepdim=True) if points else clouds[..., :3].mean(dim=1, keepdim=True)
        whole = chosen if points else clouds[..., :3]
        radius = (whole - center).norm(dim=2).amax(dim=1)[:, None, None]
        assert torch.allclose(seen[..., :3], (chosen - center) / radius, atol=1e-5)
    assert len(rows[0].unique()) < 200  # some were replaced, by point 0 with its fields


def test_colors_change_only_where_it_is_asked() -> None:
    clouds = torch.full((50, 100, 9), 0.5)
    clouds[..., :3] = torch.randn(50, 100, 3, generator=generator())
    assert torch.equal(CloudAugmentation(dropout=0.0)(clouds, generator(), BOTH)[..., 6:], clouds[..., 6:])
    noise = CloudAugmentation(dropout=0.0, color_jitter=0.1)(clouds, generator(), BOTH)[..., 6:] - 0.5
    assert abs(noise.std() - 0.1) < 2e-3 and abs(noise.mean()) < 2e-3  # of 15,000 draws
    far = CloudAugmentation(dropout=0.0, color_jitter=1.0)(clouds, generator(), BOTH)[..., 6:]
    assert far.min() == 0 and far.max() == 1


def small(network: str, fields: Fields | None) -> PointEncoder:
    made = {
        "dgcnn": lambda: DGCNN(k=8, channels=[16, 16], embedding=32, fields=fields),
        "pointnet": lambda: PointNet(embedding=32, fields=fields),
        "dgcnn_partseg": lambda: PartSegDGCNN(k=8, fields=fields),
        "point_transformer": lambda: PointTransformer(groups=12, size=8, width=24, depth=2, heads=3, fields=fields),
    }
    return made[network]()


def blind_to_fields(network: PointEncoder, other: PointEncoder) -> PointEncoder:
    """A network of fields with the weights of one without, and zeros where it would look at fields."""
    theirs = other.state_dict()
    for name, weight in network.state_dict().items():
        given = theirs[name]
        if given.shape == weight.shape:
            weight.copy_(given)
            continue
        pieces = weight.shape[1] // (len(BOTH) * 3 + 3)  # EdgeConv has two parts, of x_j − x_i and of x_i
        weight.zero_()
        weight.view(len(weight), pieces, -1)[:, :, :3] = given.view(len(weight), pieces, 3)
    return network.eval()


@pytest.mark.parametrize("kind", ["dgcnn", "pointnet", "dgcnn_partseg", "point_transformer"])
def test_an_encoder_blind_to_fields_gives_what_it_gives_without(kind: str) -> None:
    torch.manual_seed(0)
    plain = small(kind, None).eval()
    clouds, _ = surface(60)
    blind = blind_to_fields(small(kind, BOTH), plain)
    with torch.no_grad():
        assert torch.allclose(blind(clouds), plain(clouds[..., :3]), atol=1e-5)
        assert torch.allclose(blind.forward_features(clouds), plain.forward_features(clouds[..., :3]), atol=1e-5)
        pooled, levels = blind.forward_levels(clouds)
        assert torch.allclose(levels, plain.forward_levels(clouds[..., :3])[1], atol=1e-5)
        assert torch.allclose(pooled, plain(clouds[..., :3]), atol=1e-5)
    seeing = small(kind, BOTH).eval()
    other = clouds.clone()
    other[..., 6:] = 1 - other[..., 6:]
    with torch.no_grad():
        assert not torch.allclose(seeing(clouds), seeing(other), atol=1e-5)


class FieldToys(ToyPairs):
    """Toy pairs whose points have normals and colors."""

    def with_fields(self, fields: Fields) -> FieldToys:
        made = FieldToys()
        normals = torch.nn.functional.normalize(torch.from_numpy(self.points), dim=-1).numpy()
        values = {"normals": normals, "colors": np.abs(self.points) / 2}
        made.points = np.concatenate([self.points, *(values[field] for field in fields)], axis=2).astype(np.float32)
        return made

    def __getitem__(self, item: tuple[int, int]) -> ObjectPair:
        pair = super().__getitem__(item)
        assert pair.points.shape[1] in (3, 9)
        return pair


def method(fields: Fields | None) -> CrossPoint:
    encoder = DGCNN(k=5, channels=[8, 8], embedding=16, fields=fields)
    return CrossPoint(encoder, None, cross_weight=0.0, clouds=CloudAugmentation(points=48))


def test_a_run_is_told_once_and_its_checkpoint_takes_raw_clouds(tmp_path: Path) -> None:
    last = toy_run(tmp_path / "run", method=method(BOTH), dataset=FieldToys())
    pretrained = load_pretrained(last)
    assert pretrained.encoder.fields == BOTH and pretrained.encoder.config["fields"] == ["normals", "colors"]
    cloud = np.concatenate([surface(60)[0][0].numpy()[:, :3] * 40 + 7, surface(60)[0][0].numpy()[:, 3:]], axis=1)
    seen = pretrained.transform(cloud, up_axis="z")
    assert seen.shape == (1, 48, 9)
    turn = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # z up to y up
    rows = [int((seen[0, i, 6:] - torch.from_numpy(cloud[:, 6:])).abs().sum(dim=1).argmin()) for i in range(48)]
    assert torch.allclose(seen[0, :, 3:6], torch.from_numpy(cloud[rows, 3:6]).float() @ turn.T, atol=1e-6)
    assert torch.allclose(seen[0, :, :3].norm(dim=1).amax(), torch.tensor(1.0), atol=1e-5)
    assert torch.isfinite(pretrained.encoder(seen)).all()
    with pytest.raises(
        ValueError, match=r"found a cloud of shape \(60, 3\), expected \(N, 9\) .* x y z, normals, colors"
    ):
        pretrained.transform(cloud[:, :3])
    with pytest.raises(ValueError, match=r"found clouds of shape \(2, 60, 3\), expected \(N, 9\) or \(B, N, 9\)"):
        pretrained.encoder(surface(60)[0][..., :3])


def test_weights_without_fields_are_refused(tmp_path: Path) -> None:
    last = toy_run(tmp_path / "plain", method=method(None))
    with pytest.raises(
        ValueError, match=r"found an encoder of x y z in .*, expected one of x y z, normals, colors, as"
    ):
        toy_run(tmp_path / "run", method=method(BOTH), dataset=FieldToys(), weights=last)
    with pytest.raises(ValueError, match=r"found weights in .* that do not fit DGCNN"):
        load_pretrained(last, fields=["normals"])


def test_data_without_fields_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found no normals or colors in ToyPairs, expected x y z, normals, colors"):
        toy_run(tmp_path, method=method(BOTH))
    with pytest.raises(ValueError, match=r"found clouds of 3 channels, expected 6 \(x y z, normals\)"):
        CloudAugmentation()(torch.zeros(1, 8, 3), generator(), ("normals",))
    with pytest.raises(ValueError, match="found clouds of 6 channels, expected 3"):
        turn_cloud(torch.zeros(1, 8, 6), torch.eye(3))


def test_fields_have_names_and_an_order() -> None:
    assert checked_fields(None) == () and checked_fields(["normals", "colors"]) == BOTH
    for wrong in (["colors", "normals"], ["normals", "normals"], ["intensity"]):
        with pytest.raises(ValueError, match=r"found the fields .*, expected some of normals, colors"):
            DGCNN(fields=wrong)
    assert isinstance(PointNet(fields=["colors"]), nn.Module)
