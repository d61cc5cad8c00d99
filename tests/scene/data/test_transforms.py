import math
from dataclasses import fields, replace

import pytest
import torch

from crosspoint.scene.data.correspondences import pair_colors
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.data.transforms import (
    SceneAugmentation,
    crop_images,
    drop_cuboid,
    flip_cloud,
    flip_images,
    resize_images,
    rotate_cloud,
)

HEIGHT, WIDTH = 300, 500
POINTS = 4000
COUNTS = (3000, 1200, 300, 1, 0)  # pairs of each view


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def smooth_images(views, height, width, levels=255.0):
    """Red tells x, green y and blue their sum, from 0 to `levels` across the image."""
    x = ((torch.arange(width) + 0.5) / width).expand(height, width)
    y = ((torch.arange(height) + 0.5) / height)[:, None].expand(height, width)
    image = torch.stack([x, y, (x + y) / 2]) * levels
    return image.round().to(torch.uint8).repeat(views, 1, 1, 1)


def smooth_colors(pixels, height, width, levels=255.0):
    x, y = (pixels / pixels.new_tensor([width, height])).unbind(dim=1)
    return torch.stack([x, y, (x + y) / 2], dim=1) * levels


def noise_images(views, height=HEIGHT, width=WIDTH):
    return torch.randint(256, (views, 3, height, width), dtype=torch.uint8, generator=seeded(9))


def make_pair(images, counts=COUNTS, points=POINTS, seed=0):
    """Points with their own row as a field, with a random pixel (never at a pixel's edge) in some views."""
    generator = seeded(seed)
    cloud = torch.randn(points, 3, generator=generator) * torch.tensor([20.0, 15.0, 2.0])
    rows = torch.cat([torch.randperm(points, generator=generator)[:count] for count in counts])
    views = torch.cat([torch.full((count,), view) for view, count in enumerate(counts)])
    size = torch.tensor([images.shape[3], images.shape[2]])
    whole = (torch.rand(len(rows), 2, generator=generator) * size).floor()
    pixels = whole + 0.02 + 0.96 * torch.rand(len(rows), 2, generator=generator)
    return LidarSample(
        "made",
        cloud,
        {"row": torch.arange(points), "label": torch.arange(points) % 7 - 1},
        images,
        pair_point=rows,
        pair_view=views,
        pair_pixel=pixels,
    )


def origins(pair, before):
    """Which pair of `before` each pair comes from, by the row that its point carries and by its view."""
    views = len(before.images)
    known, order = (before.pair_point * views + before.pair_view).sort()
    own = pair.point_fields["row"][pair.pair_point] * views + pair.pair_view
    found = torch.searchsorted(known, own)
    assert torch.equal(known[found], own)
    return order[found]


def per_view(pair):
    return torch.bincount(pair.pair_view, minlength=len(pair.images))


def tensors(sample):
    """All tensors of a sample by name; of its fields and maps, too."""
    own = {field.name: getattr(sample, field.name) for field in fields(sample)}
    found = {name: value for name, value in own.items() if isinstance(value, torch.Tensor)}
    return found | dict(sample.point_fields) | dict(sample.pixel_maps)


def same(a, b):
    ours, theirs = tensors(a), tensors(b)
    return ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.fixture(scope="module")
def smooth():
    return make_pair(smooth_images(len(COUNTS), HEIGHT, WIDTH))


@pytest.mark.parametrize("seed", range(40))
def test_after_any_chain_pairs_show_what_they_showed(smooth, seed):
    before, kept = smooth, {name: tensor.clone() for name, tensor in tensors(smooth).items()}
    pair = SceneAugmentation()(smooth, seeded(seed))
    for name, tensor in tensors(smooth).items():
        assert torch.equal(tensor, kept[name]), "what is given must stay as it was"
    assert pair.images.shape == (len(COUNTS), 3, 224, 416) and pair.images.dtype == torch.uint8
    assert pair.pair_pixel.dtype == torch.float32 and pair.pair_point.dtype == torch.int64
    assert len(pair.pair_point) == len(pair.pair_view) == len(pair.pair_pixel) > 1000
    assert pair.pair_pixel.min() >= 0 and (pair.pair_pixel < torch.tensor([416, 224])).all()
    expected = smooth_colors(before.pair_pixel[origins(pair, before)], HEIGHT, WIDTH)
    torch.testing.assert_close(pair_colors(pair).float(), expected, rtol=0, atol=2.0)
    rows = pair.point_fields["row"]
    assert torch.equal(pair.point_fields["label"], before.point_fields["label"][rows])
    torch.testing.assert_close(pair.points[:, :3].norm(dim=1), before.points[rows, :3].norm(dim=1))
    torch.testing.assert_close(pair.points[:, 2], before.points[rows, 2])


def test_the_same_seed_gives_the_same_and_another_seed_another(smooth):
    augmentation = SceneAugmentation()
    assert same(augmentation(smooth, seeded(3)), augmentation(smooth, seeded(3)))
    first, second = augmentation(smooth, seeded(3)), augmentation(smooth, seeded(4))
    assert not torch.equal(first.points, second.points) and not torch.equal(first.images, second.images)


def test_turns_keep_angles_between_points_and_cover_the_circle(smooth):
    angles = []
    before = torch.atan2(smooth.points[:, 1], smooth.points[:, 0])
    for seed in range(300):
        turned = rotate_cloud(smooth, seeded(seed)).points
        difference = (torch.atan2(turned[:, 1], turned[:, 0]) - before) % (2 * math.pi)
        torch.testing.assert_close(difference.cos(), difference[0].cos().expand(POINTS), rtol=0, atol=1e-4)
        angles.append(float(difference[0]))
    assert torch.histc(torch.tensor(angles), 6, 0, 2 * math.pi).min() > 25  # of 50 each


def test_flips_of_the_cloud_change_signs_of_x_and_y_alone(smooth):
    signs = {tuple((flip_cloud(smooth, seeded(s)).points / smooth.points)[5].tolist()) for s in range(40)}
    assert signs == {(x, y, 1.0) for x in (1.0, -1.0) for y in (1.0, -1.0)}
    assert same(flip_cloud(smooth, seeded(0), 0.0), smooth)
    turned = flip_cloud(smooth, seeded(0), 1.0).points
    assert torch.equal(turned, smooth.points * torch.tensor([-1.0, -1.0, 1.0]))


@pytest.mark.parametrize("seed", range(30))
def test_a_cuboid_leaves_every_other_point_and_every_other_pair(smooth, seed):
    pair = drop_cuboid(smooth, seeded(seed))
    rows = pair.point_fields["row"]
    gone = torch.ones(POINTS, dtype=torch.bool)
    gone[rows] = False
    assert torch.equal(pair.points, smooth.points[rows]) and torch.equal(
        pair.point_fields["label"], smooth.point_fields["label"][rows]
    )
    kept_pairs = (~gone[smooth.pair_point]).nonzero()[:, 0]
    assert torch.equal(origins(pair, smooth), kept_pairs)
    assert torch.equal(pair.pair_pixel, smooth.pair_pixel[kept_pairs])
    if gone.any():
        lost, left = smooth.points[gone, :3], smooth.points[~gone, :3]
        low, high = lost.amin(dim=0), lost.amax(dim=0)
        assert not ((left > low) & (left < high)).all(dim=1).any()
        extent = smooth.points[:, :3].amax(dim=0) - smooth.points[:, :3].amin(dim=0)
        assert (high - low <= 0.2 * extent).all()


def test_cuboids_are_cut_although_some_views_have_few_pairs(smooth):
    sizes = [POINTS - len(drop_cuboid(smooth, seeded(seed)).points) for seed in range(60)]
    assert sum(size > 0 for size in sizes) > 50
    assert same(drop_cuboid(smooth, seeded(0), 0.0), smooth)


@pytest.mark.parametrize(("count", "allowed"), [(1200, 1024), (1030, 1024), (1000, 750), (40, 30), (1, 1)])
def test_cuboids_that_cost_a_view_too_much_are_refused(count, allowed):
    """All points but the far ones sit close together, so that a cuboid takes many of one view's pairs at once."""
    pair = make_pair(noise_images(1, 20, 30), (count,), 1200)
    points = pair.points.clone()
    points[:, :3] = torch.rand(1200, 3, generator=seeded(1)) * 5
    points[:2, :3] = torch.tensor([[0.0, 0, 0], [50.0, 50, 50]])
    pair = replace(pair, points=points)
    after = [drop_cuboid(pair, seeded(seed)) for seed in range(200)]
    assert min(int(per_view(result)[0]) for result in after) >= allowed
    changed = sum(len(result.points) < 1200 for result in after)
    assert 0 < changed < 200, "some of these cuboids must be cut, and some refused"


def test_a_view_that_loses_all_its_pairs_is_noticed():
    """Without the rule for small views nothing would protect this one."""
    pair = make_pair(noise_images(2, 20, 30), (1100, 4), 1200)
    near = pair.pair_point[pair.pair_view == 1]
    points = pair.points.clone()
    points[near, :3] = points[near[:1], :3] + torch.rand(4, 3, generator=seeded(2)) * 1e-3
    pair = replace(pair, points=points)
    assert all(per_view(drop_cuboid(pair, seeded(seed)))[1] >= 3 for seed in range(300))


def test_a_cloud_without_points_or_extent_is_left_alone():
    empty = make_pair(noise_images(1, 20, 30), (0,), 0)
    assert same(drop_cuboid(empty, seeded(0)), empty)
    single = make_pair(noise_images(1, 20, 30), (1,), 1)
    assert same(drop_cuboid(single, seeded(0)), single)


def test_crops_without_resizing_show_the_very_colors():
    before = make_pair(noise_images(len(COUNTS)))
    # a quarter of the area at the image's own aspect is as large as what is asked for
    for seed in range(20):
        pair = crop_images(before, seeded(seed), (150, 250), (0.25, 0.25), (5 / 3, 5 / 3), pairs=100, share=0.1)
        assert torch.equal(pair_colors(pair), pair_colors(before)[origins(pair, before)])


def test_flips_of_images_show_the_very_colors_and_undo_themselves():
    before = make_pair(noise_images(len(COUNTS)))
    for seed in range(10):
        pair = flip_images(before, seeded(seed))
        assert torch.equal(pair_colors(pair), pair_colors(before))
        assert torch.equal(pair.pair_pixel[:, 1], before.pair_pixel[:, 1])
    twice = flip_images(flip_images(before, seeded(0), 1.0), seeded(0), 1.0)
    assert torch.equal(twice.images, before.images) and not same(flip_images(before, seeded(0), 1.0), before)
    torch.testing.assert_close(twice.pair_pixel, before.pair_pixel, rtol=0, atol=1e-4)


def test_a_position_on_the_border_stays_inside_the_mirror_image():
    before = replace(make_pair(noise_images(1, 20, 30), (1,), 1), pair_pixel=torch.tensor([[0.0, 0.0]]))
    pixel = flip_images(before, seeded(0), 1.0).pair_pixel[0]
    assert pixel.floor().tolist() == [29, 0]


def test_resizing_moves_positions_exactly():
    """Eight levels from pixel to pixel: a shift by half a pixel would show as four."""
    before = make_pair(smooth_images(1, 20, 30, 240.0), (500,), 500)
    inner = ((before.pair_pixel > 1) & (before.pair_pixel < torch.tensor([29, 19]))).all(dim=1)
    pair = resize_images(before, (224, 416))
    assert torch.equal(pair.pair_point, before.pair_point)
    expected = smooth_colors(before.pair_pixel, 20, 30, 240.0)
    torch.testing.assert_close(pair_colors(pair).float()[inner], expected[inner], rtol=0, atol=1.5)
    torch.testing.assert_close(pair.pair_pixel / before.pair_pixel, torch.tensor([[416 / 30, 224 / 20]]).expand(500, 2))


@pytest.mark.parametrize("seed", range(20))
def test_regions_go_with_their_images(seed):
    """Regions of 10 × 10 pixels, and images whose red and green are their row and column of regions."""
    rows, columns = torch.arange(HEIGHT)[:, None] // 10, torch.arange(WIDTH) // 10
    regions = (rows * 50 + columns).repeat(len(COUNTS), 1, 1)
    images = torch.stack([regions // 50 * 5, regions % 50 * 5, regions * 0], dim=1).to(torch.uint8)
    before = replace(make_pair(images), pixel_maps={"regions": regions})
    kept = regions.clone()
    pair = SceneAugmentation()(before, seeded(seed))
    assert torch.equal(before.pixel_maps["regions"], kept)
    assert (
        pair.pixel_maps["regions"].shape == (len(COUNTS), 224, 416) and pair.pixel_maps["regions"].dtype == torch.int64
    )
    told = torch.stack([pair.pixel_maps["regions"] // 50, pair.pixel_maps["regions"] % 50], dim=1) * 5
    apart = (pair.images[:, :2].float() - told).abs()
    assert apart.max() <= 5 and (apart <= 1).float().mean() > 0.7  # a neighbor's only where a pixel has parts of both
    x, y = pair.pair_pixel.long().unbind(dim=1)
    own = before.pair_pixel[origins(pair, before)] / 10
    found = pair.pixel_maps["regions"][pair.pair_view, y, x]
    centers = torch.stack([found % 50, found // 50], dim=1) + 0.5
    assert (own - centers).abs().max() < 0.5 + 0.15  # regions; half a pixel of the result is up to 0.07 of one


def test_regions_stay_as_they_are_without_crop_and_turn_with_flips():
    regions = torch.arange(600).view(1, 20, 30)
    pair = replace(make_pair(noise_images(1, 20, 30), (50,), 50), pixel_maps={"regions": regions})
    assert torch.equal(resize_images(pair, (20, 30)).pixel_maps["regions"], regions)
    assert torch.equal(flip_images(pair, seeded(0), 1.0).pixel_maps["regions"], regions.flip(2))
    assert torch.equal(
        resize_images(pair, (40, 60)).pixel_maps["regions"][0],
        regions[0].repeat_interleave(2, 0).repeat_interleave(2, 1),
    )


def test_crops_have_the_area_and_the_aspect_asked_for():
    before = make_pair(smooth_images(1, HEIGHT, WIDTH), (3000,))
    areas, aspects, corners = [], [], []
    for seed in range(200):
        pair = crop_images(before, seeded(seed))
        start = before.pair_pixel[origins(pair, before)]
        spread = (pair.pair_pixel.amax(dim=0) - pair.pair_pixel.amin(dim=0)) / (start.amax(dim=0) - start.amin(dim=0))
        width, height = (torch.tensor([416, 224]) / spread).tolist()
        areas.append(width * height / (WIDTH * HEIGHT))
        aspects.append(width / height)
        corners.append((start - pair.pair_pixel / spread)[0].tolist())
    whole = [area > 0.999 for area in areas]
    assert sum(whole) < 10
    assert 0.295 < min(areas) < 0.35 and max(areas) > 0.9
    assert all(w or 14 / 9 - 0.02 < aspect < 17 / 9 + 0.02 for aspect, w in zip(aspects, whole, strict=True))
    assert min(aspects) < 1.6 and max(aspects) > 1.8
    left, top = torch.tensor(corners).T
    assert left.min() > -0.01 and left.max() > 100 and top.min() > -0.01 and top.max() > 60


def test_crops_keep_enough_pairs_or_the_whole_image(smooth):
    for seed in range(40):
        left = per_view(crop_images(smooth, seeded(seed)))
        assert left[0] > 1024 and left[1] > 900 and left[2] > 225 and left[3] == 1 and left[4] == 0


@pytest.mark.parametrize(
    ("images", "counts", "options"),
    [
        (noise_images(2, 50, 500), (0, 0), {"area": (0.9, 1.0)}),  # no such box fits
        (noise_images(1, 60, 100), (400,), {"area": (0.3, 0.3), "share": 1.0}),  # no box holds more than all
    ],
)
def test_where_no_box_will_do_the_image_is_kept_whole(images, counts, options):
    pair = make_pair(images, counts)
    assert same(crop_images(pair, seeded(0), (224, 416), **options), resize_images(pair, (224, 416)))


def test_images_without_pairs_are_cropped_all_the_same():
    pair = make_pair(smooth_images(3, HEIGHT, WIDTH), (0, 0, 0))
    whole, cropped = resize_images(pair), SceneAugmentation()(pair, seeded(0))
    assert cropped.pair_pixel.shape == (0, 2) and cropped.images.shape == whole.images.shape
    assert all(not torch.equal(a, b) for a, b in zip(cropped.images, whole.images, strict=True))


def test_a_frame_without_cameras_passes():
    pair = replace(make_pair(noise_images(1)[:0], (0,)), pixel_maps={"regions": torch.zeros(0, HEIGHT, WIDTH)})
    assert SceneAugmentation()(pair, seeded(0)).images.shape == (0, 3, 224, 416)


def test_what_is_switched_off_changes_nothing_but_the_size(smooth):
    off = SceneAugmentation(size=(224, 416), rotate=False, flip_points=0, cuboid=0, crop=None, flip_images=0)
    assert same(off(smooth, seeded(0)), resize_images(smooth, (224, 416)))
    still = SceneAugmentation(size=(HEIGHT, WIDTH), rotate=False, flip_points=0, cuboid=0, crop=None, flip_images=0)
    assert same(still(smooth, seeded(0)), smooth)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0, 416)}, "0×416"),
        ({"flip_points": 1.5}, "flip_points 1.5"),
        ({"cuboid": -0.1}, "cuboid -0.1"),
        ({"crop": (0.0, 1.0)}, "crop"),
        ({"crop": (0.8, 0.3)}, "smaller first"),
        ({"aspect": (2.0, 1.0)}, "aspect"),
        ({"pairs": -1}, "pairs -1"),
        ({"share": float("nan")}, "share nan"),
    ],
)
def test_settings_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SceneAugmentation(**options)
