from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import btunet
from btunet.health import COLLAPSING, SENTENCES, Health
from napari_btunet import _layers

from .conftest import discs

GREEN = (10, 200, 30)


def picture(image: int = 0, plane: int = 0, shape: tuple[int, int] = (96, 96), **options: Any) -> btunet.LearnedPlane:
    return btunet.LearnedPlane(image, plane, np.full((*shape, 3), GREEN, np.uint8), **options)


def learned_layers(w: Any) -> list[Any]:
    return [layer for layer in w.viewer.layers if _layers.role_of(layer) == "learned"]


def show(w: Any, taken: btunet.LearnedPlane) -> Any:
    w.session.learned.show(w.viewer, w.session.image, taken)
    (layer,) = learned_layers(w)
    return layer


def test_pretraining_paints_the_plane_in_sight_into_a_hidden_layer_of_its_own(window: Any) -> None:
    w = window(discs())
    w.viewer.dims.set_current_step(0, 2)
    image, active = w.session.image, w.viewer.layers.selection.active
    before = image.data.copy(), image.opacity, image.visible
    w.click("pretrain_button")
    (layer,) = learned_layers(w)
    assert not layer.visible and w.viewer.layers.selection.active is active
    assert w.viewer.layers.index(layer) == w.viewer.layers.index(image) + 1 < w.viewer.layers.index(w.strokes)
    w.wait(lambda: w.session.encoder is not None and not w.session.is_busy)
    assert layer.data.shape == (1, 96, 96, 4) and (layer.data[..., 3] == 255).all()
    assert layer.data[..., :3].std() > 10  # there is something to see
    np.testing.assert_allclose(layer.data_to_world((0, 0, 0)), image.data_to_world((2, 0, 0)))
    assert np.array_equal(image.data, before[0]) and (image.opacity, image.visible) == before[1:]
    assert not layer.visible and w.errors == []


def test_the_layer_is_no_image_to_paint_on(window: Any) -> None:
    w = window(discs())
    show(w, picture())
    assert w.session.images == [w.session.image]
    assert [w.panel.image_combo.itemText(i) for i in range(w.panel.image_combo.count())] == ["cells"]
    w.viewer.layers.remove(w.session.image)
    assert w.session.image is None


@pytest.mark.parametrize(
    ("shape", "options", "plane", "index"),
    [
        ((64, 80), {"scale": (0.5, 0.5), "translate": (3, 4), "rotate": 30}, 0, (0, 0)),
        ((64, 80, 3), {"rgb": True}, 0, (0, 0)),
        ((2, 3, 64, 80), {"scale": (1, 3, 0.5, 0.5), "translate": (0, 1, 2, 3)}, 4, (1, 1, 0, 0)),
        ((3, 64, 80), {"affine": np.diag([2.0, 2, 2, 1])}, 2, (2, 0, 0)),
        ((2, 3, 64, 80), {"axis_labels": ("c", "z", "y", "x"), "scale": (1, 3, 1, 1)}, 2, (0, 2, 0, 0)),
    ],
)
def test_the_colours_lie_exactly_on_their_plane(
    window: Any, shape: Any, options: Any, plane: int, index: tuple[int, ...]
) -> None:
    w = window(np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8), **options)
    for corner in ((0, 0), (7, 5)):
        layer = show(w, picture(plane=plane, shape=(20, 30), corner=corner))
        at = (*index[:-2], *corner)
        expected = w.session.image.data_to_world(at)[-layer.ndim :]
        np.testing.assert_allclose(layer.data_to_world((0,) * layer.ndim), expected)
        far = (*index[:-2], corner[0] + 19, corner[1] + 29)
        last = (*(0,) * (layer.ndim - 2), 19, 29)
        np.testing.assert_allclose(layer.data_to_world(last), w.session.image.data_to_world(far)[-layer.ndim :])


def test_shown_it_colours_its_plane_and_leaves_the_others_alone(window: Any) -> None:
    w = window(np.zeros((3, 96, 96), np.uint8), show=True)
    w.strokes.visible = False

    def centre() -> np.ndarray:
        seen = w.viewer.screenshot(canvas_only=True, flash=False)
        return np.asarray(seen[seen.shape[0] // 2, seen.shape[1] // 2, :3], int)

    w.viewer.dims.set_current_step(0, 1)
    show(w, picture(plane=1))
    black = centre()
    w.panel.learned_check.click()
    assert np.abs(centre() - 0.7 * np.array(GREEN)).max() < 12
    w.viewer.dims.set_current_step(0, 0)
    assert np.array_equal(centre(), black)
    steps = w.viewer.dims.nsteps
    assert steps[0] == 3  # the slider is as long as before
    w.viewer.dims.ndisplay = 3
    centre()  # nothing complains


def test_the_tick_and_the_eye_in_the_list_of_layers_say_the_same(window: Any) -> None:
    w = window(discs())
    layer, check = show(w, picture()), w.panel.learned_check
    assert not layer.visible and not check.isChecked()
    check.click()
    assert layer.visible
    layer.visible = False
    assert not check.isChecked()
    layer.visible = True
    assert check.isChecked()


def test_what_is_ticked_before_is_shown_when_it_comes(window: Any) -> None:
    w = window(discs())
    w.panel.learned_check.click()
    assert show(w, picture()).visible


def test_a_layer_that_was_removed_comes_back_only_with_the_next_training(window: Any) -> None:
    w = window(discs())
    w.viewer.layers.remove(show(w, picture()))
    w.session.learned.show(w.viewer, w.session.image, picture())
    assert learned_layers(w) == []
    w.panel.learned_check.click()
    w.session.learned.expect(w.viewer, w.session.image)
    assert learned_layers(w)[0].visible


def test_pictures_of_an_image_that_was_removed_are_dropped(window: Any) -> None:
    w = window(discs())
    image = w.session.image
    w.viewer.layers.remove(image)
    w.session.learned.show(w.viewer, image, picture())
    assert learned_layers(w) == []


def test_the_health_is_said_in_words_until_something_else_begins(window: Any) -> None:
    w = window(discs(planes=1))
    w.hurry(2)
    label = w.panel.learning_label
    assert label.isHidden()
    w.click("pretrain_button")
    w.wait(lambda: w.session.encoder is not None and not w.session.is_busy)
    assert label.text() == "Learning." and not label.isHidden()
    collapsed = Health(COLLAPSING, SENTENCES[COLLAPSING])
    w.session.progressed.emit([btunet.Progress("pre-training", 1, 2, health=collapsed), btunet.Progress("x", 1, 2)])
    assert label.text().startswith("Collapsing: ")
    w.annotate()
    w.click("finetune_button")
    assert label.isHidden()
    w.wait(lambda: not w.session.is_busy)
