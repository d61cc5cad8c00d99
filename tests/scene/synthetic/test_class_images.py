from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from crosspoint.cli.main import main
from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.datasets.validate import check_scenes
from crosspoint.scene.segmentation_scores import confusion_matrix
from crosspoint.scene.synthetic.asset import CLASSES
from crosspoint.scene.synthetic.class_folder import agreement
from crosspoint.scene.synthetic.class_images import ClassImages
from crosspoint.scene.synthetic.dataset import SyntheticScenes
from crosspoint.scene.synthetic.imperfect import Imperfection, imperfect
from crosspoint.scene.synthetic.lidar import Lidar
from crosspoint.scene.synthetic.views import moved, photograph
from crosspoint.scene.synthetic.writing import write_scenes

SMALL = {"frames": 2, "views": 2, "size": (48, 160), "lidar": Lidar(beams=16, columns=360)}
FOLDERS = ("class_images", "imperfect_labels")


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("written")
    assert write_scenes(root, train=1, val=1, class_images=True, imperfect=7, jobs=2, **SMALL) == 4
    return root


def test_pixels_have_the_class_of_the_points_that_they_see() -> None:
    assert SyntheticScenes("val", 1).map_names == frozenset()
    scenes = SyntheticScenes("val", 1, 2, class_images=True)
    assert (scenes.map_names, scenes.weak_classes) == ({"weak_labels"}, list(CLASSES))
    frame, world = pair_points(scenes[1]), scenes.world(0)
    _, fragments = photograph(world, moved(scenes.cameras, world.poses[1])[0])
    weak, (x, y) = frame.pixel_maps["weak_labels"][0], frame.pair_pixel.long().unbind(dim=1)
    same = weak[y, x] - 1 == frame.point_fields["label"][frame.pair_point]
    depth = scenes.cameras.project(frame.points)[1][0, frame.pair_point]
    met = (fragments.depth[0, y, x] - depth).abs() < 0.02  # the pixel sees this very point
    assert int(met.sum()) > 1000 and same[met].float().mean() > 0.995
    sky = fragments.face[0] < 0
    assert sky.any() and torch.equal(weak == 0, sky)


def test_written_class_images_are_those_made_on_the_fly(written: Path) -> None:
    for folder, asked in zip(FOLDERS, ({"class_images": True}, {"imperfect": 7}), strict=True):
        made = SyntheticScenes("train", 1, **asked, **SMALL)
        read = FolderScenes(written, "train", weak_labels=written / folder)
        assert (read.map_names, read.weak_classes) == (made.map_names, made.weak_classes)
        check_scenes(read, pairs=False)
        for index in range(2):
            ours, theirs = read[index], made[index]
            assert ours.pixel_maps["weak_labels"].shape == (2, 48, 160)
            assert torch.equal(ours.pixel_maps["weak_labels"], theirs.pixel_maps["weak_labels"])
            assert torch.equal(ours.images, theirs.images) and torch.equal(ours.points, theirs.points)


def test_mistakes_depend_on_seed_frame_and_camera_alone(written: Path) -> None:
    truth, seen = (
        FolderScenes(written, "train", weak_labels=written / folder)[1].pixel_maps["weak_labels"].numpy()
        for folder in FOLDERS
    )
    seed = [7, 0, 0, 0, 1, 1]  # of the mistakes, of the world; split, street, frame, camera
    assert np.array_equal(seen[1], imperfect(truth[1], seed))
    image, frames = truth[:1], [[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1], [1, 0, 0, 1]]
    drawn = [ClassImages(7).of(image, frame) for frame in frames]
    drawn += [ClassImages(8).of(image, frames[0]), ClassImages(7).of(np.concatenate([image, image]), frames[0])[1:]]
    assert np.array_equal(drawn[0], seen[:1])
    assert all((one != other).any() for place, one in enumerate(drawn) for other in drawn[:place])


def test_class_images_are_added_later_and_frames_stay(written: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path, train=1, val=1, jobs=1, **SMALL)
    before = contents(tmp_path)
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in before if name.startswith(("points", "images"))}
    assert write_scenes(tmp_path, train=1, val=1, class_images=True, imperfect=7, jobs=1, **SMALL) == 0
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in times} == times
    assert after == contents(written)  # with other jobs, and at once
    assert {name.split("/")[0] for name in after.keys() - before.keys()} == {*FOLDERS}
    shutil.rmtree(tmp_path / "class_images")
    assert write_scenes(tmp_path, train=1, val=1, jobs=1, **SMALL) == 0
    assert not (tmp_path / "class_images").exists()


def test_what_is_missing_is_written_and_nothing_else(written: Path, caplog: pytest.LogCaptureFixture) -> None:
    before, lost = contents(written), written / "imperfect_labels/images/camera_1/val_00000_0001.png"
    kept = written / "imperfect_labels/images/camera_0/val_00000_0000.png"
    lost.unlink()
    time = kept.stat().st_mtime_ns
    with caplog.at_level(logging.INFO, logger="crosspoint"):
        assert write_scenes(written, train=1, val=1, class_images=True, imperfect=7, jobs=1, **SMALL) == 0
    assert contents(written) == before and kept.stat().st_mtime_ns == time
    assert f"0 class images → {written / 'class_images'}" in caplog.text
    assert f"2 class images → {written / 'imperfect_labels'}" in caplog.text  # both of the frame
    with pytest.raises(ValueError, match=r'found class images made with {"seed": 7} in .*, expected {"seed": 8}: move'):
        write_scenes(written, train=1, val=1, imperfect=8, jobs=1, **SMALL)
    weak = Imperfection(shift=0.5)
    with pytest.raises(ValueError, match=r'made with {"shift": 1.3} in .*imperfect_labels, expected {"shift": 0.5}'):
        write_scenes(written, train=1, val=1, imperfect=7, imperfection=weak, jobs=1, **SMALL)
    assert contents(written) == before


def test_defaults_err_as_much_as_image_models_on_other_streets() -> None:
    """Roughly: a few streets differ more than the 20 of which the figures in the docstring tell."""
    confusion = torch.zeros(11, 11, dtype=torch.int64)
    scenes = SyntheticScenes("val", 2, 2, views=6)
    for index in (0, 2):
        truth, seen = (torch.from_numpy(maps) for maps in scenes.draw_classes(index, [ClassImages(), ClassImages(0)]))
        confusion += confusion_matrix(seen.flatten(), truth.flatten(), 11)
    scores = agreement(confusion.numpy())
    assert 84 < scores["pixel_accuracy"] < 95 and 55 < scores["miou"] < 80 and 5 < scores["unsaid"] < 13


def test_agreement_by_hand() -> None:
    confusion = np.array([[5, 1, 0], [2, 6, 2], [1, 0, 8]])  # 1 says nothing of 2 of 10, 2 of 1 of 9
    found = agreement(confusion)
    expected = {"unsaid": 100 * 3 / 19, "pixel_accuracy": 100 * 14 / 16, "miou": 50 * (6 / 8 + 8 / 10)}
    assert found == pytest.approx(expected)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="found class_images and imperfect 0, expected one of them"):
        SyntheticScenes(class_images=True, imperfect=0)
    with pytest.raises(ValueError, match="found the seed -1 of imperfect labels, expected at least 0"):
        SyntheticScenes(imperfect=-1)


def test_the_command(tmp_path: Path) -> None:
    words = ["synthesize", str(tmp_path), "--train", "0", "--val", "1", "--frames", "1", "--jobs", "1"]
    assert main([*words, "--class_images", "true"]) == 0
    assert main([*words, "--imperfect", "3"]) == 0
    scenes = [FolderScenes(tmp_path, weak_labels=tmp_path / folder)[0].pixel_maps["weak_labels"] for folder in FOLDERS]
    assert 0.05 < (scenes[0] != scenes[1]).float().mean() < 0.4
    assert main([*words, "--imperfect", "4"]) == 2
