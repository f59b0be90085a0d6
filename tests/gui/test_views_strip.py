from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

import btunet
from napari_btunet._views import IgnoredViews, ViewStrip

from .conftest import children, discs

ALL = btunet.ViewSettings()


def pairs() -> dict[btunet.ViewSettings, np.ndarray]:
    """Two choices with views of one gray each."""
    other = btunet.ViewSettings(ignore_size=False)
    return {choice: np.full((6, 2, 8, 8, 3), gray, np.uint8) for choice, gray in ((ALL, 50), (other, 200))}


def test_everything_is_ignored_unless_a_tick_is_taken_away(qtbot: Any) -> None:
    views = IgnoredViews()
    qtbot.addWidget(views)
    assert views.value() == ALL and len(views.ticks) == len(fields(ALL)) == 3
    heard: list[btunet.ViewSettings] = []
    views.changed.connect(heard.append)
    views.ticks["ignore_size"].click()
    assert views.value() == btunet.ViewSettings(ignore_size=False) == heard[-1]
    views.set_value(ALL)
    assert views.value() == ALL


def test_a_tick_shows_other_views_at_once_without_asking(qtbot: Any) -> None:
    views = IgnoredViews()
    qtbot.addWidget(views)
    asked: list[None] = []
    views.wanted.connect(lambda: asked.append(None))
    views.show_pairs(pairs())
    assert (views.strip.value() == 50).all()
    views.ticks["ignore_size"].click()
    assert (views.strip.value() == 200).all()
    assert asked == []


def test_nothing_is_asked_for_until_it_is_opened_and_once_for_several_changes(qtbot: Any) -> None:
    views = IgnoredViews()
    qtbot.addWidget(views)
    asked: list[None] = []
    views.wanted.connect(lambda: asked.append(None))
    views.renew()
    qtbot.wait(400)
    assert asked == []
    views.toggleButton().click()
    views.renew()
    views.renew()
    qtbot.waitUntil(lambda: len(asked) == 1, timeout=2000)
    views.show_pairs(pairs())
    views.toggleButton().click()
    views.toggleButton().click()
    qtbot.wait(400)
    assert len(asked) == 1  # they are known


@pytest.mark.parametrize("size", [(300, 100), (60, 100), (300, 20)])
def test_the_strip_draws_six_pairs_in_whatever_room_there_is(qtbot: Any, size: tuple[int, int]) -> None:
    strip = ViewStrip()
    qtbot.addWidget(strip)
    strip.resize(*size)
    views = np.zeros((6, 2, 8, 8, 3), np.uint8)
    views[:, 0], views[:, 1] = (255, 0, 0), (0, 0, 255)
    strip.set_value(views)
    image = strip.grab().toImage()
    colours = [image.pixelColor(x, y).getRgb()[:3] for x in range(image.width()) for y in range(image.height())]
    red, blue = colours.count((255, 0, 0)), colours.count((0, 0, 255))
    assert red == blue > 0
    assert red % 6 == 0 and int((red // 6) ** 0.5) ** 2 == red // 6  # six squares


def test_opened_in_the_panel_it_shows_views_of_the_chosen_image(window: Any) -> None:
    w = window(discs())
    views = w.panel.ignored_views
    views.toggleButton().click()
    w.wait(lambda: len(views.strip.value()) == 6)
    first = views.strip.value()
    assert first.shape == (6, 2, 32, 32, 3)
    w.viewer.add_image(255 - discs(seed=3), name="others")
    w.session.choose(w.viewer.layers["others"])
    w.wait(lambda: len(views.strip.value()) == 6 and not np.array_equal(views.strip.value(), first))
    second = views.strip.value()
    w.panel.pretrain_form.container.seed.value = 5
    w.wait(lambda: len(views.strip.value()) == 6 and not np.array_equal(views.strip.value(), second))
    assert w.errors == [] and not w.session.is_busy


def test_what_is_unticked_reaches_the_training(window: Any) -> None:
    w = window(discs(planes=1))
    w.hurry(2)
    w.panel.ignored_views.ticks["ignore_orientation"].click()
    w.click("pretrain_button")
    w.wait(lambda: w.session.encoder is not None and not w.session.is_busy)
    record = w.session.encoder.history[-1]
    assert record["views"] == btunet.ViewSettings(ignore_orientation=False).as_dict()


def test_a_window_that_closes_while_views_are_made_leaves_no_process(window: Any) -> None:
    w = window(discs())
    before = children()
    w.panel.ignored_views.toggleButton().click()
    w.wait(lambda: w.session.peek._job is not None)
    w.session.shutdown()
    w.wait(lambda: not children() - before)


def test_an_image_that_cannot_be_used_has_no_views(window: Any) -> None:
    w = window(np.zeros((3, 4, 5, 60, 60, 3), np.uint8), rgb=True, axis_labels=tuple("cqtyx"))
    w.panel.ignored_views.toggleButton().click()
    w.qtbot.wait(500)
    assert len(w.panel.ignored_views.strip.value()) == 0
