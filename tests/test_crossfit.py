"""Every stroke is judged once, by a classifier that saw nothing of it."""

from __future__ import annotations

import numpy as np
import pytest

from btunet.crossfit import judgements
from btunet.folds import Folds
from btunet.images import as_stack
from btunet.instant import Seen, look, untaught
from btunet.labels import IGNORE
from btunet.normalise import Normalisation
from btunet.patches import Annotations, Source

SIDE = 160


def painted(strokes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return an image, dark on the left and bright on the right, and a target with strokes on both sides."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 0.1, (SIDE, SIDE)) + (np.arange(SIDE) >= SIDE // 2)
    target = np.full((SIDE, SIDE), IGNORE, np.uint8)
    for row in np.linspace(5, SIDE - 6, strokes).astype(int):
        target[row, 5:40], target[row, SIDE - 40 : SIDE - 5] = 0, 1
    return image, target


def judged(image: np.ndarray, target: np.ndarray, folds: Folds) -> dict[int, np.ndarray]:
    """Return the shares of every stroke that was judged."""
    annotations = Annotations()
    annotations.put(0, 0, target)
    folds.deal(0, 0, target)
    sources = [Source(as_stack(image), Normalisation())]
    seen = look(sources, annotations, 0, untaught(sources, 2, 0))
    found: dict[int, np.ndarray] = {}
    for numbers, shares, sure in judgements(seen, folds, annotations.targets, np.zeros(2), 0):
        assert not found.keys() & set(numbers)
        np.testing.assert_allclose(sure.sum(1), 1, rtol=1e-5)
        assert (sure.argmax(1) == shares.argmax(1)).all()
        found |= dict(zip(numbers, shares, strict=True))
    return found


def test_every_stroke_is_judged_once_and_rightly_where_that_is_easy() -> None:
    folds = Folds(5)
    found = judged(*painted(6), folds)
    assert found.keys() == set(range(12))
    for number, shares in found.items():
        assert shares.sum() == pytest.approx(1)
        assert shares[folds.strokes[number].kind] > 0.9


def test_a_stroke_of_the_wrong_class_is_judged_by_the_others() -> None:
    """One who had learned it would agree with it."""
    image, target = painted(8)
    wrong = np.unique(np.nonzero(target != IGNORE)[0])[3]
    target[wrong, 5:40] = 1
    folds = Folds(4)
    found = judged(image, target, folds)
    number = next(n for n, s in enumerate(folds.strokes) if s.pixels[0] == wrong * SIDE + 5)
    assert folds.strokes[number].kind == 1
    assert found[number][0] > 0.8


def test_a_class_of_one_stroke_is_not_judged() -> None:
    image, target = painted(4)
    target[:, SIDE // 2 :] = IGNORE
    target[80, SIDE - 40 : SIDE - 5] = 1
    folds = Folds(4)
    found = judged(image, target, folds)
    kinds = [folds.strokes[n].kind for n in found]
    assert kinds
    assert 1 not in kinds


def test_what_is_held_out_and_its_surroundings_are_not_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    _, target = painted(6)
    learned: list[np.ndarray] = []

    class Spy:
        def __init__(self, seen: Seen, *_: object) -> None:
            learned.append(seen.features[:, 0].copy())

        def expect(self, prior: np.ndarray) -> None:
            assert not prior.any()

        def __call__(self, features: np.ndarray) -> np.ndarray:
            asked = set(features[:, 0].tolist())
            assert not asked & set(learned[-1].tolist())
            return np.full((len(features), 2), 0.5)

    monkeypatch.setattr("btunet.crossfit.InstantClassifier", Spy)
    folds, annotations = Folds(3), Annotations()
    annotations.put(0, 0, target)
    folds.deal(0, 0, target)
    flat = np.flatnonzero(target != IGNORE)
    labels = target.ravel()[flat]
    seen = Seen(flat[:, None].astype(np.float32), labels, ((0, 0),), np.zeros(len(flat), int), flat)
    assert len(list(judgements(seen, folds, annotations.targets, np.zeros(2), 0))) == 3
    assert len(learned) == 3


def test_strokes_are_judged_as_common_as_their_class_is_taken_to_be() -> None:
    image, target = painted(6)
    image = image + np.random.default_rng(1).normal(0, 2, image.shape)  # hard to tell apart
    annotations, folds = Annotations(), Folds(3)
    annotations.put(0, 0, target)
    folds.deal(0, 0, target)
    sources = [Source(as_stack(image), Normalisation())]
    seen = look(sources, annotations, 0, untaught(sources, 2, 0))
    even, rare = (
        np.concatenate([shares for _, shares, _ in judgements(seen, folds, annotations.targets, np.log(prior), 0)])
        for prior in (np.array([0.5, 0.5]), np.array([0.9, 0.1]))
    )
    assert rare[:, 1].mean() < even[:, 1].mean()
