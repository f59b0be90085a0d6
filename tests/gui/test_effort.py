"""Painting time without pauses, strokes, and one line on whether to go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import btunet
from btunet.budget import Forecast
from btunet.project import Project
from napari_btunet._budget import Budget, asked, of_rounds, sentence
from napari_btunet._curve import Curve
from napari_btunet._effort import PAUSE, Effort
from napari_btunet._history import Round
from napari_btunet._panel import Panel

from .conftest import Window, discs


def spent(strokes: int, seconds: float = 60.0) -> Effort:
    effort = Effort()
    effort.add(strokes, seconds)
    return effort


def judged(strokes: Any, right: float) -> Round:
    """Return a round whose model was judged, and that began when so much had been painted."""
    held = [{"image": "a", "plane": 0, "pixel": n, "class": n % 2, "right": right} for n in range(6)]
    record = {"verb": "finetune", "held out": held, "effort": {"strokes": strokes, "seconds": 1.0}}
    return Round.of(btunet.Model("unet", 1, ("a", "b"), {}, history=(record,)))


def test_pauses_are_no_work() -> None:
    effort = Effort()
    for now in (100.0, 101.0, 101.5, 102.0 + PAUSE, 104.0 + PAUSE, 103.0 + PAUSE):
        effort.work(now)
    assert effort.seconds == pytest.approx(1.5 + 2.0)


def test_a_stroke_with_the_mouse_is_counted_and_timed(window: Callable[..., Window]) -> None:
    w = window(discs(), show=True)
    effort = w.session.effort
    w.drag((20, 20), (20, 50))  # moves the image, nothing is painted
    assert (effort.strokes, effort.seconds) == (0, 0.0)
    assert not w.panel.budget_label.isVisibleTo(w.panel)
    w.session.choose_class(2)
    for row in (30, 50):
        w.drag((row, 30), (row, 60))
    assert effort.strokes == 2
    assert 0.2 < effort.seconds < 10
    w.session.changed.emit()
    assert w.panel.budget_label.text().startswith("2 strokes, ")
    assert "needs 5 scores" in w.panel.budget_label.toolTip()


def test_what_was_painted_comes_back_with_the_project(window: Any, tmp_path: Any) -> None:
    import tifffile

    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, discs(), photometric="minisblack", metadata={"axes": "ZYX"})
    w = window()
    w.viewer.open(path, plugin="napari")
    w.annotate()
    painted = w.session.effort.strokes
    w.session.effort.seconds = 70.0
    w.session.shutdown()
    kept = Project.open(tmp_path / "cells.btunet")
    assert (kept.strokes, kept.seconds) == (painted, 70.0) and painted > 0
    again = window()
    again.viewer.open(path, plugin="napari")
    assert (again.session.effort.strokes, again.session.effort.seconds) == (painted, 70.0)
    again.session.changed.emit()
    assert again.panel.budget_label.text() == f"{painted} strokes, 70 s of painting"


def test_the_line_says_what_was_painted_then_what_more_would_bring_then_that_one_may_stop() -> None:
    assert sentence(Effort(), "") == ""
    assert sentence(spent(1, 5), "too few") == "1 stroke, 5 s of painting"
    said = Forecast(more=8, gain=0.031, low=0.012, high=0.058, most=0.05, noise=0.01)
    assert sentence(spent(16, 200), said) == "16 strokes, 3 min. 8 more: +0.03 (0.01 to 0.06)"
    done = replace(said, gain=0.001, low=0.0, most=0.012)
    assert sentence(spent(16, 200), done).endswith("You can stop: 8 more bring less than 0.01")


def test_models_are_scored_by_what_was_painted_when_they_began_and_never_mixed_with_answers() -> None:
    budget = Budget()
    budget.answers = {5: 0.3, 9: 0.4}
    assert budget.points([]) == {5: 0.3, 9: 0.4}
    rounds = [judged(24, 0.8), judged(12, 0.6), judged("x", 0.9), judged(None, 0.9)]
    assert budget.points(rounds) == {12: pytest.approx(0.6), 24: pytest.approx(0.8)}
    assert of_rounds([Round.of(btunet.Model("unet", 1, ("a", "b"), {}))]) == {}


def test_scores_of_answers_make_a_forecast_and_a_curve(window: Any) -> None:
    w = window(discs())
    for n in range(4, 32, 4):
        w.session.effort.strokes = n
        w.session.live.estimates = {1: btunet.Estimate(0.95 - 0.9 * n**-0.5, 0.1, 1.0, n)}
        w.session.changed.emit()
        w.session.changed.emit()  # the same score is not noted twice
    assert list(w.session.budget.answers) == list(range(4, 32, 4))
    assert ". 14 more: +0.0" in w.panel.budget_label.text()
    curve = w.panel.findChild(Curve, "budget_curve")
    assert curve.value() == pytest.approx([0.95 - 0.9 * n**-0.5 for n in range(4, 32, 4)])
    assert curve.isVisibleTo(w.panel.budget_label.curve)
    panel: Panel = w.panel
    assert panel.budget_label.curve.isVisibleTo(panel.more.content())


def test_a_plateau_says_stop(window: Any) -> None:
    w = window(discs())
    for n in range(4, 40, 4):
        w.session.effort.strokes = n
        w.session.live.estimates = {1: btunet.Estimate(0.9 + 0.002 * (n % 8), 0.1, 1.0, n)}
        w.session.changed.emit()
    assert "You can stop" in w.panel.budget_label.text()


def test_the_curve_is_drawn_to_scale(qapp: Any) -> None:
    curve = Curve()
    curve.resize(108, 58)
    curve.set_value([0.0, 1.0, float("nan"), 0.5], "score", [1, 2, 3, 5], (9, 0.5, 2.0))
    assert curve.value() == [0.0, 1.0, 0.5]
    xs = [curve._point(place, 0.0).x() for place in (1, 2, 9)]
    assert (xs[2] - xs[0]) == pytest.approx(8 * (xs[1] - xs[0]))
    assert curve._point(1, 2.0).y() < curve._point(1, 1.0).y() < curve._point(1, 0.0).y()
    assert not curve.grab().isNull()
    assert isinstance(asked({}), str)
