import numpy as np
import pytest

from btunet.metrics import Counts, count

TRUTH = np.array([[0, 0, 1, 1], [2, 2, 255, 255], [0, 1, 2, 0]])
FOUND = np.array([[0, 1, 1, 1], [2, 0, 1, 2], [0, 2, 2, 0]])


def test_pixels_are_counted_by_hand() -> None:
    assert count(FOUND, TRUTH, 3) == [Counts(3, 1, 1), Counts(2, 1, 1), Counts(2, 1, 1)]


def test_pixels_whose_truth_is_unknown_count_nowhere() -> None:
    other = FOUND.copy()
    other[TRUTH == 255] = 0
    assert count(other, TRUTH, 3) == count(FOUND, TRUTH, 3)
    assert count(FOUND, np.full_like(TRUTH, 255), 3) == [Counts()] * 3


def test_scores_are_those_of_the_textbook() -> None:
    assert Counts(6, 2, 4).scores == pytest.approx({"precision": 0.75, "recall": 0.6, "dice": 12 / 18, "iou": 0.5})


def test_dice_and_iou_say_the_same_in_two_ways() -> None:
    for counts in (Counts(6, 2, 4), Counts(1, 0, 9), Counts(0, 3, 2)):
        scores = counts.scores
        iou, dice = scores["iou"], scores["dice"]
        assert iou is not None and dice == pytest.approx(2 * iou / (1 + iou))


def test_a_class_that_is_nowhere_has_no_score() -> None:
    assert set(Counts().scores.values()) == {None}


def test_a_class_that_is_missed_or_invented_altogether_scores_nothing() -> None:
    assert set(Counts(0, 0, 5).scores.values()) == set(Counts(0, 5, 0).scores.values()) == {0}


def test_counts_of_planes_add_up() -> None:
    halves = [count(FOUND[i : i + 1], TRUTH[i : i + 1], 3) for i in range(3)]
    assert [sum(parts, Counts()) for parts in zip(*halves, strict=True)] == count(FOUND, TRUTH, 3)


def test_every_pixel_is_right_or_wrong_once(rng: np.random.Generator) -> None:
    found, truth = rng.integers(0, 5, (2, 40, 40))
    counts = count(found.astype(np.uint8), truth.astype(np.uint8), 5)
    assert sum(c.true_positive + c.false_negative for c in counts) == 1600
    assert sum(c.false_positive for c in counts) == sum(c.false_negative for c in counts)
