"""Windows of the trunk's maps: the same as those of the whole plane, wherever they lie and however they are turned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from btunet import featuremaps
from btunet.featuremaps import BORDER, FeatureMaps, square
from btunet.images import as_stack
from btunet.instant import untaught
from btunet.networks.pixels import Pixels, enlarged
from btunet.networks.trunk import STRIDES
from btunet.normalise import Normalisation
from btunet.patches import Annotations, Source

HEIGHT, WIDTH = 150, 200
AS_IT_IS = torch.eye(2, 3)[None]
MIRROR = torch.tensor([[[-1.0, 0, 0], [0, 1, 0]]])
TURN = torch.tensor([[[0.0, -1, 0], [1, 0, 0]]])
CLOSER = AS_IT_IS * 0.5


@pytest.fixture(scope="module")
def source() -> Source:
    rng = np.random.default_rng(0)
    slope = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH))
    return Source(as_stack(np.stack([slope + rng.normal(0, 20, slope.shape) for _ in range(2)])), Normalisation())


@pytest.fixture(scope="module")
def pixels(source: Source) -> Pixels:
    return untaught([source], 2, 0).pixels


def painted(*planes: int) -> Annotations:
    annotations = Annotations()
    for plane in planes:
        annotations.put(0, plane, np.zeros((HEIGHT, WIDTH), np.uint8))
    return annotations


def window(maps: list[torch.Tensor], size: int) -> torch.Tensor:
    """Return the features (F, size, size) inside the border."""
    return torch.cat([enlarged(m, s, BORDER)[..., :size, :size] for m, s in zip(maps, STRIDES, strict=True)], 1)[0]


def whole(source: Source, pixels: Pixels, plane: int) -> torch.Tensor:
    maps = pixels.features(torch.from_numpy(source.plane(plane))[None])
    return torch.cat([enlarged(m, s) for m, s in zip(maps, STRIDES, strict=True)], 1)[0]


@pytest.mark.parametrize(("y", "x", "size"), [(32, 64, 64), (64, 96, 64), (0, 0, 32), (96, 128, 16), (32, 32, 40)])
def test_a_window_has_the_features_of_the_plane(source: Source, pixels: Pixels, y: int, x: int, size: int) -> None:
    maps = FeatureMaps(pixels, [source], painted(0, 1))([(0, 1, y, x)], size, AS_IT_IS)
    wide = -(-size // 32) * 32 + 2 * BORDER
    assert [tuple(m.shape[2:]) for m in maps] == [(wide // s, wide // s) for s in STRIDES]
    expected = whole(source, pixels, 1)[:, y : y + size, x : x + size]
    assert (window(maps, size) - expected).abs().max() < 5e-3  # half precision is kept


def test_a_window_anywhere_is_near_enough(source: Source, pixels: Pixels) -> None:
    maps = FeatureMaps(pixels, [source], painted(0, 1))([(0, 0, 45, 75)], 64, AS_IT_IS)
    expected = whole(source, pixels, 0)[:, 45:109, 75:139]
    found = window(maps, 64)
    assert np.corrcoef(found[-192:].flatten(), expected[-192:].flatten())[0, 1] > 0.95  # the coarsest map
    apart = whole(source, pixels, 0)[:, 61:125, 75:139]
    assert (found - expected).abs().mean() < 0.7 * (found - apart).abs().mean()


@pytest.mark.parametrize("size", [64, 40])
def test_windows_turn_around_their_middle(source: Source, pixels: Pixels, size: int) -> None:
    cut, places = FeatureMaps(pixels, [source], painted(0, 1)), [(0, 0, 32, 64)]
    there = window(cut(places, size, AS_IT_IS), size)
    mirrored, turned = (window(cut(places, size, matrix), size) for matrix in (MIRROR, TURN))
    blurred = 0.02 if size % 32 == 0 else 0.5  # places between pixels of the coarse maps
    assert (mirrored.flip(2) - there).abs().mean() < blurred
    assert (torch.rot90(turned, -1, (1, 2)) - there).abs().mean() < blurred
    closer = window(cut(places, size, CLOSER), size)
    middle = there[:, size // 4 : -size // 4, size // 4 : -size // 4]
    enlarged_middle = torch.nn.functional.interpolate(middle[None], scale_factor=2, mode="bilinear")[0]
    assert (closer - enlarged_middle).abs().mean() < 0.5 * (closer - there).abs().mean()


def test_beyond_the_plane_its_border_is_repeated(source: Source, pixels: Pixels) -> None:
    found = window(FeatureMaps(pixels, [source], painted(0, 1))([(0, 0, -64, 0)], 32, AS_IT_IS), 32)
    assert torch.isfinite(found).all()
    assert (found - found[:, :1]).abs().max() < 1e-6
    ramp = torch.arange(6.0).view(1, 2, 3)
    assert square(ramp, -1, 1, 3).tolist() == [[[1, 2, 2], [1, 2, 2], [4, 5, 5]]]


def test_painted_planes_are_looked_at_once_as_long_as_there_is_room(
    source: Source, pixels: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, real = [], pixels.features
    monkeypatch.setattr(pixels, "features", lambda images: looked.append(1) or real(images))  # type: ignore[func-returns-value]
    monkeypatch.setattr(featuremaps, "ROOM", 256**2)
    cut, places = FeatureMaps(pixels, [source], painted(0, 1)), [(0, 0, 20, 30), (0, 0, 0, 0), (0, 1, 0, 0)]
    for place, count in zip((0, 1, 0, 2, 2, 1), (1, 1, 1, 2, 3, 3), strict=True):
        cut([places[place]], 32, AS_IT_IS)
        assert len(looked) == count


def test_what_is_looked_at_alone_is_seen_the_same(source: Source, pixels: Pixels) -> None:
    place = [(0, 0, 32, 64)]
    kept, alone = (FeatureMaps(pixels, [source], painted(*planes))(place, 64, AS_IT_IS) for planes in ((0,), ()))
    assert all((a - b).abs().mean() < 0.05 for a, b in zip(kept, alone, strict=True))


def test_a_window_across_tiles_is_whole(pixels: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    plane = np.random.default_rng(1).random((200, 260), np.float32)
    source = Source(as_stack(plane), Normalisation())
    one = FeatureMaps(pixels, [source], painted(0, 1))([(0, 0, 30, 100)], 64, AS_IT_IS)
    monkeypatch.setattr(featuremaps, "TILE", 64)
    several = FeatureMaps(pixels, [source], painted(0, 1))
    found = several([(0, 0, 30, 100)], 64, AS_IT_IS)
    assert len(several._tiles) > 4
    assert all((a[:, :, 8:-8] - b[:, :, 8:-8]).abs().mean() < 0.1 for a, b in zip(one[:3], found[:3], strict=True))
