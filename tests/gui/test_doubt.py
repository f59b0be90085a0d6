"""U shows where the answer is unsure, on a layer of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import btunet
from napari_btunet import _doubt, _layers

from .conftest import discs
from .test_live import alive, paint_like_a_person, press


def layers(w: Any) -> list[Any]:
    return [layer for layer in w.viewer.layers if _layers.role_of(layer) == "doubt"]


def unsure(plane: int, value: int, shape: tuple[int, int] = (96, 96), **options: Any) -> btunet.PredictedPlane:
    return btunet.PredictedPlane(0, plane, np.zeros(shape, np.uint8), doubt=np.full(shape, value, np.uint8), **options)


def test_u_shows_the_borders_as_unsure_and_hides_them_again(window: Any) -> None:
    image = discs(side=128)
    w = alive(window(image))
    truth = paint_like_a_person(w, image, 0, 6)
    w.wait(lambda: w.prediction is not None and w.prediction.data[0].all())
    active = w.viewer.layers.selection.active
    press(w, "U")
    (layer,) = layers(w)
    assert layer.visible and layer.data.shape == (1, 128, 128)
    assert w.viewer.layers.index(layer) < w.viewer.layers.index(w.strokes)
    assert w.viewer.layers.selection.active is active
    y, x = np.gradient(truth.astype(float))
    border = np.hypot(y, x) > 0
    assert layer.data[0][border].mean() > 1.5 * layer.data[0][~border].mean()
    assert w.session.images == [w.session.image]  # it is no image to paint on
    press(w, "U")
    assert not layer.visible
    press(w, "U")
    assert layer.visible and len(layers(w)) == 1


def test_it_lies_on_the_plane_in_sight_and_follows_the_slider(window: Any) -> None:
    w = window(discs(), scale=(2, 0.5, 0.5), translate=(1, 3, 4))
    image = w.session.image
    w.viewer.dims.set_current_step(0, 0)
    for plane in range(2):
        w.session._show(image, unsure(plane, 50 * (plane + 1)))
    press(w, "U")
    (layer,) = layers(w)
    assert (layer.data == 50).all()
    np.testing.assert_allclose(layer.data_to_world((0, 0, 0)), image.data_to_world((0, 0, 0)))
    w.viewer.dims.set_current_step(0, 1)
    assert (layer.data == 100).all()
    np.testing.assert_allclose(layer.data_to_world((0, 0, 0)), image.data_to_world((1, 0, 0)))


def test_parts_are_put_together_and_old_planes_forgotten(window: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    w = window(discs())
    image, doubt = w.session.image, w.session.tour.doubt
    monkeypatch.setattr(_doubt, "MOST", 2 * 96 * 96)
    doubt.take(image, unsure(0, 7, (40, 96)))
    doubt.take(image, unsure(0, 9, (56, 96), corner=(40, 0)))
    doubt.toggle(w.viewer, image, 0)
    (layer,) = layers(w)
    assert (layer.data[0, :40] == 7).all() and (layer.data[0, 40:] == 9).all()
    for plane in (1, 2):
        doubt.take(image, unsure(plane, 1))
    assert [doubt.knows(image, plane) for plane in range(3)] == [False, True, True]


def test_a_prediction_says_where_it_is_unsure(window: Any) -> None:
    w = window(discs())
    w.annotate()
    w.click("finetune_button")
    w.wait(lambda: w.session.model is not None and not w.session.doing)
    assert all(w.session.tour.doubt.knows(w.session.image, plane) for plane in range(3))
    w.viewer.layers.remove(w.session.image)
    assert not w.session.tour.doubt._planes and not w.session.tour.doubt._layers
