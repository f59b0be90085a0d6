from typing import Any

import numpy as np
import pytest

from btunet import PretrainSettings, ViewSettings, preview_views, run

NOTHING = ViewSettings(ignore_brightness=False, ignore_orientation=False, ignore_size=False)


def test_there_are_six_pairs_for_every_choice(discs: Any) -> None:
    found = run(preview_views([discs(planes=2)[0]], PretrainSettings(patch_size=32)))
    assert len(found) == 8
    for pairs in found.values():
        assert pairs.shape == (6, 2, 32, 32, 3) and pairs.dtype == np.uint8
        assert (pairs[..., :1] == pairs).all()  # gray


def test_a_pair_differs_less_the_less_is_ignored_and_not_at_all_on_an_even_image_without_light() -> None:
    image = np.repeat(np.linspace(0, 255, 8).astype(np.uint8), 200)[:, None].repeat(120, 1)  # eight even bands
    found = run(preview_views([image], PretrainSettings(patch_size=32, seed=4)))

    def difference(choice: ViewSettings) -> float:
        one, two = np.moveaxis(found[choice].astype(float), 1, 0)
        return float(np.median(abs(one - two)))

    assert difference(NOTHING) == 0
    assert difference(ViewSettings()) > 5


def test_the_seed_decides_the_pairs(discs: Any) -> None:
    image = discs(planes=2)[0]
    one, again, other = (
        run(preview_views([image], PretrainSettings(patch_size=32, seed=seed)))[ViewSettings()] for seed in (1, 1, 2)
    )
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_colour_is_shown_in_colour_and_the_first_of_many_channels_in_gray(rng: np.random.Generator) -> None:
    from btunet import as_stack

    settings = PretrainSettings(patch_size=32)
    for channels, is_gray in ((2, True), (3, False), (5, True)):
        stack = as_stack(rng.random((channels, 60, 60)), "CYX")
        pairs = run(preview_views([stack], settings))[NOTHING]
        assert (pairs[..., :1] == pairs).all() == is_gray


def test_the_paper_leaves_the_light_alone_so_that_tick_changes_nothing(discs: Any) -> None:
    found = run(preview_views([discs()[0]], PretrainSettings(recipe="paper", patch_size=32)))
    assert np.array_equal(found[ViewSettings()], found[ViewSettings(ignore_brightness=False)])
    assert not np.array_equal(found[ViewSettings()], found[ViewSettings(ignore_size=False)])


def test_an_image_that_cannot_be_read_as_one_is_refused() -> None:
    with pytest.raises(ValueError, match="image 0 is empty"):
        run(preview_views([np.zeros((0, 4))]))
