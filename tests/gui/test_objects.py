"""Objects of a prediction: a layer of their own, never over what a user did, and a table of them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

import btunet
from napari_btunet import _layers

from .conftest import Window, discs

OpenWindow = Callable[..., Window]


def predicted(w: Window, model_of: Any, lively: Any) -> Window:
    """Give the window a model, and a prediction of two objects of two classes in the planes 0 and 1."""
    w.session.set_classes(["Background", "Cell", "Vesicle"])
    w.session.use(0, model_of(lively(classes=3)))
    w.session.subject.expect(w.viewer, 3)
    labels = np.ones((3, 96, 96), np.uint8)
    labels[:2, 10:20, 10:30] = 2
    labels[:2, 50:60, 50:60] = 3
    w.prediction.data = labels
    w.session.subject.predicted.update(range(3))
    w.session.changed.emit()
    return w


@pytest.fixture
def ready(window: OpenWindow, model_of: Any, lively: Any) -> Window:
    scale = {"scale": (2, 0.5, 0.5), "units": ("µm",) * 3}
    return predicted(window(discs(), **scale), model_of, lively)


def click(w: Window, button: Any) -> None:
    assert button.isEnabled()
    w.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def make(w: Window, **settings: Any) -> Any:
    """Click the button and return the layer that comes of it."""
    for name, value in settings.items():
        getattr(w.panel.objects_section.form.container, name).value = value
    click(w, w.panel.objects_section.make_button)
    w.wait(lambda: not w.session.is_busy)
    return w.session.objects.layer()


def object_layers(w: Window) -> list[Any]:
    return [layer for layer in w.viewer.layers if _layers.role_of(layer) == "objects"]


def test_the_form_has_a_row_for_every_setting_and_begins_with_the_defaults(window: OpenWindow) -> None:
    section = window(discs()).panel.objects_section
    assert section.form.value() == btunet.ObjectSettings()
    assert not section.make_button.isEnabled()
    assert not section.table_button.isEnabled()


def test_objects_get_a_layer_of_their_own_that_lies_on_the_image(ready: Window) -> None:
    w = ready
    before = w.prediction.data.copy()
    layer = make(w)
    assert layer.name == "objects"
    assert np.unique(layer.data).tolist() == [0, 1, 2]
    assert np.array_equal(layer.data > 0, before > 1)
    np.testing.assert_allclose(layer.extent.world, w.viewer.layers["cells"].extent.world)
    np.testing.assert_array_equal(w.prediction.data, before)
    assert w.viewer.layers.selection.active is w.strokes
    assert w.viewer.layers.index(layer) < w.viewer.layers.index(w.strokes)
    assert "2 objects" in w.panel.status_label.text()
    assert w.errors == []


def test_made_again_they_take_the_place_of_those_before(ready: Window) -> None:
    w = ready
    first = make(w)
    again = make(w, plane_by_plane=True, smallest=150)
    assert again is first
    assert np.unique(again.data).tolist() == [0, 1, 2]  # the larger one, in two planes
    assert (again.data[0] > 0).sum() == 200
    assert len(object_layers(w)) == 1


def test_what_the_user_made_corrected_or_removed_is_not_touched(ready: Window) -> None:
    w = ready
    mine = w.viewer.add_labels(np.full((3, 96, 96), 9), name="objects")
    corrected = make(w)
    assert corrected is not mine
    corrected.paint((0, 80, 80), 7)
    before = corrected.data.copy()
    other = make(w)
    assert other is not corrected
    w.viewer.layers.remove(other)
    assert not w.panel.objects_section.table_button.isEnabled()
    assert make(w) is not other
    assert len(object_layers(w)) == 2
    np.testing.assert_array_equal(corrected.data, before)
    assert (mine.data == 9).all()


def test_the_table_holds_the_objects_as_they_were_corrected(
    ready: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = ready
    layer = make(w)
    layer.data[2, 50:52, 50:60] = layer.data[0, 55, 55]  # one more plane of the second
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(tmp_path / "cells"), "Table (*.csv)"))
    click(w, w.panel.objects_section.table_button)
    w.wait(lambda: not w.session.is_busy)
    with (tmp_path / "cells.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["class_name"], row["z_last"], row["volume_pixels"]) for row in rows] == [
        ("Cell", "1", "400"),
        ("Vesicle", "2", "220"),
    ]
    assert [float(row["volume_um3"]) for row in rows] == [200, 110]
    image = w.viewer.layers["cells"].data
    assert float(rows[0]["mean_intensity_1"]) == pytest.approx(image[:2, 10:20, 10:30].mean())
    assert "2 objects" in w.panel.status_label.text()
    assert w.errors == []


def test_what_is_not_predicted_yet_is_predicted_first(ready: Window) -> None:
    w = ready
    w.session.subject.predicted.clear()
    layer = make(w)
    w.wait(lambda: w.session.objects.layer() is not None and not w.session.is_busy)
    layer = w.session.objects.layer()
    np.testing.assert_array_equal(layer.data > 0, w.prediction.data > 1)


def test_stopped_before_the_end_it_shows_nothing(ready: Window) -> None:
    w = ready
    click(w, w.panel.objects_section.make_button)
    w.session.stop()
    w.wait(lambda: not w.session.is_busy)
    assert object_layers(w) == []
    assert "Stopped" in w.panel.status_label.text()


def test_a_second_image_has_objects_of_its_own(ready: Window, model_of: Any, lively: Any) -> None:
    w = ready
    make(w)
    w.viewer.add_image(discs(3), name="other")
    w.session.choose(w.viewer.layers["other"])
    assert not w.panel.objects_section.table_button.isEnabled()
    predicted(w, model_of, lively)
    assert make(w).name == "objects (other)"
    assert len(object_layers(w)) == 2


def test_saving_objects_through_napari_keeps_their_numbers(ready: Window, tmp_path: Path) -> None:
    layer = make(ready)
    layer.save(str(tmp_path / "a.btmask.tif"), plugin="napari-btunet")
    np.testing.assert_array_equal(btunet.read(tmp_path / "a.btmask.tif").data, layer.data)
