"""Keys and buttons: all are listed, and each does with a real press or click what it says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

import btunet
from btunet.project import Project
from napari_btunet._keys import KEYS

from .conftest import Window, discs
from .test_live import press, trained

DOCS = Path(__file__).parents[2] / "docs" / "interaction.md"
OURS = set(KEYS) - {"E"}  # napari's own


def test_every_key_is_bound_on_the_strokes_and_listed_in_the_panel_and_in_the_documentation(
    window: Callable[..., Window],
) -> None:
    w = window(discs())
    bound = w.session.keys()
    assert {key.replace("-", "+") for key in bound} == OURS
    lines = w.panel.keys_label.text().splitlines()
    assert [line.split()[0] for line in lines] == list(KEYS)
    table = DOCS.read_text().split("## Keys")[1]
    assert set(re.findall(r"`([A-Z]|Shift\+N)`", table)) >= OURS


def test_q_and_w_choose_what_is_painted(window: Callable[..., Window]) -> None:
    w = window(discs())
    w.session.add_class()
    chosen = []
    for key in "WQQQ":
        w.strokes.mode = "pan_zoom"
        press(w, key)
        chosen.append(w.strokes.selected_label)
        assert w.strokes.mode == "paint"
    assert chosen == [1, 2, 3, 2]
    press(w, "E")
    assert w.strokes.mode == "erase"


def test_models_are_saved_and_opened_by_buttons(
    window: Callable[..., Window], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = window(discs())
    assert not w.panel.save_button.isEnabled()
    w.session.use(0, trained([0.5] * 4))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine"), "Model (*.safetensors)"))
    w.click("save_button")
    assert btunet.Model.load(tmp_path / "mine.safetensors").classes == ("Background", "Object")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "mine.safetensors"), ""))
    w.click("open_button")
    assert len(w.session.history.rounds) == 2 and w.panel.history_list.count() == 2
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    w.click("open_button")
    assert len(w.session.history.rounds) == 2
    assert w.errors == []


def test_a_file_that_is_there_is_replaced_only_if_the_user_says_so(
    window: Callable[..., Window], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qtpy.QtWidgets import QMessageBox

    w = window(discs())
    w.session.use(0, trained([0.5] * 4))
    there = tmp_path / "mine.safetensors"
    there.write_text("something else")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine"), "Model (*.safetensors)"))
    for answer, is_replaced in (("No", False), ("Yes", True)):
        monkeypatch.setattr(QMessageBox, "question", lambda *_, a=answer: getattr(QMessageBox.StandardButton, a))
        w.click("save_button")
        assert (there.read_bytes() != b"something else") == is_replaced


def test_a_project_is_opened_and_kept_elsewhere_by_buttons(
    window: Callable[..., Window], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = window(discs())
    buttons = w.panel.project_buttons
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    w.qtbot.mouseClick(buttons.keep_button, Qt.MouseButton.LeftButton)
    assert "are kept in" in w.panel.status_label.text()
    w.annotate()
    w.session.keeper.save(60)
    w.session.shutdown()
    (folder,) = tmp_path.glob("*.btunet")
    assert Project.open(folder).images
    again = window()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder / "strokes"))
    again.qtbot.mouseClick(again.panel.project_buttons.open_button, Qt.MouseButton.LeftButton)
    assert len(again.errors) == 1


def test_what_strokes_say_is_predicted_and_exported_without_a_network(
    window: Callable[..., Window], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = window(discs())
    assert not w.panel.export_button.isEnabled()
    w.session.live.mode = "live"
    w.annotate()
    w.wait(lambda: w.panel.export_button.isEnabled())
    target = tmp_path / "masks.tif"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), "TIFF (*.tif)"))
    w.click("export_button")
    w.wait(lambda: w.session.exported)
    assert (btunet.read(target).data == w.prediction.data - 1).all() and w.prediction.data.all()
    (card,) = w.panel.history_list.value()
    assert "strokes alone" in card.details
    w.strokes.paint((0, 70, 70), 2)
    w.wait(lambda: w.session.is_behind)
    w.session.exported = []
    w.click("export_button")  # learns the new stroke first
    w.wait(lambda: w.session.exported)
    assert w.panel.history_list.count() == 2
    assert w.errors == []


def test_a_network_that_is_outdone_gives_way_to_the_strokes_and_can_be_chosen(
    window: Callable[..., Window],
) -> None:
    from btunet.comparison import PEER

    w = window(discs())
    w.annotate()
    bad = trained([0.2, 0.3, 0.2, 0.4])
    bad = bad.with_note(**{PEER: [{**r, "right": 0.9} for r in bad.history[-1]["held out"]]})
    w.session._at_work = [w.session.image]
    w.session._take("finetune", bad)
    assert w.panel.status_label.text().startswith("The strokes alone do better: the new model is 0.62 lower on 4")
    assert w.session._next("finetune", None) == w.session.classify
    w.session.classify()
    w.wait(lambda: w.session.model is not None and w.session.model.is_instant and w.session.subject.is_predicted)
    w.wait(lambda: not w.session.doing)
    network, alone = w.panel.history_list.value()
    assert "-0.62 to strokes alone" in network.title and "strokes alone" in alone.details
    assert w.panel.next_label.text().startswith("The strokes alone do better")
    press(w, "R")
    assert w.session.model is w.session.history.rounds[0].model
    w.wait(lambda: not w.session.doing)
    assert w.errors == []
