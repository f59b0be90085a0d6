"""Did pre-training help? Asked with a click, answered in one sentence, written with a picture."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

import btunet
from btunet.verdict import Judged, verdict_of
from napari_btunet._session import Session

from .conftest import Window, discs

OpenWindow = Callable[..., Window]
ENCODER = btunet.Model("unet", 1, (), {})
VERDICT = verdict_of(
    [Judged("cells", 0, n, 0, n % 2, n % 4, (0.5, 0.6), (0.8, 0.9)) for n in range(8)], ("background", "object")
)


class Engine:
    """Stands for the other process: steps until it is stopped or done, then gives the verdict."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.is_endless = False

    def __call__(self, session: Session, verb: str, *args: Any, **kwargs: Any) -> btunet.Task[btunet.Verdict]:
        assert verb == "trial"
        self.asked.append((args, kwargs))
        return self.work()

    def work(self) -> btunet.Task[btunet.Verdict]:
        total = 10**6 if self.is_endless else 5
        for step in range(total):
            values = {"loss": 1.0} if step else {}
            if (yield btunet.Progress("trying random weights, fold 1", step, total, values)) is True:
                break
            time.sleep(0.005)  # a real step takes its time too, and leaves the window some
        return VERDICT


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine()
    monkeypatch.setattr(Session, "_elsewhere", lambda *args, **kwargs: made(*args, **kwargs))
    return made


def ready(w: Window) -> Window:
    """Paint, and give the session an encoder."""
    w.annotate()
    w.session.encoder = ENCODER
    w.session.changed.emit()
    return w


def click(w: Window, button: Any) -> None:
    assert button.isEnabled()
    w.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_without_an_encoder_there_is_nothing_to_ask(window: OpenWindow) -> None:
    w = window(discs())
    assert not w.panel.trial.ask_button.isEnabled()
    assert not w.panel.trial.save_button.isEnabled()


def test_the_answer_is_one_sentence_and_is_written_with_a_picture(
    window: OpenWindow, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = ready(window(discs()))
    before = w.strokes.data.copy()
    click(w, w.panel.trial.ask_button)
    assert w.session.doing == "trial"
    assert w.session.live._job is None  # nobody asked for answers
    assert not w.panel.trial.ask_button.isEnabled()
    w.wait(lambda: w.session.verdict)
    w.wait(lambda: "Did pre-training help? Helped: +0.30" in w.panel.status_label.text())
    (stacks, strokes, encoder, settings), options = engine.asked[0]
    assert len(stacks) == len(strokes) == 1 and encoder is ENCODER
    assert (settings.steps, settings.batch, settings.patch_size) == (12, 2, 32)  # as the panel says
    assert options["classes"] == tuple(w.session.classes)
    assert (w.strokes.data == before).all()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    click(w, w.panel.trial.save_button)
    assert {path.name for path in tmp_path.iterdir()} == {"verdict.json", "verdict.svg"}
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "verdict.svg"))
    click(w, w.panel.trial.save_button)
    assert "cannot be written" in w.errors[-1]


def test_stop_keeps_what_is_known(window: OpenWindow, engine: Engine) -> None:
    engine.is_endless = True
    w = ready(window(discs()))
    click(w, w.panel.trial.ask_button)
    w.wait(lambda: w.panel.losses.steps)
    w.click("stop_button")
    w.wait(lambda: w.session.job is None)
    assert w.session.verdict == VERDICT
    assert w.errors == []


def test_strokes_are_answered_while_it_runs(
    window: OpenWindow, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.is_endless = True
    w = ready(window(discs()))
    answered: list[str] = []
    monkeypatch.setattr(w.session, "answer", lambda: answered.append(w.session.doing))
    w.session.live.mode = "live"
    click(w, w.panel.trial.ask_button)
    assert answered == ["trial"]
    w.session.stop()
    w.wait(lambda: w.session.job is None)


def test_without_strokes_it_is_said_what_to_do(window: OpenWindow, engine: Engine) -> None:
    w = window(discs())
    w.session.encoder = ENCODER
    w.session.changed.emit()
    click(w, w.panel.trial.ask_button)
    assert w.errors == ["Paint first: a few strokes on an object and a few on the background."]
    assert engine.asked == []
