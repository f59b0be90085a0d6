from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from btunet.sweep import Tiling, _weights, blend, sweep


def plane(height: int, width: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(channels, height, width)).astype(np.float32)


def blurred(window: np.ndarray) -> np.ndarray:
    """Return something that depends on neighbours, and on where the window ends."""
    found = window.copy()
    found[:, 1:] += window[:, :-1] * 0.3
    found[:, :, 1:] += window[:, :, :-1] * 0.7
    return np.concatenate([found, found.mean() + found**2])


def all_at_once(function: Callable[[np.ndarray], np.ndarray], image: np.ndarray, how: Tiling) -> np.ndarray:
    """Blend as the formula says, on the whole plane: what a sweep must give, bit for bit."""
    height, width = image.shape[-2:]
    if height <= how.tile + how.margin and width <= how.tile + how.margin:
        return function(image)
    result: Any = 0
    for y, rows in _weights(height, how):
        for x, columns in _weights(width, how):
            part = function(image[:, y, x]) * (rows[:, None] * columns)
            whole = np.zeros((len(part), height, width), np.float32)
            whole[:, y, x] = part
            result = result + whole
    return result


HOWS = [Tiling(*how) for how in ((16, 16, 4), (32, 8, 16), (64, 128, 16), (48, 0, 0), (100, 7, 1))]


@pytest.mark.parametrize("length", [1, 17, 64, 100, 333])
@pytest.mark.parametrize("how", HOWS)
def test_the_weights_sum_to_one_everywhere(length: int, how: Tiling) -> None:
    total = np.zeros(length)
    for where, weight in _weights(length, how):
        total[where] += weight
    assert np.allclose(total, 1)


def test_blending_a_pointwise_function_changes_nothing() -> None:
    image = plane(150, 90, 2)
    assert np.allclose(blend(lambda window: window * 2, image, Tiling(32, 16, 8)), image * 2, atol=1e-6)


@pytest.mark.parametrize("fade", [0, 8])
def test_the_margin_of_a_window_is_not_used_unless_it_is_the_planes_border(fade: int) -> None:
    height, width, margin = 150, 100, 16
    image = np.stack(np.mgrid[:height, :width]).astype(np.float32)  # every pixel knows where it is

    def spoiled(window: np.ndarray) -> np.ndarray:
        found = window.copy()
        if window[0].min() > 0:
            found[:, :margin] = 1e6
        if window[0].max() < height - 1:
            found[:, -margin:] = 1e6
        if window[1].min() > 0:
            found[:, :, :margin] = 1e6
        if window[1].max() < width - 1:
            found[:, :, -margin:] = 1e6
        return found

    assert np.allclose(blend(spoiled, image, Tiling(32, margin, fade)), image, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (33, 47), (131, 203), (203, 131)])
@pytest.mark.parametrize("how", HOWS)
def test_a_sweep_gives_bit_for_bit_what_blending_all_at_once_gives(how: Tiling, size: tuple[int, int]) -> None:
    image = plane(*size, channels=2)
    assert np.array_equal(blend(blurred, image, how), all_at_once(blurred, image, how))


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("step", [1, 10, 64, 1000])
@pytest.mark.parametrize("columns", [slice(0, 203), slice(0, 64), slice(64, 128), slice(128, 203), slice(17, 18)])
def test_any_columns_can_be_swept_alone_from_any_row(how: Tiling, step: int, columns: slice) -> None:
    image = plane(131, 203)
    expected = all_at_once(blurred, image, how)
    for first in range(0, 131, step * max(1, 40 // step)):
        rows = first
        for found in sweep(blurred, lambda y, x: image[:, y, x], (131, 203), how, columns, first=first, step=step):
            if found:
                where, part = found
                assert where.start == rows and (where.stop % step == 0 or where.stop == 131)
                assert np.array_equal(part, expected[:, where, columns])
                rows = where.stop
        assert rows == 131


def test_a_sweep_holds_a_band_and_reads_each_once() -> None:
    image, how, read = plane(1000, 90), Tiling(32, 8, 8), []

    def window(y: slice, x: slice) -> np.ndarray:
        read.append((y.stop - y.start, x.stop - x.start))
        return image[:, y, x]

    found = list(sweep(blurred, window, (1000, 90), how, slice(0, 90), step=16))
    assert max(rows.stop - rows.start for rows, _ in filter(None, found)) <= 16 + 32 + 16
    assert len(read) == 32 and max(read) == (64, 90)


def test_the_windows_of_a_sweep_are_counted_before() -> None:
    image, calls = plane(150, 300), []

    def count(window: np.ndarray) -> np.ndarray:
        calls.append(window.shape)
        return window

    for how in HOWS:
        for columns in (slice(0, 300), slice(0, 100), slice(100, 200)):
            calls.clear()
            list(sweep(count, lambda y, x: image[:, y, x], (150, 300), how, columns))
            assert len(calls) == how.windows((150, 300), columns)
            calls.clear()
            list(sweep(count, lambda y, x: image[:, y, x], (150, 300), how, columns, first=90))
            assert len(calls) == how.windows((150, 300), columns, 90)


@pytest.mark.parametrize("width", [1, 511, 512, 513, 5000, 36_000, 1_000_000])
@pytest.mark.parametrize("at_least", [1, 3, 10_000])
def test_panels_cover_the_plane_within_the_memory(width: int, at_least: int) -> None:
    how, memory = Tiling(512, 112, 16), 512 * 2**20
    panels = how.panels((40_000, width), memory, (4, 4, 3), 512, at_least)
    assert panels[0].start == 0 and panels[-1].stop == width
    assert len(panels) >= min(at_least, -(-width // 512))
    for panel, following in pairwise(panels):
        assert panel.stop == following.start and panel.stop % 512 == 0
    columns = max(panel.stop - panel.start for panel in panels)
    assert columns > 0 and (768 * 4 * 4 + (512 + 512 + 32) * 3 * 4) * columns < memory
    assert len(panels) <= max(at_least, -(-width // 8192))


def test_a_panel_has_at_least_one_step_and_a_small_plane_is_one_panel() -> None:
    how = Tiling(512, 112, 16)
    assert len(how.panels((5000, 5000), 1, (4, 4, 3), 512)) == 10
    assert how.panels((600, 600), 1, (4, 4, 3), 512, 9) == [slice(0, 600)]
