"""Parts of planes are looked at once, and understood anew with every stroke."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from btunet.images import as_stack
from btunet.instant import untaught
from btunet.networks.pixels import Pixels
from btunet.normalise import Normalisation
from btunet.parts import MOST, Parts
from btunet.patches import Source
from btunet.tiles import predict_plane

HEIGHT, WIDTH = 90, 140
SIZE = 64


@pytest.fixture(scope="module")
def source() -> Source:
    rng = np.random.default_rng(0)
    image = np.stack([np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) + rng.normal(0, 20, (HEIGHT, WIDTH))] * 2)
    return Source(as_stack(image), Normalisation())


@pytest.fixture
def pixels(source: Source) -> Pixels:
    made = untaught([source], 3, 0).pixels
    made.weight.copy_(torch.randn(made.weight.shape, generator=torch.Generator().manual_seed(0)) / 20)
    return made


@pytest.mark.parametrize(("y", "x", "size"), [(0, 0, SIZE), (64, 64, SIZE), (0, 0, 75), (64, 128, 26)])
def test_a_part_is_what_is_predicted_of_the_whole_plane(
    source: Source, pixels: Pixels, y: int, x: int, size: int
) -> None:
    whole = predict_plane(pixels, source.plane(1), 512)[:, y : y + size, x : x + size]
    found = Parts(pixels).understood(source, (0, 1, y, x), size)
    assert found.shape == (3, size, size)
    np.testing.assert_allclose(found[:, : HEIGHT - y, : WIDTH - x], whole, atol=2e-3)  # half precision is kept
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)


def test_another_stroke_asks_for_no_features(source: Source, pixels: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, asked = Parts(pixels), []
    real = pixels.features
    monkeypatch.setattr(pixels, "features", lambda images: asked.append(1) or real(images))  # type: ignore[func-returns-value]
    before = parts.understood(source, (0, 0, 0, 0), SIZE)
    pixels.weight.neg_()
    after = parts.understood(source, (0, 0, 0, 0), SIZE)
    assert len(asked) == 1
    assert np.abs(after - before).max() > 0.1


def test_the_latest_parts_are_kept(source: Source, pixels: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("btunet.parts.MOST", 2 * SIZE**2)
    assert MOST > 2048**2 - 1  # a plane of that size is kept whole
    parts, asked = Parts(pixels), []
    real = parts._features
    monkeypatch.setattr(parts, "_features", lambda *given: asked.append(given[1][0]) or real(*given))  # type: ignore[func-returns-value]
    for image in (0, 1, 0, 2, 0, 1):
        parts.understood(source, (image, 0, 0, 0), SIZE)
    assert asked == [0, 1, 2, 1]
