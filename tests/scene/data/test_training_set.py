import joblib
import pytest
import torch

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.data.superpixels import SuperpixelCache, compute_superpixels
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.methods import PPKT, SLidR
from tests.scene.orthonormal import identity_method

SIZE = (48, 64)
QUARTERS = torch.arange(48)[:, None] // 24 * 2 + torch.arange(64) // 32 - 1  # −1, 0, 1, 2
WHOLE = SceneAugmentation(size=SIZE, rotate=False, flip_points=0.0, cuboid=0.0, crop=None, flip_images=0.0)


class Walls(LidarDataset):
    """A wall before a camera; the images of the frames from `first` on bring a map of regions."""

    def __init__(self, first, declared):
        self.name, self.first = "walls", first
        self.map_names = frozenset({"superpixels"}) if declared else frozenset()

    def __len__(self):
        return 3

    def __getitem__(self, index):
        generator = torch.manual_seed(index)
        points = torch.tensor([4.0, -3, -2]) + torch.tensor([2.0, 6, 4]) * torch.rand(200, 3, generator=generator)
        images = torch.randint(256, (1, 3, *SIZE), dtype=torch.uint8, generator=generator)
        K, R = [[[40.0, 0, 32], [0, 40, 24], [0, 0, 1]]], [[[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]]
        maps = {"superpixels": QUARTERS[None] + index} if index >= self.first else {}
        cameras = Cameras(torch.tensor(K), torch.tensor(R), torch.zeros(1, 3), SIZE)
        return LidarSample(f"wall {index}", points, {"intensity": points[:, 0] / 6}, images, maps, cameras)


def made_method(folder, kind=SLidR):
    options = {"superpixels_cache": folder} if kind is SLidR else {}
    return identity_method(kind, 4, augmentation=WHOLE, min_depth=0.5, **options)


@pytest.fixture
def divided(monkeypatch):
    """The images that were divided, each into one region of number 7."""
    images = []

    def divide(image, config):
        images.append(image)
        return torch.full(image.shape[1:], 7)

    monkeypatch.setattr("crosspoint.scene.data.superpixels.superpixels", divide)
    return images


@pytest.mark.parametrize("prepare", [True, False])
def test_a_dataset_that_brings_its_regions_is_not_divided(tmp_path, divided, monkeypatch, prepare):
    told = "crosspoint.scene.methods.scene_method.compute_superpixels"
    monkeypatch.setattr(told, lambda *_: pytest.fail("looked for superpixels that are there"))
    samples = made_method(tmp_path).training_samples(Walls(0, declared=True), prepare=prepare)
    for index in range(3):
        assert torch.equal(samples[index, 5].pixel_maps["superpixels"][0], QUARTERS + index)
    assert samples.superpixels is None and not divided and not [*tmp_path.iterdir()]


def test_only_frames_without_regions_are_divided(tmp_path, divided):
    dataset, cache = Walls(1, declared=False), SuperpixelCache(tmp_path)
    assert compute_superpixels(dataset, cache, jobs=1) == 1
    assert [*tmp_path.iterdir()] == [cache.path(dataset[0].images[0])]
    samples = made_method(tmp_path).training_samples(dataset, prepare=False)
    assert bool((samples[0, 5].pixel_maps["superpixels"] == 7).all())
    for index in (1, 2):
        assert torch.equal(samples[index, 5].pixel_maps["superpixels"][0], QUARTERS + index)
    assert len(divided) == 1


def test_a_dataset_without_regions_is_divided_before_training(tmp_path, divided):
    with joblib.parallel_config(backend="threading"):  # processes would not see the fixture
        samples = made_method(tmp_path).training_samples(Walls(3, declared=False))
    assert len(divided) == 3 == len([*tmp_path.iterdir()])
    assert bool((samples[2, 5].pixel_maps["superpixels"] == 7).all())
    assert len(divided) == 3


def test_a_method_without_regions_divides_nothing(tmp_path, divided):
    samples = made_method(tmp_path, PPKT).training_samples(Walls(3, declared=False))
    assert samples[0, 5].pixel_maps == {} and not divided


@pytest.mark.parametrize(("field", "told"), [("points", "points"), ("intensity", "intensities")])
def test_a_frame_with_a_number_that_is_none_is_named(tmp_path, field, told):
    class Broken(Walls):
        broken = False  # a look at some frames, before a run, does not see all

        def __getitem__(self, index):
            frame = super().__getitem__(index)
            if self.broken and index == 1 and field == "points":
                frame.points[4, 2] = float("nan")
            elif self.broken and index == 1:
                frame.point_fields["intensity"][4] = float("inf")
            return frame

    dataset = Broken(3, declared=False)
    samples = made_method(tmp_path, PPKT).training_samples(dataset)
    dataset.broken = True
    samples[0, 5]
    number = "nan" if field == "points" else "inf"
    with pytest.raises(ValueError, match=rf"found {number} in 1 of \d+ {told} of the frame .*, expected finite"):
        samples[1, 5]
