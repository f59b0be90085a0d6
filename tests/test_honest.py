"""Dice from held-out strokes: exact where everything is known, honest about how little is."""

from __future__ import annotations

import numpy as np
import pytest

from btunet.honest import ENOUGH, estimate


def strokes_of(rates: np.ndarray, each: int) -> tuple[list[int], np.ndarray]:
    """Return many strokes whose shares are exactly the rates, (K, K)."""
    kinds = np.repeat(np.arange(len(rates)), each)
    return kinds.tolist(), rates[kinds]


def test_with_many_strokes_the_estimate_is_the_dice_of_the_image() -> None:
    rates = np.array([[0.95, 0.05], [0.2, 0.8]])
    truth = np.array([0.9, 0.1])
    predicted = rates.T @ truth
    kinds, shares = strokes_of(rates, 20_000)
    found = estimate(kinds, shares, predicted)[1]
    dice = 2 * truth[1] * 0.8 / (truth[1] + predicted[1])
    assert found.dice == pytest.approx(dice, abs=0.01)
    assert found.low <= dice <= found.high
    assert found.strokes == 20_000


def test_three_classes_are_told_apart() -> None:
    rates = np.array([[0.9, 0.06, 0.04], [0.1, 0.85, 0.05], [0.05, 0.15, 0.8]])
    truth = np.array([0.7, 0.2, 0.1])
    predicted = rates.T @ truth
    found = estimate(*strokes_of(rates, 20_000), predicted)
    for k in (1, 2):
        assert found[k].dice == pytest.approx(2 * truth[k] * rates[k, k] / (truth[k] + predicted[k]), abs=0.015)


def test_that_a_person_paints_as_much_object_as_background_does_not_matter() -> None:
    """Few false alarms per background pixel are many per object pixel where objects are rare."""
    rates = np.array([[0.95, 0.05], [0.05, 0.95]])
    common, rare = (
        estimate(*strokes_of(rates, 5000), rates.T @ np.array(truth))[1].dice for truth in ([0.5, 0.5], [0.98, 0.02])
    )
    assert common == pytest.approx(0.95, abs=0.01)
    assert rare < 0.5


def test_few_strokes_make_a_wide_interval_even_when_all_are_right() -> None:
    few, many = (estimate(*strokes_of(np.eye(2), n), np.array([0.8, 0.2]))[1] for n in (ENOUGH, 200))
    assert few.high - few.low > 0.1 > many.high - many.low
    assert few.low < 0.9


def test_too_few_strokes_of_any_class_give_no_number() -> None:
    kinds, shares = strokes_of(np.eye(2), ENOUGH)
    assert estimate(kinds[:-1], shares[:-1], np.array([0.8, 0.2])) == {}
    assert estimate([], np.zeros((0, 2)), np.array([0.8, 0.2])) == {}


def test_a_class_that_nobody_painted_has_no_estimate() -> None:
    kinds, shares = strokes_of(np.eye(3)[[0, 2]], 10)
    kinds = [2 if k else 0 for k in kinds]
    found = estimate(kinds, shares, np.array([0.8, 0.0, 0.2]))
    assert list(found) == [2]


def test_the_same_seed_gives_the_same_numbers() -> None:
    given = *strokes_of(np.array([[0.9, 0.1], [0.3, 0.7]]), 6), np.array([0.7, 0.3])
    assert estimate(*given, seed=3) == estimate(*given, seed=3)


def test_intervals_hold_the_truth_as_often_as_they_say_for_strokes_drawn_at_random() -> None:
    rng, inside, runs = np.random.default_rng(0), 0, 100
    truth = np.array([0.8, 0.2])
    for run in range(runs):
        rates = np.array([[0.93, 0.07], [0.25, 0.75]])
        kinds = np.repeat([0, 1], 12)
        right = rng.random(24) < rates[kinds, kinds]  # whole strokes right or wrong
        shares = np.eye(2)[np.where(right, kinds, 1 - kinds)]
        predicted = rates.T @ truth
        dice = 2 * truth[1] * 0.75 / (truth[1] + predicted[1])
        found = estimate(kinds.tolist(), shares, predicted, seed=run)[1]
        inside += found.low <= dice <= found.high
    assert inside >= 88
