from typing import Any

import numpy as np
import pytest

from btunet import FinetuneSettings, finetune, predict, run
from btunet.guide import WINDOWS, Guide
from btunet.images import as_stack
from btunet.labels import target_of_strokes
from btunet.normalise import Normalisation
from btunet.patches import Annotations, Source


@pytest.fixture
def guide(discs: Any) -> Guide:
    images, masks = discs(planes=3, size=64)
    annotations = Annotations()
    strokes = np.zeros((64, 64), int)
    strokes[::9] = 1 + masks[0, ::9]
    annotations.put(0, 0, target_of_strokes(strokes))
    return Guide([Source(as_stack(images), Normalisation())], annotations, 2, 32, seed=0)


def test_windows_come_with_probabilities_of_every_class(guide: Guide, rng: np.random.Generator) -> None:
    images, expected = guide.draw(4, rng)
    assert images.shape == (4, 1, 32, 32) and expected.shape == (4, 2, 32, 32)
    assert images.dtype == expected.dtype == np.float32
    assert expected.sum(1) == pytest.approx(1, abs=2e-3)
    bright = images[:, 0] > 0.5
    assert expected[:, 1][bright].mean() > 0.7 and expected[:, 1][~bright].mean() < 0.3


def test_as_many_windows_are_kept_as_memory_was_meant_for(guide: Guide, rng: np.random.Generator) -> None:
    counts = []
    for _ in range(WINDOWS):
        guide.draw(4, rng)
        counts.append(len(guide._windows))
    assert counts[0] == 4 and max(counts) == counts[-1] == WINDOWS


def test_more_windows_than_are_kept_can_be_drawn(guide: Guide, rng: np.random.Generator) -> None:
    assert len(guide.draw(WINDOWS + 10, rng)[0]) == WINDOWS + 10


def test_new_strokes_are_learned_anew(guide: Guide, rng: np.random.Generator) -> None:
    guide.draw(4, rng)
    before = guide.classifier
    guide.learn()
    assert guide.classifier is not before and not guide._windows


def test_a_network_that_saw_few_strokes_calls_the_unpainted_rest_what_it_looks_like(discs: Any) -> None:
    """Background was painted near the discs only; without the guide the network called the rest disc."""
    image, mask = (a[0] for a in discs(size=96))
    y, x = np.mgrid[:96, :96]
    strokes = np.zeros((96, 96), int)
    ys, xs = np.nonzero(mask)
    distance = np.sqrt(((y[..., None] - ys[::7]) ** 2 + (x[..., None] - xs[::7]) ** 2).min(-1))
    strokes[(distance > 3) & (distance < 6)] = 1
    strokes[(mask == 1) & (x % 3 == 0)] = 2
    model = run(finetune([image], [strokes], FinetuneSettings(steps=30, batch=8, patch_size=64)))
    (found,) = run(predict(model, [image]))
    assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.8
