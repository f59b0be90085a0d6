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
from btunet.tiles import predict_plane


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
    return Guide(sources, annotations, 2, 32, seed)


def expected_of(guide: Guide, count: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return windows (N, Y, X) and what is expected there (N, K, Y, X)."""
    places = guide.places(count, rng)
    images = np.stack([guide._sources[i].patch(plane, y, x, 32)[0] for i, plane, y, x in places])
    return torch.from_numpy(images), guide.expect(places, as_it_is(count))


def as_it_is(count: int) -> torch.Tensor:
    return torch.eye(2, 3).repeat(count, 1, 1)


def test_windows_come_with_probabilities_of_every_class(scene: Any, rng: np.random.Generator) -> None:
    images, expected = expected_of(guide_of(*scene), 5, rng)
    assert expected.shape == (5, 2, 32, 32)
    assert expected.dtype == torch.float32 and not expected.requires_grad
    assert torch.allclose(expected.sum(1), torch.ones(5, 32, 32), atol=1e-5)
    bright = images > 0.5
    assert expected[:, 1][bright].mean() > 0.7 and expected[:, 1][~bright].mean() < 0.3


def test_what_is_expected_is_what_would_be_predicted_and_turns_with_the_patch(rng: np.random.Generator) -> None:
    annotations = Annotations()
    target = np.full((200, 200), 255, np.uint8)
    target[100, 90:100], target[104, 90:100] = 0, 1
    annotations.put(0, 0, target)
    guide = guide_of(rng.random((200, 200)), annotations)
    predicted = torch.from_numpy(predict_plane(guide.pixels, guide._sources[0].plane(0), 512))
    mirror = torch.tensor([[[-1.0, 0, 0], [0, 1, 0]]])
    (there,), (mirrored,) = (guide.expect([(0, 0, 64, 96)], matrix) for matrix in (as_it_is(1), mirror))
    assert (there - predicted[:, 64:96, 96:128]).abs().max() < 0.05  # half precision; tiles of 256 pixels
    assert (mirrored.flip(2) - there).abs().max() < 0.01


def test_half_of_the_windows_hold_strokes_however_few_there_are(scene: Any, rng: np.random.Generator) -> None:
    image = np.arange(300.0 * 300).reshape(300, 300)  # every value tells where it is
    annotations = Annotations()
    target = np.full((300, 300), 255, np.uint8)
    target[10, 10:20], target[12, 10:20] = 0, 1
    annotations.put(0, 0, target)
    guide = guide_of(image, annotations)
    places = guide.places(20, rng)
    inside = [0 <= 10 - y < 32 + 3 and -10 <= 10 - x < 32 for _, _, y, x in places]
    assert all(inside[::2]) and sum(inside[1::2]) < 5


def test_planes_without_strokes_are_looked_at(scene: Any, rng: np.random.Generator) -> None:
    assert {plane for _, plane, _, _ in guide_of(*scene).places(40, rng)} == {0, 1, 2}


def test_new_strokes_are_learned_anew(scene: Any, rng: np.random.Generator) -> None:
    guide = guide_of(*scene)
    (plane, target), *_ = guide._annotations.targets.items()
    guide._annotations.put(*plane, np.where(target == 255, target, 1 - target))  # all classes exchanged
    guide.learn()
    images, expected = expected_of(guide, 5, rng)
    bright = images > 0.5
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
