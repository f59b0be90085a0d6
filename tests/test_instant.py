from typing import Any

import numpy as np
import pytest

from btunet import instant
from btunet.images import as_stack
from btunet.instant import TILE, InstantClassifier, learn, responses_of
from btunet.labels import target_of_strokes
from btunet.normalise import Normalisation
from btunet.patches import Annotations, Source


def painted(image: np.ndarray, strokes: np.ndarray) -> tuple[list[Source], Annotations]:
    source, annotations = Source(as_stack(image), Normalisation()), Annotations()
    annotations.put(0, 0, target_of_strokes(strokes))
    return [source], annotations


def strokes_on(mask: np.ndarray) -> np.ndarray:
    strokes = np.zeros(mask.shape, int)
    strokes[::9] = 1 + mask[::9]
    return strokes


def test_strokes_on_some_rows_find_the_discs_everywhere(discs: Any) -> None:
    image, mask = (a[0] for a in discs(size=128))
    sources, annotations = painted(image, strokes_on(mask))
    found = learn(sources, annotations, 2, 0).window(sources[0], 0, 0, 0, 128).argmax(0)
    assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.9


def test_the_seed_alone_decides(discs: Any) -> None:
    image, mask = (a[0] for a in discs(size=64))
    sources, annotations = painted(image, strokes_on(mask))
    first, again, other = (learn(sources, annotations, 2, seed).window(sources[0], 0, 0, 0, 64) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_probabilities_sum_to_one_and_a_class_nobody_painted_has_none(rng: np.random.Generator) -> None:
    responses, labels = rng.normal(size=(60, 4)).astype(np.float32), np.repeat([0, 2], 30)
    responses[30:] += 2
    found = InstantClassifier(responses, labels, 4, 0)(responses)
    assert found.shape == (60, 4) and found.dtype == np.float32
    assert found.sum(1) == pytest.approx(1, abs=1e-5) and not found[:, [1, 3]].any()
    assert (found.argmax(1) == labels).mean() > 0.9


def test_classes_count_the_same_however_few_their_pixels(rng: np.random.Generator) -> None:
    responses = rng.normal(size=(2020, 1)).astype(np.float32)
    labels = np.repeat([0, 1], [2000, 20])
    responses[2000:] += 3
    found = InstantClassifier(responses, labels, 2, 0)(np.full((1, 1), 2.2, np.float32))
    assert found[0, 1] > 0.5


def test_responses_do_not_depend_on_the_window(rng: np.random.Generator) -> None:
    source = Source(as_stack(rng.random((TILE + 40, TILE + 40)).astype(np.float32)), Normalisation())
    whole = responses_of(source, 0, 0, 0, TILE + 40)
    tile = responses_of(source, 0, 0, TILE, TILE)
    assert tile[:, :TILE, :40] == pytest.approx(whole[:, :TILE, TILE:], abs=0.01)


def test_of_very_many_pixels_every_class_is_seen(rng: np.random.Generator) -> None:
    responses = rng.normal(size=(20_000, 3)).astype(np.float32)
    labels = np.zeros(20_000, int)
    responses[7], labels[7] = 9, 1
    found = InstantClassifier(responses, labels, 2, 0)(responses[[7, 8]])
    assert found[0, 1] > found[1, 1]


def test_a_single_class_is_all_there_is(rng: np.random.Generator) -> None:
    responses = rng.normal(size=(30, 4)).astype(np.float32)
    found = InstantClassifier(responses, np.ones(30, int), 3, 0)(responses)
    assert (found == [0, 1, 0]).all()


def test_of_many_masks_enough_is_looked_at_and_no_class_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instant, "TILE", 32)
    monkeypatch.setattr(instant, "ENOUGH", 3)
    image = np.random.default_rng(0).random((40, 64, 64), np.float32)
    annotations = Annotations()
    for plane in range(40):
        target = np.zeros((64, 64), np.uint8)
        if plane == 17:
            target[40:50, 40:50] = 2
            image[plane, 40:50, 40:50] += 5
        annotations.put(0, plane, target)
    looked: list[Any] = []
    real = instant.responses_of
    monkeypatch.setattr(instant, "responses_of", lambda *at: looked.append(at[1:]) or real(*at))
    classifier = instant.learn([Source(as_stack(image), Normalisation())], annotations, 3, 0)
    assert len(looked) <= 4 and classifier.known.tolist() == [0, 2]
