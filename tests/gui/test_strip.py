"""A strip of planes in the order of how well they seem predicted; a click goes there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

import btunet
from napari_btunet import _strip
from napari_btunet._difference import Seen
from napari_btunet._strip import Quality, Strip

from .conftest import Window, discs
from .test_live import trained


def part(plane: int, radius: float, doubt: int = 0, side: int = 96) -> btunet.PredictedPlane:
    y, x = np.mgrid[:side, :side] - side // 2
    mask = (y**2 + x**2 < radius**2).astype(np.uint8)
    return btunet.PredictedPlane(0, plane, mask, doubt=np.full(mask.shape, doubt, np.uint8))


def predicted(w: Window, parts: list[btunet.PredictedPlane]) -> None:
    """Do what a running prediction does."""
    for each in parts:
        w.session.difference.seen.take(w.session.model, w.session.image, each)
        w.session.quality.take(w.session.model, w.session.history.before, w.session.image, each)
    w.session.changed.emit()


@pytest.fixture
def w(window: Callable[..., Window], monkeypatch: pytest.MonkeyPatch) -> Window:
    """Return a window with a model and a stack of eight planes."""
    found = window(discs(8), scale=(2, 1, 1))
    monkeypatch.setattr(found.session, "_predict_with_model", lambda _=None: None)
    found.session._take("finetune", trained([0.5] * 4))
    found.viewer.dims.set_current_step(0, 0)
    return found


def test_the_bad_plane_is_last_bright_and_a_click_goes_there(w: Window) -> None:
    strip = w.panel.plane_strip
    assert not strip.isVisibleTo(w.panel)
    predicted(w, [part(n, 20, 150 if n == 5 else 10) for n in range(8)])
    assert strip.isVisibleTo(w.panel)
    assert np.argmin(strip.value()) == 5 and strip.sizeHint().height() <= w.panel.fontMetrics().height()
    assert "plane 5: number 1 of 8 from the worst: the model is unsure" in strip.sentence(5)
    assert "unsure" not in strip.sentence(6)
    expected = [float(strip.sentence(n).split("expects Dice ")[1].split()[0]) for n in (5, 6)]
    assert 0 <= expected[0] < expected[1] < 1
    picture, fifth = strip.grab().toImage(), int(5.6 / 8 * strip.width())
    assert picture.pixelColor(fifth, strip.height() // 2).getRgb()[:3] == _strip.WORST
    assert picture.pixelColor(2, strip.height() // 2) != picture.pixelColor(fifth, strip.height() // 2)
    w.qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=QPoint(fifth, strip.height() // 2))
    assert w.session.subject.plane(w.viewer) == 5
    assert strip._at == 5


def test_neighbours_and_the_model_before_count(w: Window) -> None:
    predicted(w, [part(n, 5 if n == 3 else 20) for n in range(8)])
    found = w.session.quality.of(w.session.image)
    assert np.argmin(found.value()) == 3 and "neighbour" in found.reason(3)
    w.session._take("finetune", trained([0.9] * 4))
    predicted(w, [part(n, 5 if n in (3, 6) else 20) for n in range(8)])
    found = w.session.quality.of(w.session.image)  # another model, so everything is new
    assert "model before" in found.reason(6) and found.value()[6] < found.value()[3]


def test_planes_come_in_any_order_and_large_ones_are_thinned(monkeypatch: pytest.MonkeyPatch, w: Window) -> None:
    orders = []
    for most, order in ((2**20, range(8)), (2**20, (5, 4, 0, 1, 7, 6, 3, 2)), (96 * 96 // 4, range(8))):
        monkeypatch.setattr(_strip, "MOST", most)
        seen, model = Seen(), w.session.model
        quality = Quality(seen)
        for n in order:
            each = part(n, 20 - n if most == 2**20 else 20, 20 * n)
            seen.take(model, w.session.image, each)
            quality.take(model, None, w.session.image, each)
        orders.append(quality.of(w.session.image).value())
    np.testing.assert_array_equal(orders[0], orders[1])
    assert [order.argmin() for order in orders] == [7, 7, 7]


def test_a_prediction_fills_the_strip(window: Callable[..., Window]) -> None:
    w = window(discs(4))
    w.annotate()
    w.click("finetune_button")
    w.wait(lambda: w.session.model is not None and not w.session.doing)
    assert np.isfinite(w.panel.plane_strip.value()).all() and len(w.panel.plane_strip.value()) == 4
    w.viewer.layers.remove(w.session.image)
    assert not w.panel.plane_strip.isVisibleTo(w.panel)
    assert w.errors == []


def test_single_planes_and_parts_have_no_order(window: Callable[..., Window]) -> None:
    w = window(discs(1)[0])
    quality = Quality(Seen())
    quality.take(trained([]), None, w.session.image, part(0, 20))
    assert quality.of(w.session.image) is None and quality.of(None) is None


def test_more_planes_than_pixels_show_the_worst_of_each(qapp: Any) -> None:
    strip, values = Strip(), np.linspace(0.5, 1, 1000)
    values[500] = 0
    strip.resize(100, 16)
    strip.set_value(values, 0)
    picture = strip.grab().toImage()
    assert picture.pixelColor(50, 8).getRgb()[:3] == _strip.WORST
    assert strip.plane_at(99.9) == 999 and strip.plane_at(-5) == 0
    strip.set_value(np.full(4, np.nan), 0)
    assert not strip.grab().isNull()
