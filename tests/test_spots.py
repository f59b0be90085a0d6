"""Suggestions: far from each other, unlike what is painted, where the prediction is unsure; each says why."""

from __future__ import annotations

import numpy as np
import pytest

from btunet.answering import answer
from btunet.folds import Stroke
from btunet.images import Stack, as_stack
from btunet.normalise import Normalisation
from btunet.patches import Source
from btunet.spots import (
    CANDIDATES,
    DISAGREE,
    NEW,
    SIDE,
    SUGGESTED,
    UNLIKE,
    UNSURE,
    Candidates,
    around,
    judge,
    suggest,
)
from btunet.task import Spot


def places(count: int) -> list[tuple[int, int, int, int]]:
    """Return windows on planes of their own, so that none is too near another."""
    return [(0, plane, 10, 20) for plane in range(count)]


def test_before_anything_is_painted_every_kind_of_place_is_suggested_first() -> None:
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.eye(4) * 10, 25, axis=0)
    found = suggest(places(100), kinds + rng.normal(0, 0.1, kinds.shape), kinds[:0], np.zeros((100, 2)))
    assert len({spot.plane // 25 for spot in found[:4]}) >= 3  # the one all are compared with first may be missing
    assert {spot.plane // 25 for spot in found[:5]} == {0, 1, 2, 3}
    assert {spot.reason for spot in found} == {NEW}


@pytest.mark.parametrize(("column", "reason"), [((1.0, 0.0), UNSURE), ((0.0, 1.0), DISAGREE)])
def test_what_is_unsure_or_differs_between_planes_comes_first_and_says_so(
    column: tuple[float, float], reason: str
) -> None:
    judgements = np.zeros((50, 2))
    judgements[17] = column
    found = suggest(places(50), np.zeros((50, 3)), np.zeros((1, 3)), judgements)
    assert found[0] == Spot(0, 17, 10 + SIDE // 2, 20 + SIDE // 2, SIDE, reason)
    assert len(found) == SUGGESTED


def test_what_is_unlike_all_paint_comes_first_but_only_once() -> None:
    looks = np.zeros((50, 3))
    looks[30:34] = 5.0  # four alike
    found = suggest(places(50), looks, np.zeros((2, 3)), np.zeros((50, 2)))
    assert 30 <= found[0].plane < 34
    assert found[0].reason == UNLIKE
    assert not 30 <= found[1].plane < 34  # the first stands for all four


def test_no_two_suggestions_overlap() -> None:
    rng = np.random.default_rng(0)
    somewhere = [(0, 0, int(y), int(x)) for y, x in rng.integers(0, 400, (150, 2))]
    found = suggest(somewhere, rng.normal(size=(150, 4)), rng.normal(size=(3, 4)), rng.random((150, 2)))
    for n, one in enumerate(found):
        assert all(abs(one.y - other.y) + abs(one.x - other.x) > SIDE for other in found[:n])


def test_candidates_lie_in_all_images_and_are_looked_at_once() -> None:
    rng = np.random.default_rng(0)
    sources = [Source(as_stack(rng.normal(size=shape)), Normalisation()) for shape in ((3, 150, 160), (120, 130))]
    candidates = Candidates(sources, 0)
    assert {place[0] for place in candidates.places} == {0, 1}
    assert len(candidates.places) <= CANDIDATES
    few = candidates.places[:5]
    assert len(list(candidates.look(few))) == 5
    assert list(candidates.look(few)) == []
    list(candidates.look(candidates.places))
    features = candidates.features(candidates.places)
    np.testing.assert_allclose(features.std(0), 1, rtol=1e-3)


def test_a_stroke_is_looked_at_around_its_middle() -> None:
    pixels = np.ravel_multi_index((np.full(21, 70), np.arange(40, 61)), (200, 300))
    assert around(Stroke(1, 2, 0, 0, pixels), 300) == (1, 2, 70 - SIDE // 2, 50 - SIDE // 2)


def test_unsure_pixels_and_differing_planes_are_measured() -> None:
    image = np.zeros((2, 200, 200))
    image[1] = 1

    def function(window: np.ndarray) -> np.ndarray:
        """Predict the brightness itself; sure on the left, unsure on the right."""
        right = np.arange(window.shape[2]) >= window.shape[2] // 2
        first = np.where(right, 0.5, 1.0) * np.ones(window.shape[1:])
        return np.stack([1 - first, first] if window.max() > 0.5 else [first, 1 - first])

    found = list(judge([(0, 0, 50, 50)], [Source(as_stack(image), Normalisation())], function))
    unsure, differ = found[0]
    assert unsure == pytest.approx(1)  # the least sure quarter of the pixels
    assert differ == pytest.approx(0.5)  # the left half; the right is the first class in both planes
    alone = [Source(Stack(image, "TYX", "film"), Normalisation())]
    assert next(judge([(0, 0, 50, 50)], alone, function))[1] == 0  # frames of a film may differ


def test_without_a_stroke_places_are_suggested_and_after_strokes_others() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(0, 0.1, (300, 300)) + (np.arange(300) >= 150)
    image[100:200, 100:200] += rng.normal(0, 1, (100, 100))  # a kind of its own
    task = answer([image], [{}], ("background", "object"), (0, 0))
    progress = next(task)
    while progress.spots is None:
        progress = next(task)
    assert len(progress.spots) > 3
    assert any(abs(s.y - 150) < 80 and abs(s.x - 150) < 80 for s in progress.spots[:3])
    task.close()
    values = np.zeros((300, 300), np.uint8)
    values[20, 10:60], values[20, 200:250] = 1, 2
    task = answer([image], [values], ("background", "object"), (0, 0))
    progress = next(task)
    while progress.spots is None:
        progress = next(task)
    first = progress.spots[0]
    assert abs(first.y - 150) < 100
    assert abs(first.x - 150) < 100
    assert first.reason in (UNSURE, UNLIKE)
    task.close()
