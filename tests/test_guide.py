from typing import Any

import numpy as np
import pytest
import torch

from btunet import FinetuneSettings, finetune, predict, run
from btunet.guide import Guide
from btunet.images import as_stack
from btunet.labels import target_of_strokes
from btunet.normalise import Normalisation
from btunet.patches import Annotations, Source
from btunet.windows import Windows


@pytest.fixture
def scene(discs: Any) -> tuple[np.ndarray, Annotations]:
    images, masks = discs(planes=3, size=64)
    annotations = Annotations()
    strokes = np.zeros((64, 64), int)
    strokes[::9] = 1 + masks[0, ::9]
    annotations.put(0, 0, target_of_strokes(strokes))
    return images, annotations


def guide_of(images: np.ndarray, annotations: Annotations, seed: int = 0) -> Guide:
    sources = [Source(as_stack(images), Normalisation())]
    return Guide(sources, annotations, 2, 32, seed, Windows(sources, torch.device("cpu")))


def test_windows_come_with_probabilities_of_every_class(scene: Any, rng: np.random.Generator) -> None:
    images, expected = guide_of(*scene).draw(5, 0, rng)
    assert images.shape == (5, 1, 32, 32) and expected.shape == (5, 2, 32, 32)
    assert images.dtype == expected.dtype == torch.float32 and not expected.requires_grad
    assert torch.allclose(expected.sum(1), torch.ones(5, 32, 32), atol=1e-5)
    bright = images[:, 0] > 0.5
    assert expected[:, 1][bright].mean() > 0.7 and expected[:, 1][~bright].mean() < 0.3


def test_a_margin_is_seen_but_nothing_is_expected_there(rng: np.random.Generator) -> None:
    annotations = Annotations()
    target = np.full((200, 200), 255, np.uint8)
    target[100, 90:100], target[104, 90:100] = 0, 1
    annotations.put(0, 0, target)
    guide = guide_of(rng.random((200, 200)), annotations)
    images, expected = guide.draw(3, 16, np.random.default_rng(0))
    bare, _ = guide.draw(3, 0, np.random.default_rng(0))
    assert images.shape == (3, 1, 64, 64) and expected.shape == (3, 2, 32, 32)
    assert torch.equal(images[..., 16:48, 16:48], bare)


def test_half_of_the_windows_hold_strokes_however_few_there_are(scene: Any, rng: np.random.Generator) -> None:
    image = np.arange(300.0 * 300).reshape(300, 300)  # every value tells where it is
    annotations = Annotations()
    target = np.full((300, 300), 255, np.uint8)
    target[10, 10:20], target[12, 10:20] = 0, 1
    annotations.put(0, 0, target)
    guide = guide_of(image, annotations)
    places = guide._places(20, rng)
    inside = [0 <= 10 - y < 32 + 3 and -10 <= 10 - x < 32 for _, _, y, x in places]
    assert all(inside[::2]) and sum(inside[1::2]) < 5


def test_planes_without_strokes_are_looked_at(scene: Any, rng: np.random.Generator) -> None:
    assert {plane for _, plane, _, _ in guide_of(*scene)._places(40, rng)} == {0, 1, 2}


def test_new_strokes_are_learned_anew(scene: Any, rng: np.random.Generator) -> None:
    guide = guide_of(*scene)
    (plane, target), *_ = guide._annotations.targets.items()
    guide._annotations.put(*plane, np.where(target == 255, target, 1 - target))  # all classes exchanged
    guide.learn()
    images, expected = guide.draw(5, 0, rng)
    bright = images[:, 0] > 0.5
    assert expected[:, 0][bright].mean() > 0.7 and expected[:, 0][~bright].mean() < 0.3


def test_the_seed_alone_decides(scene: Any) -> None:
    first, again, other = (guide_of(*scene, seed).pixels.weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


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
