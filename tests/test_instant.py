from typing import Any

import numpy as np
import pytest
import torch

from btunet import instant
from btunet.images import as_stack
from btunet.instant import TILE, InstantClassifier, Memory, Seen, learn, look, prior_of, trust_in_features, untaught
from btunet.labels import target_of_strokes
from btunet.networks.pixels import Pixels, enlarged
from btunet.networks.trunk import STRIDES
from btunet.normalise import Normalisation
from btunet.patches import Annotations, Source


def painted(image: np.ndarray, strokes: np.ndarray) -> tuple[list[Source], Annotations]:
    source, annotations = Source(as_stack(image), Normalisation()), Annotations()
    annotations.put(0, 0, target_of_strokes(strokes))
    return [source], annotations


def seen(features: np.ndarray, labels: np.ndarray, planes: int = 1) -> Seen:
    """Return pixels of which the first features tell something, the others nothing."""
    count, known = features.shape
    features = np.hstack([features, np.zeros((count, 416 - known))]).astype(np.float32)
    of = np.arange(count) % planes
    return Seen(features, labels, tuple((0, n) for n in range(planes)), of, np.arange(count))


def strokes_on(mask: np.ndarray) -> np.ndarray:
    strokes = np.zeros(mask.shape, int)
    strokes[::9] = 1 + mask[::9]
    return strokes


def test_strokes_on_some_rows_find_the_discs_everywhere(discs: Any) -> None:
    image, mask = (a[0] for a in discs(size=128))
    sources, annotations = painted(image, strokes_on(mask))
    memory = untaught(sources, 2, 0)
    classifier = learn(sources, annotations, 2, 0, memory)
    annotations.put(0, 0, mask)
    rest = look(sources, annotations, 0, memory)
    found = classifier(rest.features).argmax(1)
    assert 2 * (found & rest.labels).sum() / (found.sum() + rest.labels.sum()) > 0.9


def test_the_seed_alone_decides(discs: Any) -> None:
    image, mask = (a[0] for a in discs(size=192))  # larger than a glance, so that these may fall elsewhere
    sources, annotations = painted(image, strokes_on(mask))
    memories = [untaught(sources, 2, seed) for seed in (0, 0, 1)]
    first, again, other = (learn(sources, annotations, 2, 0, memory).weight for memory in memories)
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_what_sees_far_counts_the_less_the_fewer_planes_were_painted(rng: np.random.Generator) -> None:
    one, four, many = (trust_in_features(n) for n in (1, 4, 40))
    assert (many == four).all()
    assert one[0] == four[0] == 1 and (np.diff(one) <= 0).all() and one[-1] == 1 / 16 and four[-1] == 1 / 2
    labels, features = np.repeat([0, 1], 50), np.zeros((100, 416), np.float32)
    features[50:, [0, 415]] = 1  # the finest and the coarsest tell the same
    near, far = (InstantClassifier(seen(features, labels, planes), 2, 0).weight[1] for planes in (1, 4))
    assert near[0] > 100 * near[415] > 0 and 3 < far[0] / far[415] < 5


def test_probabilities_sum_to_one_and_a_class_nobody_painted_has_none(rng: np.random.Generator) -> None:
    features, labels = rng.normal(size=(60, 4)), np.repeat([0, 2], 30)
    features[30:] += 2
    pixels = seen(features, labels)
    found = InstantClassifier(pixels, 4, 0)(pixels.features)
    assert found.shape == (60, 4) and found.dtype == np.float32
    assert found.sum(1) == pytest.approx(1, abs=1e-5) and not found[:, [1, 3]].any()
    assert (found.argmax(1) == labels).mean() > 0.9


def test_classes_count_the_same_however_few_their_pixels(rng: np.random.Generator) -> None:
    features, labels = rng.normal(size=(2020, 1)), np.repeat([0, 1], [2000, 20])
    features[2000:] += 3
    classifier = InstantClassifier(seen(features, labels), 2, 0)
    assert classifier(seen(np.full((1, 1), 2.2), np.zeros(1, int)).features)[0, 1] > 0.5


def test_features_do_not_depend_on_the_tile(rng: np.random.Generator) -> None:
    size = 2 * TILE
    source = Source(as_stack(rng.random((size, size), np.float32)), Normalisation())
    annotations, memory = Annotations(), untaught([source], 2, 0)
    pixels = memory.pixels
    target = np.full((size, size), 255, np.uint8)
    target[200:300, TILE - 1 : TILE + 1] = 1
    annotations.put(0, 0, target)
    found = look([source], annotations, 0, memory)
    whole = torch.cat([enlarged(m, s) for m, s in zip(pixels.features(send(source, pixels)), STRIDES, strict=True)], 1)
    expected = whole[0].flatten(1)[:, found.pixels].T.numpy()
    assert len(found.pixels) == 200
    apart = np.abs(found.features - expected)
    assert apart[:, :112].max() < 0.01  # these see no further than the margin
    assert apart.mean() < 0.3  # deviations, on noise; what sees further sees zeros instead of the rest of the plane


def test_what_is_learned_at_the_border_is_what_is_predicted_there(rng: np.random.Generator) -> None:
    source = Source(as_stack(rng.random((90, 140), np.float32)), Normalisation())
    annotations, memory = Annotations(), untaught([source], 2, 0)
    target = np.full((90, 140), 255, np.uint8)
    target[:3, 20:], target[-2:, :30], target[40, -1] = 1, 0, 1
    annotations.put(0, 0, target)
    found = look([source], annotations, 0, memory)
    maps = memory.pixels.features(send(source, memory.pixels))
    whole = torch.cat([enlarged(m, s) for m, s in zip(maps, STRIDES, strict=True)], 1)[0, :, :90, :140]
    expected = whole.flatten(1)[:, found.pixels].T.numpy()
    np.testing.assert_allclose(found.features, expected, atol=1e-4)


def send(source: Source, pixels: Pixels) -> torch.Tensor:
    return torch.from_numpy(source.plane(0))[None].to(pixels.bias.device)


def test_of_very_many_pixels_every_class_is_seen(rng: np.random.Generator) -> None:
    features, labels = rng.normal(size=(20_000, 3)), np.zeros(20_000, int)
    features[7], labels[7] = 9, 1
    pixels = seen(features, labels)
    found = InstantClassifier(pixels, 2, 0)(pixels.features[[7, 8]])
    assert found[0, 1] > found[1, 1]


def test_a_single_class_is_all_there_is(rng: np.random.Generator) -> None:
    pixels = seen(rng.normal(size=(30, 4)), np.ones(30, int))
    assert (InstantClassifier(pixels, 3, 0)(pixels.features) == [0, 1, 0]).all()


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
    sources = [Source(as_stack(image), Normalisation())]
    memory = untaught(sources, 3, 0)
    tile = memory.tile
    monkeypatch.setattr(memory, "tile", lambda *at: looked.append(at[1]) or tile(*at))
    classifier = learn(sources, annotations, 3, 0, memory)
    assert len(looked) <= 4 and (classifier.bias > -1000).tolist() == [True, False, True]


def test_shares_of_classes_are_believed_the_more_the_more_planes_were_painted() -> None:
    one, four, many = (prior_of(np.array([0.9, 0.1]), planes) for planes in (1, 4, 400))
    bonus = [float(prior[0] - prior[1]) for prior in (one, four, many)]  # of the background
    assert 0 < bonus[0] < bonus[1] < bonus[2] < np.log(9)
    assert one.dtype == np.float32 and (prior_of(np.array([0.5, 0.5]), 4) == prior_of(np.array([0.5, 0.5]), 4)[0]).all()
    assert np.isfinite(prior_of(np.array([1.0, 0.0]), 4)).all()


def test_a_class_that_seems_rare_is_found_less_often_and_masks_say_it_themselves(discs: Any) -> None:
    image, mask = (a[0] for a in discs(size=128))
    noise = np.random.default_rng(0).normal(0, image.std(), image.shape)
    sources, annotations = painted(image + noise.astype(image.dtype), strokes_on(mask))
    memory = untaught(sources, 2, 0)
    pixels = memory.anywhere(sources, 0)
    np.testing.assert_allclose(pixels, Memory(memory.pixels).anywhere(sources, 0), atol=0.05)  # looked at again
    assert memory.anywhere(sources, 0) is pixels and len(np.unique(pixels[:, 0])) > 100
    usual = InstantClassifier(look(sources, annotations, 0, memory), 2, 0)
    expecting = learn(sources, annotations, 2, 0, memory)
    assert 0.02 < usual(pixels).argmax(1).mean() < 0.5
    assert (expecting(pixels)[:, 1] < usual(pixels)[:, 1]).all()
    assert (expecting.weight == usual.weight).all()
    np.testing.assert_allclose(expecting.bias - expecting.prior, usual.bias, atol=1e-6)
    assert not learn(sources, annotations, 2, 0, memory, balanced=False).prior.any()
