import pytest
import torch
from torch.nn import functional as F

from btunet import ViewSettings
from btunet.recipes import PRETRAINING, PretrainRecipe
from btunet.views import as_told, geometry, look, photometry, twin_views


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def patches(n: int = 4, size: int = 16, channels: int = 1) -> torch.Tensor:
    return torch.randn(n, channels, size, size, generator=seeded(9))


CROP = (0.7, 1.0)
IDENTITY = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_looking_straight_changes_nothing(mode: str) -> None:
    images = patches(1)
    assert torch.allclose(look(images, IDENTITY, 16, mode), images, atol=1e-5)


def test_without_scale_and_shift_only_the_eight_flips_and_turns_are_left() -> None:
    image = torch.arange(64.0).reshape(1, 1, 8, 8).expand(64, 1, 8, 8)
    seen = look(image, geometry(64, (1, 1), 0, seeded()), 8)
    turns = [torch.rot90(i, k, (-2, -1)) for i in (image[0, 0], image[0, 0].flip(-1)) for k in range(4)]
    which = [[torch.allclose(s[0], turn, atol=1e-3) for turn in turns] for s in seen]
    assert all(sum(row) == 1 for row in which)
    assert all(any(row[k] for row in which) for k in range(8))


def test_a_view_stays_inside_its_patch_and_uses_the_room() -> None:
    matrices = geometry(500, (0.7, 1.0), 1.0, seeded())
    side = matrices[:, :, :2].abs().sum(2)
    assert (side >= 0.7 - 1e-6).all() and (side <= 1 + 1e-6).all()
    assert (matrices[:, :, 2].abs() + side <= 1 + 1e-5).all()
    assert (matrices[:, :, 2].abs() + side > 0.99).any()


def test_no_shift_keeps_a_view_in_the_middle() -> None:
    assert (geometry(50, (0.7, 1.0), 0, seeded())[:, :, 2] == 0).all()


def test_labels_stay_whole_and_are_zero_outside() -> None:
    labels = torch.randint(1, 5, (64, 1, 16, 16), generator=seeded()).float()
    seen = look(labels, geometry(64, (0.8, 1.25), 0, seeded()), 16, "nearest")
    assert set(seen.unique().tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}


def test_images_are_mirrored_outside() -> None:
    assert torch.allclose(
        look(torch.full((8, 1, 16, 16), 3.0), geometry(8, (1.2, 1.3), 0, seeded()), 16), torch.tensor(3.0)
    )


def test_no_strength_changes_nothing() -> None:
    assert torch.allclose(photometry(patches(), 0, seeded()), patches(), atol=1e-6)


def test_brightness_and_contrast_stay_within_their_limits() -> None:
    flat = torch.full((200, 1, 64, 64), 1.0)
    seen = photometry(flat, 1.0, seeded()).mean((1, 2, 3))
    assert seen.min() > 0.67 - 0.5 - 0.02 and seen.max() < 1.5 + 0.5 + 0.02
    assert seen.std() > 0.2


def test_all_channels_get_the_same_light() -> None:
    image = torch.ones(20, 2, 64, 64) * torch.tensor([1.0, 2.0])[:, None, None]
    one, two = photometry(image, 1.0, seeded()).mean((2, 3)).T
    contrast = two - one  # the brightness is the same for both
    assert (contrast > 0.6).all() and (contrast < 1.6).all()


def test_views_do_not_change_the_patches() -> None:
    images = patches()
    copy = images.clone()
    twin_views(images, 12, CROP, 1.0, seeded())
    assert torch.equal(images, copy)


def test_two_views_are_decided_by_the_seed_and_differ_from_each_other() -> None:
    one, two = twin_views(patches(), 12, CROP, 1.0, seeded(1))
    again = twin_views(patches(), 12, CROP, 1.0, seeded(1))
    other = twin_views(patches(), 12, CROP, 1.0, seeded(2))
    assert one.shape == two.shape == (4, 1, 12, 12)
    assert torch.equal(one, again[0]) and torch.equal(two, again[1])
    assert not torch.equal(one, other[0]) and not torch.allclose(one, two, atol=0.1)


def test_the_global_random_state_is_not_used() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    twin_views(patches(), 12, CROP, 1.0, seeded())
    assert torch.equal(torch.get_rng_state(), before)


def test_every_patch_gets_views_of_its_own() -> None:
    same = patches(1).expand(8, 1, 16, 16)
    one, _ = twin_views(same, 16, CROP, 1.0, seeded())
    assert all(not torch.allclose(one[0], one[i], atol=0.1) for i in range(1, 8))


def test_a_view_looks_where_torchs_grid_says() -> None:
    matrices, seen = geometry(7, (0.5, 1.5), 1.0, seeded()), patches(7, 20, 2)[..., 3:]
    grid = F.affine_grid(matrices, [7, 1, 18, 18], align_corners=False)
    expected = F.grid_sample(seen, grid, padding_mode="reflection", align_corners=False)
    torch.testing.assert_close(look(seen, matrices, 18), expected)


# ---- what must not be ignored

NOTHING = ViewSettings(ignore_brightness=False, ignore_orientation=False, ignore_size=False)


def seen_by(recipe: PretrainRecipe, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return twin_views(images, 16, recipe.crop, recipe.light, seeded(3), turned=recipe.turned)


@pytest.mark.parametrize("name", list(PRETRAINING))
def test_unless_something_is_vetoed_the_recipe_stays_as_it_is(name: str) -> None:
    assert as_told(PRETRAINING[name], ViewSettings()) == PRETRAINING[name]


@pytest.mark.parametrize("name", list(PRETRAINING))
def test_with_all_vetoed_two_views_differ_in_their_position_alone(name: str) -> None:
    """On a ramp, another position is another brightness: the two views differ by the same value in every pixel."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    ramps = (3 * y + x).expand(20, 1, 32, 32)
    one, two = seen_by(as_told(PRETRAINING[name], NOTHING), ramps)
    moved = one - two
    assert torch.allclose(moved, moved.mean((-2, -1), keepdim=True).expand_as(moved), atol=1e-3)
    assert moved.abs().amax((1, 2, 3)).min() > 0.01  # and there is room to move


def test_brightness_that_matters_is_left_as_it_is_in_both_views() -> None:
    recipe = as_told(PRETRAINING["default"], ViewSettings(ignore_brightness=False))
    flat = torch.linspace(-1, 1, 8).view(8, 1, 1, 1).expand(8, 1, 32, 32)
    one, two = seen_by(recipe, flat)
    assert torch.allclose(one, flat[..., :16, :16], atol=1e-5) and torch.allclose(one, two, atol=1e-5)
    assert recipe.turned and recipe.crop == PRETRAINING["default"].crop


def test_orientation_that_matters_is_the_same_in_both_views_and_in_the_image() -> None:
    recipe = as_told(PRETRAINING["default"], ViewSettings(ignore_orientation=False))
    matrices = geometry(50, recipe.crop, 1.0, seeded(), turned=recipe.turned)
    assert (matrices[:, [0, 1], [1, 0]] == 0).all() and (matrices[:, [0, 1], [0, 1]] > 0).all()
    turned = geometry(50, recipe.crop, 1.0, seeded())
    assert torch.equal(turned[:, :, 2], matrices[:, :, 2])  # it lies where it would


def test_size_that_matters_is_the_same_in_both_views() -> None:
    recipe = as_told(PRETRAINING["default"], ViewSettings(ignore_size=False))
    side = geometry(50, recipe.crop, 1.0, seeded())[:, :, :2].abs().sum(2)
    assert torch.allclose(side, torch.tensor(0.85))
    assert recipe.light == PRETRAINING["default"].light and recipe.turned
