import hashlib
import json
import os
import pickle
import sys
from dataclasses import replace

import joblib
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import label

from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.data.superpixels import SuperpixelCache, SuperpixelConfig, compute_superpixels, superpixels

SMALL = SuperpixelConfig(segments=20, sigma=1.0)


def drawn_image(seed=0, size=(60, 90)):
    """Smooth noise."""
    noise = torch.rand(1, 3, size[0] // 10, size[1] // 10, generator=torch.manual_seed(seed))
    return (255 * torch.nn.functional.interpolate(noise, size=size, mode="bicubic")[0].clamp(0, 1)).byte()


class Frames:
    """As much of a dataset as regions need."""

    name = "frames"
    classes: list[str] = []  # noqa: RUF012

    def __init__(self, count):
        self.images = [torch.stack([drawn_image(2 * i), drawn_image(2 * i + 1)]) for i in range(count)]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return LidarSample(f"frame {index}", torch.zeros(0, 3), images=self.images[index])


def test_superpixels_can_be_scikit_images():
    segmentation = pytest.importorskip("skimage.segmentation")
    image = drawn_image()
    expected = segmentation.slic(
        image.permute(1, 2, 0).numpy(), n_segments=30, compactness=4.0, sigma=2.0, start_label=0
    )
    found = superpixels(image, SuperpixelConfig(30, 4.0, 2.0, method="scikit_image"))
    assert found.dtype == torch.int64
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("method", ["reduced", "scikit_image"])
def test_superpixels_are_connected_pieces_that_keep_to_colors(method):
    pytest.importorskip("skimage")
    image = torch.zeros(3, 60, 90, dtype=torch.uint8)
    image[0, :, 37:] = 255
    image[1, 22:] = 255
    regions = superpixels(image, SuperpixelConfig(30, sigma=0.0, method=method)).numpy()
    assert sorted(set(regions.flat)) == list(range(regions.max() + 1)) and regions.max() > 8
    for number in range(regions.max() + 1):
        assert label(regions == number)[1] == 1
        assert len(set(map(tuple, image.permute(1, 2, 0).numpy()[regions == number]))) == 1


def test_a_second_access_reads_the_file_of_the_first(tmp_path, monkeypatch):
    pytest.importorskip("skimage")
    images = torch.stack([drawn_image(0), drawn_image(1)])
    cache = SuperpixelCache(tmp_path / "regions", SMALL)
    first = cache(images)
    assert first.shape == (2, 60, 90) and first.dtype == torch.int64
    assert sorted((tmp_path / "regions").iterdir()) == sorted(cache.path(image) for image in images)
    monkeypatch.setattr("crosspoint.scene.data.superpixels.superpixels", lambda *_: pytest.fail("computed again"))
    torch.testing.assert_close(SuperpixelCache(tmp_path / "regions", SMALL)(images), first, rtol=0, atol=0)


def test_numbers_beyond_a_byte_survive(tmp_path):
    pytest.importorskip("skimage")
    cache = SuperpixelCache(tmp_path, SuperpixelConfig(segments=800, compactness=30, sigma=0))
    first = cache(drawn_image()[None])
    assert first.max() > 300
    assert torch.equal(cache(drawn_image()[None]), first)


def test_another_image_size_or_setting_has_another_file(tmp_path):
    image = drawn_image()
    other = image.clone()
    other[2, 59, 89] ^= 1
    caches = [SuperpixelCache(tmp_path, c) for c in (SMALL, *(replace(SMALL, **change) for change in CHANGES))]
    paths = {cache.path(image) for cache in caches} | {caches[0].path(other), caches[0].path(image.reshape(3, 90, 60))}
    assert len(paths) == len(CHANGES) + 3
    assert caches[0].path(image.flip(2).flip(2)) == caches[0].path(image)
    assert caches[0].path(image.permute(1, 2, 0).contiguous().permute(2, 0, 1)) == caches[0].path(image)


def test_files_from_before_there_was_a_choice_are_not_taken(tmp_path):
    """They are scikit-image's regions, under the digest of the other settings alone."""
    image = drawn_image()
    settings = {"segments": 20, "compactness": 6.0, "sigma": 1.0, "size": [60, 90]}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode() + image.numpy().tobytes())
    before = tmp_path / f"{digest.hexdigest()[:32]}.png"
    for method in ("reduced", "scikit_image"):
        assert before != SuperpixelCache(tmp_path, replace(SMALL, method=method)).path(image)


CHANGES = [{"segments": 21}, {"compactness": 7.0}, {"sigma": 2.0}, {"method": "scikit_image"}]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_dataset_is_done_once_by_any_number_of_workers(tmp_path, jobs):
    pytest.importorskip("skimage")
    dataset, cache = Frames(3), SuperpixelCache(tmp_path, SMALL)
    with joblib.parallel_config(backend="threading"):  # processes would import torch for seconds
        assert compute_superpixels(dataset, cache, jobs) == 6
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(files) == {cache.path(image) for images in dataset.images for image in images}
    assert compute_superpixels(*pickle.loads(pickle.dumps((dataset, cache))), 1) == 6
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_a_sample_gets_the_superpixels_of_its_images(tmp_path):
    image, cache = drawn_image(), SuperpixelCache(tmp_path, SMALL)
    regions = np.arange(60 * 90, dtype=np.uint16).reshape(60, 90)
    Image.fromarray(regions).save(cache.path(image))  # so that scikit-image is not asked
    other = torch.ones(1, 60, 90)
    sample = LidarSample("empty", torch.zeros(0, 3), images=image[None], pixel_maps={"other": other})
    maps = cache.add_to(sample).pixel_maps
    np.testing.assert_array_equal(maps["superpixels"][0].numpy(), regions)
    assert maps["other"] is other and list(sample.pixel_maps) == ["other"]
    assert cache(image[None][:0]).shape == (0, 60, 90)


def test_damaged_files_are_named(tmp_path):
    image, cache = drawn_image(), SuperpixelCache(tmp_path, SMALL)
    path = cache.path(image)
    path.write_bytes(b"\x89PNG and no more")
    with pytest.raises(ValueError, match=f"found {path} unreadable .*: delete it"):
        cache(image[None])
    Image.fromarray(np.zeros((30, 30), np.uint8)).save(path)
    with pytest.raises(ValueError, match=r"found regions of size \(30, 30\).*expected \(60, 90\): delete it"):
        cache(image[None])
    Image.fromarray(np.random.default_rng(0).integers(150, size=(60, 90)).astype(np.uint8)).save(path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(ValueError, match="unreadable"):
        cache(image[None])


@pytest.mark.parametrize("method", ["reduced", "scikit_image"])
def test_what_is_missing_is_told(tmp_path, monkeypatch, method):
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(ImportError, match="expected it for superpixels: pip install scikit-image"):
        SuperpixelCache(tmp_path, SuperpixelConfig(method=method))(drawn_image()[None])


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="found the method 'slico', expected one of: reduced, scikit_image"):
        SuperpixelConfig(method="slico")


@pytest.mark.parametrize("wrong", [{"segments": 1}, {"segments": 40_000}, {"compactness": 0.0}, {"sigma": -1.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="expected 2 to 32,768 segments"):
        SuperpixelConfig(**wrong)
