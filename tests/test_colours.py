import numpy as np
import pytest

from btunet.colours import Palette, coloured, mixed, palette_of


def samples(rng: np.random.Generator, places: int = 400, features: int = 12) -> np.ndarray:
    return rng.normal(size=(places, 3)) @ rng.normal(size=(3, features)) + 0.1 * rng.normal(size=(places, features))


def picture(features: np.ndarray, palette: Palette) -> np.ndarray:
    return coloured(mixed(features, palette), palette)


def test_colours_are_bytes_and_use_their_range(rng: np.random.Generator) -> None:
    features = samples(rng, 400).T.reshape(12, 20, 20)
    colours = picture(features, palette_of(features.reshape(12, -1).T))
    assert colours.shape == (20, 20, 3) and colours.dtype == np.uint8
    assert (colours.min((0, 1)) == 0).all() and (colours.max((0, 1)) == 255).all()
    assert 90 < colours.mean() < 165


def test_mixtures_are_the_principal_components(rng: np.random.Generator) -> None:
    found = samples(rng)
    palette = palette_of(found)
    values, vectors = np.linalg.eigh(np.cov(found.T, bias=True))
    expected = (found - found.mean(0)) @ (vectors / np.sqrt(values))[:, :-4:-1]
    signs = np.sign((expected * palette.samples).sum(0))
    np.testing.assert_allclose(palette.samples, expected * signs, atol=1e-6)
    features = found.T.reshape(12, 20, 20)
    np.testing.assert_allclose(mixed(features, palette).reshape(3, -1).T, palette.samples, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_features_that_were_turned_mirrored_and_shuffled_keep_their_colours(seed: int) -> None:
    """A network may say the same with other features; nobody should see that."""
    rng = np.random.default_rng(seed)
    found = samples(rng)
    turn, _ = np.linalg.qr(rng.normal(size=(12, 12)))
    first = palette_of(found)
    second = palette_of(found @ turn + 3, first)
    before = picture(found.T.reshape(12, 20, 20), first).astype(int)
    after = picture((found @ turn + 3).T.reshape(12, 20, 20), second).astype(int)
    assert abs(before - after).max() <= 1


def test_colours_move_little_when_features_move_little_though_components_change_places(
    rng: np.random.Generator,
) -> None:
    parts = rng.normal(size=(400, 3))
    basis, _ = np.linalg.qr(rng.normal(size=(12, 3)))
    palette, changed, loose = None, [], []
    last = last_loose = np.zeros(0)
    for t in np.linspace(0, 1, 9):  # the first and the second component are of one strength in the middle
        found = parts * (1.2 - 0.4 * t, 0.8 + 0.4 * t, 0.5) @ basis.T
        palette = palette_of(found, palette)
        features = found.T.reshape(12, 20, 20)
        now, alone = picture(features, palette).astype(int), picture(features, palette_of(found)).astype(int)
        if last.size:
            changed.append(abs(now - last).mean())
            loose.append(abs(alone - last_loose).mean())
        last, last_loose = now, alone
    assert max(changed) < 5
    assert max(loose) > 20  # without the turn, they flicker


def test_limits_move_slowly(rng: np.random.Generator) -> None:
    found = samples(rng)
    first = palette_of(found)
    found[:20] *= 30  # strange places, all at once
    second, alone = palette_of(found, first), palette_of(found)
    moved, wide = abs(second.limits - first.limits).max(), abs(alone.limits - first.limits).max()
    assert wide > 1 and moved < wide / 2


def test_features_that_are_the_same_everywhere_have_one_colour() -> None:
    palette = palette_of(np.full((50, 6), 3.0))
    assert len(np.unique(picture(np.full((6, 4, 4), 3.0), palette))) == 1
    again = palette_of(np.full((50, 6), 3.0), palette)
    assert np.isfinite(again.mixture).all()
