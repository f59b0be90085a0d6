"""Strokes are what the user painted, whatever the plugin does, and whatever others do to layers while it works."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import btunet
from btunet.project import folder_beside

from .conftest import Window, discs
from .test_keeper import kept, wait_for
from .test_live import trained
from .test_objects import predicted

Act = Callable[[Window], Any]


def export(w: Window) -> None:
    w.session.export(Path(str(w.session.keeper.project.folder) + ".masks.tif"))


ACTIONS: dict[str, Act] = {
    "predict": lambda w: w.session.predict(),
    "make objects": lambda w: w.panel.objects_section.make_button.click(),
    "export": export,
    "choose a model": lambda w: w.session.choose_round(0),
    "go back": lambda w: w.session.go_back(),
    "show the difference": lambda w: w.session.difference.toggle(),
    "show doubt": lambda w: w.session.tour.toggle_doubt(),
    "hide the prediction": lambda w: w.session._toggle("prediction"),
    "add a class": lambda w: w.session.add_class(),
    "name a class": lambda w: w.session.rename_class(2, "Cell"),
    "choose a class": lambda w: w.session.choose_class(1),
    "change planes": lambda w: w.viewer.dims.set_current_step(0, 2),
    "save": lambda w: w.session.keeper.save(),
    "open a model": lambda w: w.session.use(len(w.session.history.rounds), trained([0.5] * 4)),
}


def test_ctrl_z_after_any_action_gives_back_the_exact_strokes(
    window: Callable[..., Window], model_of: Any, lively: Any
) -> None:
    w = predicted(window(discs()), model_of, lively)
    w.annotate()
    before = w.strokes.data.copy()
    for name, act in ACTIONS.items():
        w.strokes.paint((0, 80, 80), 2)
        painted = w.strokes.data.copy()
        act(w)
        w.wait(lambda: not w.session.is_busy)
        assert w.viewer.layers.selection.active is w.strokes, name  # or Ctrl+Z would not reach it
        assert np.array_equal(w.strokes.data, painted), name
        w.strokes.undo()
        assert np.array_equal(w.strokes.data, before), name
    assert w.errors == []


def write_elsewhere(w: Window) -> None:
    w.strokes.data[2, 50:53] = 2
    w.strokes.refresh()


def replace_all(w: Window) -> None:
    w.strokes.data = np.where(w.strokes.data == 1, 2, w.strokes.data).astype(np.int32)


def reorder(w: Window) -> None:
    layers = w.viewer.layers
    layers.move(0, len(layers))
    layers.move(len(layers) - 1, 0)
    layers.reverse()


def double(w: Window) -> None:
    for layer in list(w.viewer.layers):
        w.viewer.layers.append(type(layer)(layer.data.copy(), name=layer.name, metadata=dict(layer.metadata)))


def rename(w: Window) -> None:
    for layer in w.viewer.layers:
        layer.name = "mine"


def move(w: Window) -> None:
    w.session.image.scale = w.strokes.scale = (2, 1, 1)
    w.viewer.dims.order = (1, 0, 2)
    w.viewer.dims.ndisplay = 3


OTHERS: dict[str, Act] = {
    "rename": rename,
    "reorder": reorder,
    "double": double,
    "move": move,
    "write": write_elsewhere,
    "replace": replace_all,
    "forget metadata": lambda w: w.strokes.metadata.clear(),
    "remove the prediction": lambda w: w.viewer.layers.remove(w.prediction),
    "remove the strokes": lambda w: w.viewer.layers.remove(w.strokes),
    "remove the image": lambda w: w.viewer.layers.remove(w.session.image),
    "remove all": lambda w: w.viewer.layers.clear(),
}


def training() -> btunet.Task[Any]:
    """Train, it seems, until it is stopped: a plane is predicted every few milliseconds."""
    for step in range(10_000):
        part = btunet.PredictedPlane(0, step % 3, np.full((96, 96), step % 2, np.uint8))
        if (yield btunet.Progress("training", step, 0, planes=(part,))) is True:
            break
        time.sleep(0.005)
    return trained([0.9] * 4)


@pytest.mark.parametrize("name", OTHERS)
def test_whatever_others_do_to_layers_in_the_middle_of_work_strokes_are_kept(
    open_file: Callable[..., Window], image: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    w = open_file(image)
    w.annotate()
    monkeypatch.setattr(w.session, "predict", lambda: None)
    w.session._begin("finetune", [w.session.image], training())
    w.wait(lambda: w.prediction is not None)
    painted = w.strokes.data.copy()
    OTHERS[name](w)
    w.qtbot.wait(200)
    w.session.stop()
    w.wait(lambda: not w.session.is_busy)
    if w.session.subject is not None:
        painted = w.strokes.data.copy()
        w.strokes.paint((0, 80, 80), 2)
        w.strokes.undo()
        assert np.array_equal(w.strokes.data, painted)
        wait_for(w, folder_beside(image))
    w.session.shutdown()
    for plane, strokes in enumerate(painted):
        assert np.array_equal(kept(folder_beside(image)).get(plane, 0 * strokes), strokes), plane
    assert w.errors == []
