"""Every round is a card; one shows where its model differs, and training goes on from the one that was chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

import btunet
from napari_btunet import _layers
from napari_btunet._history import History, Round
from napari_btunet._thumbnail import SIDE, checked, lines_of, pixmap_of

from .conftest import Window, discs
from .test_live import press, trained


def layers(w: Window) -> list[Any]:
    return [layer for layer in w.viewer.layers if _layers.role_of(layer) == "difference"]


def part(plane: int, value: int, rows: slice = slice(None)) -> btunet.PredictedPlane:
    """Return a predicted plane that is 1 - value, but the value in some rows."""
    mask = np.full((96, 96), 1 - value, np.uint8)
    mask[rows] = value
    return btunet.PredictedPlane(0, plane, mask)


@pytest.fixture
def two(window: Callable[..., Window], monkeypatch: pytest.MonkeyPatch) -> Window:
    """Return a window with two models, the second present; planes 0 and 1 of both are remembered."""
    w = window(discs())
    w.viewer.dims.set_current_step(0, 0)
    monkeypatch.setattr(w.session, "_predict_with_model", lambda _=None: None)
    for rights in ([0.5] * 4, [0.9] * 4):
        w.session._take("finetune", trained(rights))
    first, second = (found.model for found in w.session.history.rounds)
    for plane in range(2):
        w.session.difference.seen.take(second, w.session.image, part(plane, 1))
        w.session.difference.seen.take(first, w.session.image, part(plane, 0, slice(10 * plane, 10 * plane + 20)))
    w.session.changed.emit()
    return w


def test_a_card_tells_score_strokes_time_and_where_it_comes_from() -> None:
    learned = [{"image": "a", "plane": 0, "pixels": [n]} for n in range(12)]
    record = {"verb": "finetune", "date": "2026-01-01T10:00:00+00:00", "seconds": 61.3, "learned": learned[:8]}
    first = btunet.Model("unet", 1, ("a", "b"), {}, history=(record,))
    later = {**record, "date": "2026-01-01T10:05:00+00:00", "seconds": 300.0, "learned": learned}
    later["held out"] = [{"image": "a", "plane": 0, "pixel": n, "class": n % 2, "right": 1.0} for n in range(6)]
    second = btunet.Model("unet", 1, ("a", "b"), {}, history=(record, later))
    alone, branched = History([Round.of(first), Round.of(second)]).cards()
    assert alone.title == "1  not judged"
    assert alone.details.endswith(", 8 strokes, 61 s")
    assert branched.title.startswith("2  1.00 (0.") and branched.title.endswith(" to 1.00) of 6")
    assert branched.details.endswith(", 12 strokes (+4), 5 min, from 1")


def test_a_picture_is_small_and_survives_a_file_and_nonsense_does_not(qapp: Any) -> None:
    mask = np.zeros((200, 100), np.uint8)
    mask[100:], mask[:, 90:] = 1, 40
    lines = lines_of(mask)
    assert len(lines) == SIDE and {len(line) for line in lines} == {SIDE // 2}
    assert lines[0] == "0" * 14 + "zz" and lines[-1][:14] == "1" * 14
    assert checked(lines) == tuple(lines)
    picture = pixmap_of(lines).toImage()
    assert (picture.width(), picture.height()) == (SIDE // 2, SIDE)
    assert picture.pixelColor(0, SIDE - 1).getRgb()[:3] == _layers.rgb_of(2)
    assert lines_of(np.ones((3, 1), np.uint8)) == ["1", "1", "1"]
    assert len(lines_of(np.zeros((2, 4000), np.uint8))) == 1
    for nonsense in (None, 7, "010", [], ["01", "0"], ["0_"], [""], [1, 2], ["0"] * 1000, ["0" * 1000]):
        assert checked(nonsense) == ()


def test_a_training_leaves_a_card_with_a_picture_and_one_chosen_is_trained_further(window: Any) -> None:
    w = window(discs())
    w.annotate()
    assert not w.panel.history_list.isVisibleTo(w.panel)
    w.click("finetune_button")
    w.wait(lambda: w.session.model is not None and not w.session.doing)
    (card,) = w.panel.history_list.value()
    assert len(card.picture) == SIDE
    assert "2 strokes" in card.details
    assert w.panel.finetune_button.text() == "Fine-tune"
    first = w.session.model
    w.panel.history_list.itemClicked.emit(w.panel.history_list.item(0))
    assert w.panel.finetune_button.text() == "Fine-tune model 1"
    w.wait(lambda: not w.session.doing)
    w.click("finetune_button")
    w.wait(lambda: len(w.session.history.rounds) == 2 and not w.session.doing)
    record = w.session.model.history
    assert [r["verb"] for r in record] == ["finetune", "finetune"] and record[0] == first.history[0]
    assert w.panel.history_list.value()[1].details.endswith(", from 1")
    assert w.panel.finetune_button.text() == "Fine-tune"  # a choice is for one training
    assert w.errors == []


def test_chosen_once_more_a_card_is_not_trained_further_and_the_encoder_is(two: Window) -> None:
    stack, settings = two.session.subject.stack, btunet.FinetuneSettings(network="attention-unet")
    encoder = btunet.Model("attention-unet", 1, (), {})
    two.session.encoder = encoder
    assert two.session.beginning(stack, settings) == (encoder, settings)
    two.session.choose_round(0)
    start, fitting = two.session.beginning(stack, settings)
    assert start is two.session.history.rounds[0].model and two.session.model is start
    assert fitting.network == "unet"
    two.session.choose_round(0)
    assert two.session.beginning(stack, settings) == (encoder, settings)
    assert "begins with the encoder again" in two.panel.status_label.text()
    press(two, "R")
    assert two.session.branch == 0  # there is no earlier one


def test_d_shows_where_the_model_before_differs_follows_the_slider_and_hides_it(two: Window) -> None:
    kept = [(layer, layer.visible) for layer in two.viewer.layers]
    active = two.strokes
    press(two, "D")
    (layer,) = layers(two)
    assert layer.visible and two.viewer.layers.selection.active is active
    assert two.viewer.layers.index(layer) < two.viewer.layers.index(two.strokes)
    assert layer.data.shape == (1, 96, 96, 4)
    seen = layer.data[0, ..., 3] > 0
    assert seen[:20].all() and not seen[20:].any()  # there the first says 0, elsewhere both say 1
    assert tuple(layer.data[0, 10, 50, :3]) == _layers.rgb_of(1)
    two.viewer.dims.set_current_step(0, 1)
    assert (layer.data[0, 10:30, :, 3] > 0).all() and not (layer.data[0, :10, :, 3] > 0).any()
    assert layer.data_to_world((0, 0, 0))[0] == 1
    press(two, "D")
    assert not layer.visible and len(layers(two)) == 1
    assert [(each, each.visible) for each in two.viewer.layers if each is not layer] == kept
    assert two.session.images == [two.session.image]


def test_d_says_so_if_there_is_nothing_to_compare(window: Any) -> None:
    w = window(discs())
    press(w, "D")
    assert "no other model" in w.panel.status_label.text()
    assert not layers(w)


def test_a_card_under_the_mouse_shows_it_until_the_mouse_leaves(two: Window) -> None:
    cards = two.panel.history_list
    cards.itemEntered.emit(cards.item(0))
    assert not layers(two)  # the mouse only passes
    two.wait(lambda: layers(two))
    (layer,) = layers(two)
    assert layer.visible
    QApplication.sendEvent(cards.viewport(), QEvent(QEvent.Type.Leave))
    assert not layer.visible
    cards.itemEntered.emit(cards.item(1))  # the present one
    QTest.qWait(300)
    assert not layer.visible
    assert cards.indexAt(QPoint(5, 5)).row() in (-1, 0)


def test_what_was_not_predicted_yet_is_predicted_in_another_process(two: Window, monkeypatch: Any) -> None:
    asked: list[Any] = []
    real = btunet.in_child
    monkeypatch.setattr(
        btunet, "in_child", lambda *call, **options: asked.append((call, options)) or real(*call, **options)
    )
    two.viewer.dims.set_current_step(0, 2)
    press(two, "D")
    assert not layers(two)
    for _ in range(3):
        two.session.changed.emit()  # does not ask again
    assert len(asked) == 1 and asked[0][1]["look_at"] == (0, 2)
    two.wait(
        lambda: all(
            two.session.difference.seen.of(r.model, two.session.image, 2) is not None
            for r in two.session.history.rounds
        )
    )
    two.wait(lambda: layers(two) and layers(two)[0].visible)
    assert not two.session.is_busy and len(asked) == 2
    two.viewer.dims.set_current_step(0, 0)
    press(two, "D")
    assert two.session.difference._job is None
    assert two.errors == []
