"""Strokes are answered at once, beside whatever else goes on; models are kept, and a worse one is not used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

import btunet
from btunet.annotator import paint
from napari_btunet import _ledger, _live, _session

from .conftest import Window, discs

OpenWindow = Callable[..., Window]


def alive(w: Window) -> Window:
    """Let the window answer strokes, and look at the first plane."""
    w.session.live.mode = "live"
    w.viewer.dims.set_current_step(0, 0)
    return w


def paint_like_a_person(w: Window, image: np.ndarray, plane: int, strokes: int = 5, seed: int = 0) -> np.ndarray:
    """Paint strokes from the truth of `discs`, pixel by pixel with napari's own brush; return the truth."""
    truth = (image[plane] > 115).astype(np.uint8)
    from scipy.ndimage import binary_closing, binary_opening

    truth = binary_opening(binary_closing(truth, iterations=2), iterations=2).astype(np.uint8)
    values = paint(truth, strokes, np.random.default_rng(seed))
    w.strokes.brush_size = 1
    for label in (1, 2):
        for y, x in np.argwhere(values == label)[::2]:
            w.strokes.paint((plane, y, x), label)
    return truth


def dice(mask: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))


def press(w: Window, key: str) -> None:
    """Press a key on the canvas while the strokes layer is active."""
    w.viewer.layers.selection.active = w.strokes
    canvas = w.viewer.window._qt_viewer.canvas.native
    w.qtbot.keyClick(canvas, getattr(Qt.Key, f"Key_{key}"))


def test_painting_is_answered_without_a_click_and_then_scored(window: OpenWindow) -> None:
    image = discs(side=128)
    w = alive(window(image))
    truth = paint_like_a_person(w, image, 0, 6)
    w.wait(lambda: w.prediction is not None and w.prediction.data[0].all())
    assert dice(w.prediction.data[0] == 2, truth == 1) > 0.8
    assert not w.prediction.data[1:].any()  # other planes wait until they are looked at
    w.wait(lambda: "Dice" in w.panel.score_label.text())
    assert "held-out strokes" in w.panel.score_label.text()
    w.viewer.dims.set_current_step(0, 2)
    w.wait(lambda: w.prediction.data[2].all())
    assert not w.session.is_busy
    assert w.errors == []


@pytest.mark.parametrize("patience", [_live.PATIENCE, 1e-4], ids=["at once", "bit by bit"])
def test_a_further_stroke_and_an_undone_one_are_answered(
    window: OpenWindow, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr(_live, "PATIENCE", patience)
    monkeypatch.setattr(_ledger, "AT_ONCE", 1)  # row by row
    image = discs(side=128)
    w = alive(window(image))
    paint_like_a_person(w, image, 0)
    w.wait(lambda: w.prediction is not None and w.prediction.data[0].all())
    before = w.prediction.data[0].copy()
    for y in range(10, 120, 2):
        w.strokes.paint((0, y, 64), 2)  # nonsense, which changes the answer
    w.wait(lambda: not np.array_equal(w.prediction.data[0], before))
    for _ in range(10, 120, 2):
        w.strokes.undo()
    w.wait(lambda: np.array_equal(w.prediction.data[0], before))


def test_strokes_are_answered_while_it_pre_trains(window: OpenWindow) -> None:
    image = discs(side=128)
    w = alive(window(image))
    w.hurry(100_000)
    w.click("pretrain_button")
    w.wait(lambda: w.panel.progress_bar.value() > 0 or w.panel.losses.steps)
    paint_like_a_person(w, image, 0)
    w.wait(lambda: w.prediction is not None and w.prediction.data[0].all())
    assert w.session.doing == "pretrain"
    w.click("stop_button")
    w.wait(lambda: w.session.encoder is not None)


def test_turned_off_it_does_not_go_on_to_look_for_what_was_undone(
    window: OpenWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = discs(side=128)
    w = alive(window(image))
    paint_like_a_person(w, image, 0)
    w.wait(lambda: w.prediction is not None and w.prediction.data[0].all())
    monkeypatch.setattr(_live, "PATIENCE", -1)  # never comes to an end
    w.strokes.paint((0, 9, 64), 2)
    w.strokes.undo()
    w.wait(w.session._search.isActive)
    w.panel.live_combo.activated.emit(2)
    w.qtbot.wait(500)
    assert not w.session.live.is_working


def test_it_can_be_turned_off_and_asked_once(window: OpenWindow) -> None:
    image = discs(side=128)
    w = alive(window(image))
    choose = w.panel.live_combo.activated.emit
    choose(2)
    paint_like_a_person(w, image, 0)
    w.qtbot.wait(800)
    assert w.prediction is None or not w.prediction.data.any()
    choose(1)
    w.wait(lambda: w.prediction is not None and w.prediction.data[0].all())
    before = w.prediction.data[0].copy()
    for y in range(10, 120, 2):
        w.strokes.paint((0, y, 64), 2)
    w.qtbot.wait(1500)
    np.testing.assert_array_equal(w.prediction.data[0], before)
    choose(1)
    w.wait(lambda: not np.array_equal(w.prediction.data[0], before))


def test_after_fine_tuning_new_strokes_are_answered_by_the_model(window: OpenWindow) -> None:
    image = discs(side=128)
    w = alive(window(image))
    paint_like_a_person(w, image, 0, 6)
    w.click("finetune_button")
    assert not w.session.live.is_working
    w.wait(lambda: w.session.model is not None and not w.session.is_busy)
    assert w.session.subject.is_predicted
    w.viewer.dims.set_current_step(0, 1)
    before = w.prediction.data.copy()
    for y in range(10, 120, 2):
        w.strokes.paint((1, y, 64), 2)
    w.wait(lambda: not np.array_equal(w.prediction.data[1], before[1]))
    np.testing.assert_array_equal(w.prediction.data[2], before[2])
    assert not w.session.subject.is_predicted
    assert w.panel.score_label.text() == ""  # that would be of the pixels alone


def test_strokes_painted_while_it_predicts_are_answered_afterwards_and_the_export_says_what_it_lacks(
    window: OpenWindow, tmp_path: Path
) -> None:
    image = discs(planes=12, side=128)
    w = alive(window(image))
    paint_like_a_person(w, image, 0, 6)
    w.click("finetune_button")
    w.wait(lambda: w.session.doing == "predict")
    for y in range(10, 120, 2):
        w.strokes.paint((0, y, 64), 2)
    w.wait(lambda: w.session.live.is_working and not w.session.is_busy)
    w.wait(lambda: not w.session.subject.is_predicted)
    w.session.export(tmp_path / "masks.tif")
    w.wait(lambda: w.session.exported)
    w.wait(lambda: "strokes painted since" in w.panel.status_label.text())


def test_an_image_that_cannot_be_answered_is_said_once_and_blocks_nothing(window: OpenWindow) -> None:
    image = discs(side=96).astype(np.float32)
    image[0, 5, 5] = np.nan
    w = alive(window(image))
    w.annotate()
    w.wait(lambda: w.panel.status_label.text().startswith("Strokes are not answered: "))
    assert "NaN" in w.panel.status_label.text()
    assert not w.session.is_busy
    assert not w.session.live.is_working
    assert w.errors == []


def test_nothing_is_left_when_the_window_closes(window: OpenWindow) -> None:
    image = discs(side=128)
    w = alive(window(image))
    paint_like_a_person(w, image, 0)
    w.wait(lambda: w.prediction is not None and w.prediction.data[0].all())
    w.session.shutdown()
    assert not w.session.live.is_working


def test_removing_the_image_ends_the_answers(window: OpenWindow) -> None:
    image = discs(side=128)
    w = alive(window(image))
    paint_like_a_person(w, image, 0)
    w.wait(lambda: w.prediction is not None and w.prediction.data[0].all())
    w.viewer.layers.remove(w.session.image)
    assert not w.session.live.is_working
    w.qtbot.wait(300)
    assert w.errors == []


# ---- models


def trained(rights: list[float]) -> btunet.Model:
    """Return a model that was judged by strokes."""
    from btunet.model import Model

    weights = Model("unet", 1, (), {}).build(2).state_dict()
    model = Model("unet", 1, ("Background", "Object"), {}).trained("finetune", weights, steps=1)
    judged = [{"image": "cells", "plane": 0, "pixel": n, "class": 1, "right": r} for n, r in enumerate(rights)]
    model.history[-1]["held out"] = judged  # type: ignore[index]
    return model


@pytest.fixture
def finished(window: OpenWindow, monkeypatch: pytest.MonkeyPatch) -> tuple[Window, Callable[[btunet.Model], None]]:
    """Return a window and a function that does what the end of a training does."""
    w = window(discs())

    def finish(model: btunet.Model) -> None:
        monkeypatch.setattr(w.session, "_predict_with_model", lambda _=None: None)
        w.session._take("finetune", model)
        w.session.changed.emit()

    return w, finish


def test_a_worse_model_is_kept_but_not_used_and_the_reason_is_said(finished: Any) -> None:
    w, finish = finished
    good, bad = trained([0.9, 0.95, 1.0, 0.9]), trained([0.2, 0.3, 0.2, 0.4])
    finish(good)
    finish(bad)
    assert w.session.model.weights is good.weights
    assert w.panel.status_label.text().startswith("The new model is worse (0.66 lower on 4 held-out strokes")
    assert w.panel.history_list.count() == 2
    assert w.panel.history_list.currentRow() == 0
    w.panel.history_list.setCurrentRow(1)
    w.panel.history_list.itemClicked.emit(w.panel.history_list.item(1))
    assert w.session.model.weights is bad.weights


def test_a_better_model_or_one_that_cannot_be_compared_is_used(finished: Any) -> None:
    w, finish = finished
    finish(trained([0.5, 0.6, 0.5, 0.4]))
    finish(trained([0.9, 0.95, 1.0, 0.9]))
    assert w.session.history.at == 1
    assert "higher on 4 held-out strokes" in w.panel.status_label.text()
    finish(trained([]))
    assert w.session.history.at == 2


def test_r_goes_back_to_the_model_before(finished: Any) -> None:
    w, finish = finished
    first, second = trained([0.5] * 4), trained([0.9] * 4)
    finish(first)
    press(w, "R")
    assert "no earlier model" in w.panel.status_label.text()
    finish(second)
    press(w, "R")
    assert w.session.model.weights is first.weights
    assert w.panel.status_label.text().startswith("Model 1")
    finish(trained([0.9] * 4))
    kept = [found.model.weights for found in w.session.history.rounds[:2]]
    assert kept[0] is first.weights and kept[1] is second.weights  # nothing is lost
    assert w.session.history.at == 2


def test_s_and_a_hide_and_show_prediction_and_strokes(window: OpenWindow) -> None:
    w = window(discs())
    press(w, "S")  # there is none yet
    w.session.subject.expect(w.viewer, 2)
    for key, layer in (("S", w.prediction), ("A", w.strokes)):
        press(w, key)
        assert not layer.visible
        press(w, key)
        assert layer.visible


def test_t_trains_and_stops(window: OpenWindow) -> None:
    w = window(discs())
    w.hurry(100_000)
    w.annotate()
    press(w, "T")
    w.wait(lambda: w.session.doing == "finetune" and w.panel.losses.steps)
    press(w, "T")
    w.wait(lambda: w.session.model is not None and not w.session.is_busy)
    assert w.session.model.history[-1]["steps"] < 100_000
    assert _session.session_of(w.viewer) is w.session
