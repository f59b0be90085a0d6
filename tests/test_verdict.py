"""What held-out strokes say about pre-training, and how sure that is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from btunet import BtunetError, Verdict
from btunet.verdict import Judged, verdict_of

NAMES = ("background", "cell")


def judged(gains: Sequence[Sequence[float]], kind: int = 0, folds: int = 4) -> list[Judged]:
    """Return strokes by what every pair of trainings differs by, dealt in turn."""
    return [
        Judged("a", 0, n, 0, kind, n % folds, (0.5,) * len(pairs), tuple(0.5 + g for g in pairs))
        for n, pairs in enumerate(gains)
    ]


def noisy(gain: float, rng: np.random.Generator, count: int = 10, folds: int = 4, spread: float = 0.1) -> Verdict:
    """Return the verdict on strokes that strokes, trainings and chance make differ, all by as much."""
    trainings, strokes = rng.normal(gain, spread, (folds, 2)), list[Judged]()
    for kind in range(2):
        own = rng.normal(0, spread, (count, 1)) + rng.normal(0, spread, (count, 2))
        strokes += judged(own + trainings[np.arange(count) % folds], kind, folds)
    return verdict_of(strokes, NAMES)


def test_classes_count_the_same_however_many_strokes_they_have() -> None:
    verdict = verdict_of([*judged([(0.2, 0.4)] * 12), *judged([(-0.1, -0.1)] * 4, 1)], NAMES)
    assert verdict.difference == pytest.approx(0.1)
    assert verdict.strokes == 16
    assert verdict.of_folds == pytest.approx(dict.fromkeys(range(4), 0.1))


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    verdicts = [noisy(0.05, rng) for _ in range(60)]
    inside = np.mean([v.low <= 0.05 <= v.high for v in verdicts])
    assert 0.87 <= inside <= 0.99
    assert np.mean([v.high - v.low for v in verdicts]) < 0.4


def test_a_clear_difference_is_found_and_chance_is_not() -> None:
    rng = np.random.default_rng(0)
    assert [noisy(gain, rng, spread=0.05).word for gain in (0.3, -0.3)] == ["helped", "hurt"]
    assert np.mean([noisy(0, rng).word != "no clear difference" for _ in range(40)]) < 0.15


def test_trainings_that_disagree_make_the_interval_wider() -> None:
    """The strokes' means are the same, so drawing strokes alone would be certain."""
    agreed = verdict_of(judged([(0.1, 0.1)] * 8), NAMES)
    disagreed = verdict_of(judged([(0.4, -0.2)] * 8), NAMES)
    assert agreed.difference == pytest.approx(disagreed.difference)
    assert agreed.low == pytest.approx(agreed.high)
    assert agreed.word == "helped"
    assert disagreed.low < -0.1
    assert disagreed.word == "no clear difference"


def test_little_is_known_from_one_stroke_of_a_class_or_one_training() -> None:
    one = verdict_of([*judged([(0.3, 0.3)] * 8), *judged([(0.3, 0.3)], 1)], NAMES)
    assert (one.low, one.high, one.word) == (-1, 1, "no clear difference")
    assert one.difference == pytest.approx(0.3)
    alone = verdict_of(judged([(0.3,)] * 8), NAMES)
    assert alone.strokes == 0
    assert alone.describe() == "Nothing is known yet: no held-out stroke was judged"


def test_what_nobody_would_notice_is_no_clear_difference() -> None:
    verdict = verdict_of(judged([(0.004, 0.004)] * 8), NAMES)
    assert verdict.low > 0
    assert verdict.word == "no clear difference"


def test_it_is_said_in_one_sentence() -> None:
    strokes = tuple(judged([(0.0, 0.0)] * 14))
    sentence = Verdict(0.012, -0.031, 0.052, strokes, NAMES).describe()
    assert sentence == "No clear difference: +0.01 (-0.03 to +0.05) on 14 held-out strokes"
    assert Verdict(-0.3, -0.4, -0.001, strokes, NAMES).describe() == (
        "Hurt: -0.30 (-0.40 to +0.00) on 14 held-out strokes"
    )


def test_a_seed_gives_the_same_interval() -> None:
    gains = np.random.default_rng(0).normal(0, 0.1, (12, 2))
    first, second, other = (verdict_of(judged(gains), NAMES, seed) for seed in (0, 0, 1))
    assert first == second
    assert (other.low, other.high) != (first.low, first.high)


def test_it_is_written_with_all_strokes_and_a_picture(tmp_path: Path) -> None:
    verdict = verdict_of([*judged([(0.1, 0.2)] * 4), *judged([(0.1, 0.3)] * 4, 1)], NAMES)
    record, drawn = verdict.save(tmp_path / "new")
    read = json.loads(record.read_text())
    assert read["verdict"] == "helped"
    assert read["sentence"] == verdict.describe()
    assert read["judged"][0]["pretrained"] == [0.6, 0.7]
    assert len(read["judged"]) == read["strokes"] == 8
    assert ElementTree.parse(drawn).getroot().tag.endswith("svg")
    (tmp_path / "file").touch()
    with pytest.raises(BtunetError, match="cannot be written"):
        verdict.save(tmp_path / "file")
