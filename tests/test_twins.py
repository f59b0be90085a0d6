from typing import Any

import numpy as np
import torch

from btunet import as_stack
from btunet.normalise import Normalisation
from btunet.patches import Source, random_place
from btunet.ranks import Ranks
from btunet.recipes import PRETRAINING
from btunet.twins import Twins
from btunet.views import twin_views
from btunet.windows import Windows

RECIPE = PRETRAINING["default"]
CPU = torch.device("cpu")


def sources(discs: Any) -> list[Source]:
    return [Source(as_stack(discs(planes=2)[0]), Normalisation())]


def draw(twins: Twins, batch: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    return twins(batch, np.random.default_rng(1), torch.Generator().manual_seed(2))


def test_a_pair_is_two_views_of_a_patch_drawn_at_random(discs: Any) -> None:
    found = draw(Twins(sources(discs), CPU, 32, RECIPE))
    rng = np.random.default_rng(1)
    patches = Windows(sources(discs), CPU)([random_place(sources(discs), 40, rng) for _ in range(4)], 40)
    expected = twin_views(patches, 32, RECIPE.crop, RECIPE.light, torch.Generator().manual_seed(2))
    assert [tuple(view.shape) for view in found] == [(4, 1, 32, 32)] * 2
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_two_ranks_draw_the_halves_of_what_one_draws(discs: Any) -> None:
    whole = draw(Twins(sources(discs), CPU, 32, RECIPE))
    halves = [draw(Twins(sources(discs), CPU, 32, RECIPE, Ranks(rank, 2))) for rank in range(2)]
    for view, parts in zip(whole, zip(*halves, strict=True), strict=True):
        assert torch.equal(view, torch.cat(parts))
