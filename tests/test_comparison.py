"""Two models are compared by strokes that neither had learned when it was judged."""

from __future__ import annotations

import pytest

from btunet.comparison import (
    FEWEST,
    PEER,
    Comparison,
    Score,
    compare,
    compare_with_classifier,
    right,
    went_on_from,
)
from btunet.model import Model


def judged(rights: list[float], first: int = 0, kind: int = 1) -> list[dict[str, object]]:
    """Return records of strokes, one per number."""
    return [{"image": "a", "plane": 0, "pixel": first + n, "class": kind, "right": r} for n, r in enumerate(rights)]


def model(*records: list[dict[str, object]]) -> Model:
    return Model(
        "unet", 1, ("background", "object"), {}, history=({"held out": [r for some in records for r in some]},)
    )


def test_the_difference_is_that_of_common_strokes_classes_counting_the_same() -> None:
    old = model(judged([0.5] * 6), judged([0.8] * 3, 100, 0), judged([0.0], 500))
    new = model(judged([0.9] * 6), judged([0.6] * 3, 100, 0), judged([0.0], 900))
    found = compare(new, old)
    assert found
    assert found.difference == pytest.approx((0.4 - 0.2) / 2)
    assert found.strokes == 9
    assert found.low <= found.difference <= found.high


def test_a_model_is_worse_only_beyond_doubt() -> None:
    better, same = judged([0.9, 0.95, 0.9, 1.0]), judged([0.9, 0.8, 0.95, 1.0])
    bad = judged([0.3, 0.4, 0.2, 0.5])
    certain, doubtful = compare(model(bad), model(better)), compare(model(same), model(better))
    assert certain and doubtful
    assert certain.is_worse
    assert not doubtful.is_worse
    gain = compare(model(better), model(bad))
    assert gain
    assert not gain.is_worse


def test_too_few_common_strokes_say_nothing() -> None:
    few = judged([0.1] * (FEWEST - 1))
    assert compare(model(few), model(few)) is None
    assert compare(model(judged([0.1] * 9)), model(judged([0.9] * 9, 1000))) is None
    assert compare(model(judged([0.1] * 9)), Model("unet", 1, ("a", "b"), {})) is None


def test_it_is_said_in_words() -> None:
    assert Comparison(-0.042, -0.1, -0.01, 9).describe() == "0.04 lower on 9 held-out strokes"
    assert Comparison(0.1, 0.0, 0.2, 12).describe() == "0.10 higher on 12 held-out strokes"


def test_the_score_has_an_interval_that_few_strokes_make_wide() -> None:
    few, many = right(model(judged([1.0] * 3))), right(model(judged([1.0] * 40)))
    assert few and many
    assert few.share == many.share == few.high == 1.0
    assert few.low < 0.7 and many.low > 0.9
    both = right(model(judged([0.5] * 6), judged([1.0] * 2, 100, 0)))
    assert both
    assert (both.share, both.strokes) == (pytest.approx(0.75), 8)
    assert both.low < both.share < both.high
    assert right(Model("unet", 1, ("a", "b"), {})) is None
    assert Score(0.9, 0.5, 1.0, 7).describe() == "right in 0.90 (0.50 to 1.00) of 7 held-out strokes"


def test_a_model_that_was_trained_further_is_compared_with_what_it_was() -> None:
    first = {"verb": "finetune", "date": "2026-01-01T10:00:00+00:00", "held out": judged([0.2] * 9)}
    second = {"verb": "finetune", "date": "2026-01-01T11:00:00+00:00", "held out": judged([0.9] * 4, 50)}
    old = Model("unet", 1, ("a", "b"), {}, history=(first,))
    new = Model("unet", 1, ("a", "b"), {}, history=(first, {**second, "held out before": judged([0.7] * 4, 50)}))
    assert went_on_from(new, old)
    assert not went_on_from(old, new) and not went_on_from(old, old)
    found = compare(new, old)
    assert found
    assert (found.difference, found.strokes) == (pytest.approx(0.2), 4)


def test_a_network_is_compared_with_the_classifier_it_began_with() -> None:
    record = {"verb": "finetune", "held out": judged([0.3, 0.4, 0.2, 0.5]), PEER: judged([0.9, 0.8, 1.0, 0.9])}
    found = compare_with_classifier(Model("unet", 1, ("a", "b"), {}, history=(record,)))
    assert found
    assert found.is_worse
    assert found.describe() == "0.55 lower on 4 held-out strokes"
    swapped = {**record, "held out": record[PEER], PEER: record["held out"]}
    better = compare_with_classifier(Model("unet", 1, ("a", "b"), {}, history=(swapped,)))
    assert better
    assert not better.is_worse
    assert compare_with_classifier(model(judged([0.1] * 9))) is None
