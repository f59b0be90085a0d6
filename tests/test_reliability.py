"""Planes in the order of how well they are predicted."""

from __future__ import annotations

import numpy as np
import pytest

from btunet.reliability import WORDS, Reliability, agreement, expected_dice, rank


def disc(radius: float, side: int = 64) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side // 2
    return (y**2 + x**2 < radius**2).astype(np.uint8)


def test_the_expected_dice_is_what_drawing_the_truth_from_the_probabilities_gives() -> None:
    rng = np.random.default_rng(0)
    p = np.clip(disc(20) * 0.8 + rng.uniform(0, 0.3, (64, 64)), 0, 1)  # of being an object
    mask, doubt = (p > 0.5).astype(np.uint8), np.round(255 * (1 - np.abs(2 * p - 1))).astype(np.uint8)
    truths = [rng.uniform(size=p.shape) < p for _ in range(200)]
    drawn = np.mean([2 * (mask & truth).sum() / (mask.sum() + truth.sum()) for truth in truths])
    assert expected_dice(mask, doubt) == pytest.approx(float(drawn), abs=0.01)


def test_a_sure_plane_is_perfect_and_an_empty_one_too() -> None:
    sure, unsure = np.zeros((64, 64), np.uint8), np.full((64, 64), 255, np.uint8)
    assert expected_dice(disc(20), sure) == 1.0
    assert expected_dice(disc(0), sure) == 1.0
    assert expected_dice(disc(0), unsure) == 0.0


def test_agreement_is_what_is_beyond_chance() -> None:
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 3, (2, 64, 64)).astype(np.uint8)
    other[:32] = one[:32]
    assert agreement(one, other) == pytest.approx(cohen_kappa_score(one.ravel(), other.ravel()))
    assert agreement(disc(0), disc(0)) == agreement(disc(20), disc(20)) == 1.0
    large = (rng.uniform(size=(2, 64, 64)) < 0.9).astype(np.uint8)
    assert agreement(*large) == pytest.approx(0, abs=0.1)


def test_the_plane_that_is_unsure_or_unlike_its_neighbours_or_another_model_comes_last() -> None:
    for sign, bad in enumerate(({"doubt": 200}, {"mask": 5}, {"earlier": 6})):
        radii = [20, 20, 20, bad.get("mask", 20), 20, 20]
        masks = [disc(r) for r in radii]
        found = Reliability(6, 6)
        for n, mask in enumerate(masks):
            doubt = np.full((64, 64), bad.get("doubt", 0) if n == 3 else 0, np.uint8)
            earlier = disc(bad["earlier"]) if n == 3 and "earlier" in bad else mask
            found.take(n, mask, doubt, earlier)
            if n < 5:
                found.take_pair(n, mask, masks[n + 1])
        assert np.argmin(found.value()) == 3, sign
        assert found.reason(3) == WORDS[sign]


def test_planes_of_other_stacks_are_no_neighbours() -> None:
    masks = [disc(20), disc(20), disc(5), disc(5)]
    alone, together = Reliability(4, 2), Reliability(4, 4)
    for each in (alone, together):
        for n in range(3):
            each.take_pair(n, masks[n], masks[n + 1])
    assert np.ptp(alone.value()) == 0.0  # every plane agrees with its neighbour
    assert together.value()[1] < together.value()[0]


def test_the_order_does_not_depend_on_what_comes_first() -> None:
    rng = np.random.default_rng(1)
    masks = [disc(r) for r in rng.uniform(5, 25, 8)]
    orders = []
    for order in (range(8), rng.permutation(8)):
        found = Reliability(8, 8)
        for n in (int(n) for n in order if n < 7):
            found.take_pair(n, masks[n], masks[n + 1])
        orders.append(found.value())
    np.testing.assert_allclose(*orders)


def test_nothing_is_said_of_planes_that_are_not_predicted_or_too_few() -> None:
    found = Reliability(5)
    for n in range(2):
        found.take(n, disc(9), np.zeros((64, 64), np.uint8))
    assert np.isnan(found.value()).all() and found.reason(4) == ""
    assert found.expected(4) is None and found.expected(0) == 1.0
    found.take(2, disc(9), np.full((64, 64), 99, np.uint8))
    value = found.value()
    assert value[2] == 0 and value[0] == value[1] and np.isnan(value[3:]).all()


def test_ranks_go_from_0_to_1_and_equal_values_share_theirs() -> None:
    np.testing.assert_allclose(rank(np.array([3.0, np.nan, 1.0, 2.0, 2.0])), [1, np.nan, 0, 0.5, 0.5])
