from typing import Any

import numpy as np
import pytest

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
    found = learn(*painted(image, strokes_on(mask)), 2, 0).plane(painted(image, strokes_on(mask))[0][0], 0)
    assert found.shape == mask.shape and found.dtype == np.uint8
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


def test_a_plane_is_predicted_the_same_as_its_windows_and_without_a_seam(rng: np.random.Generator) -> None:
    size = TILE + 40
    image = rng.random((size, size)).astype(np.float32)
    strokes = np.zeros((size, size), int)
    strokes[5, 5:40], strokes[-5, -40:-5] = 1, 2
    sources, annotations = painted(image, strokes)
    classifier = learn(sources, annotations, 2, 0)
    whole = responses_of(sources[0], 0, 0, 0, size)
    tile = responses_of(sources[0], 0, 0, TILE, TILE)
    assert tile[:, :TILE, :40] == pytest.approx(whole[:, :TILE, TILE:], abs=0.01)
    assert classifier.plane(sources[0], 0).shape == (size, size)
