"""N goes where strokes would tell much, without touching a stroke or taking the brush away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from scipy.ndimage import label

import btunet
from napari_btunet import _layers
from napari_btunet._live import Trail

from .conftest import Window, discs
from .test_live import alive, paint_like_a_person, press

OpenWindow = Callable[..., Window]


def boxes(w: Window) -> list[Any]:
    return [layer for layer in w.viewer.layers if _layers.role_of(layer) == "spot"]


def in_sight(w: Window) -> tuple[int, float, float]:
    """Return plane and place in the middle of the canvas, in pixels of the strokes."""
    y, x = w.viewer.scene.camera.center[-2:]
    plane = int(w.viewer.dims.current_step[0])
    _, row, column = w.strokes.world_to_data((0, y, x))
    return plane, row, column


def middle(w: Window) -> tuple[int, float, float]:
    plane, y, x = boxes(w)[0].data[0].mean(0)
    return round(plane), y, x


def test_n_shows_where_to_begin_before_anything_is_painted(window: OpenWindow) -> None:
    w = alive(window(discs(side=200), scale=(2, 0.25, 0.25), units=("µm",) * 3, show=True))
    press(w, "N")
    w.wait(lambda: boxes(w))
    assert "a kind of place not seen before" in w.panel.status_label.text()
    assert w.viewer.layers.selection.active is w.strokes
    assert not w.strokes.data.any()
    np.testing.assert_allclose(in_sight(w), middle(w), atol=1.5)
    first = middle(w)
    press(w, "N")
    assert len(boxes(w)) == 1
    assert middle(w) != first
    w.qtbot.keyClick(w.viewer.window._qt_viewer.canvas.native, Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert middle(w) == first
    assert w.prediction is None or not w.prediction.data.any()
    assert w.errors == []


def test_after_strokes_the_reasons_are_others(window: OpenWindow) -> None:
    image = discs(side=200)
    w = alive(window(image))
    paint_like_a_person(w, image, 0)
    w.wait(lambda: w.session.live.trail._best)
    before = w.strokes.data.copy()
    w.click("spot_button")
    assert boxes(w)
    said = w.panel.status_label.text()
    assert any(reason in said for reason in ("unsure", "unlike", "disagree"))
    np.testing.assert_array_equal(w.strokes.data, before)


def test_c_goes_to_a_stroke_that_contradicts_the_others(window: OpenWindow) -> None:
    image = discs(side=200)
    w = alive(window(image))
    press(w, "C")
    assert "No stroke was judged yet" in w.panel.status_label.text()
    truth = paint_like_a_person(w, image, 0, 8)
    numbers, _ = label(truth)
    middles = [np.argwhere(numbers == n).mean(0).round().astype(int) for n in range(1, numbers.max() + 1)]
    y, x = next(m for m in middles if not w.strokes.data[0, m[0] - 5 : m[0] + 6, m[1] - 5 : m[1] + 6].any())
    w.strokes.brush_size = 4
    for step in range(-3, 4):
        w.strokes.paint((0, y, x + step), 1)
    w.wait(lambda: w.session.live.doubts)
    assert "1 stroke may be wrong: press C" in w.panel.score_label.text()
    press(w, "C")
    assert w.panel.status_label.text() == "Is this right? painted as Background, looks like Object."
    np.testing.assert_allclose(middle(w)[1:], (y, x), atol=4)
    for step in range(-3, 4):
        w.strokes.paint((0, y, x + step), 2)
    w.wait(lambda: w.session.live.doubts == [])
    press(w, "C")
    assert "No stroke contradicts the others" in w.panel.status_label.text()


def test_a_box_that_the_user_removes_comes_again_and_is_no_image(window: OpenWindow) -> None:
    w = alive(window(discs(side=200)))
    press(w, "N")
    w.wait(lambda: boxes(w))
    w.viewer.layers.remove(boxes(w)[0])
    press(w, "N")
    assert len(boxes(w)) == 1
    assert [image.name for image in w.session.images] == ["cells"]


def test_a_trail_goes_on_back_and_never_twice_to_the_same_place() -> None:
    image: Any = object()

    def spot(x: int) -> tuple[Any, btunet.Spot]:
        return image, btunet.Spot(0, 0, 100, x, 96, "why")

    trail = Trail()
    assert trail.step(forward=True) is None
    assert trail.step(forward=False) is None
    trail.renew([spot(100), spot(120), spot(300)])
    assert trail.step(forward=True) == spot(100)
    assert trail.step(forward=True) == spot(300)  # the second is nearly the first
    assert trail.step(forward=True) is None
    assert trail.step(forward=False) == spot(100)
    assert trail.step(forward=False) == spot(100)
    assert trail.step(forward=True) == spot(300)
    trail.renew([spot(110), spot(500)])
    assert trail.step(forward=True) == spot(500)
