"""What the panel says to do next."""

from types import SimpleNamespace
from typing import Any

import pytest

import btunet
from napari_btunet._history import Round
from napari_btunet._interrupted import Interrupted
from napari_btunet._next import AGAIN, ALONE, BOTH, OUTDONE, USE, WHERE, WHILE, next_step

from .conftest import discs

NETWORK = btunet.Model("unet", 1, ("a", "b"), {})
CLASSIFIER = NETWORK.trained("classify", {})
WORSE = btunet.Comparison(-0.2, -0.3, -0.1, 6)
INTERRUPTED = Interrupted(btunet.PretrainSettings(), btunet.ViewSettings(), 40)


def session(painted: bool = False, **state: Any) -> Any:
    """Return the part of a session that matters here."""
    live = SimpleNamespace(answers=state.pop("answers", 0), estimates=state.pop("estimates", None))
    going_on = SimpleNamespace(found=state.pop("interrupted", None))
    subject = SimpleNamespace(ledger=SimpleNamespace(is_painted=painted))
    history = SimpleNamespace(rounds=state.pop("rounds", []))
    found = {"subject": subject, "subjects": {0: subject}, "doing": "", "encoder": None, "model": None}
    return SimpleNamespace(
        **{**found, "is_behind": False, "is_beginning": False, **state},
        live=live,
        history=history,
        keeper=SimpleNamespace(going_on=going_on),
        understood=lambda: "Open an image.",
    )


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"subject": None}, "Open an image."),
        ({"subject": None, "subjects": {}, "is_beginning": True}, "Pre-train; meanwhile paint"),
        ({}, "Pre-train; meanwhile paint"),
        ({"doing": "pretrain"}, "While it learns, paint"),
        ({"encoder": object()}, "Paint"),
        ({"interrupted": INTERRUPTED}, "A pre-training was interrupted after 40 s"),
        ({"painted": True}, BOTH),
        ({"painted": True, "doing": "pretrain"}, BOTH),
        ({"painted": True, "answers": 1}, WHERE),
        ({"painted": True, "answers": 1, "estimates": {}}, WHERE),
        ({"painted": True, "answers": 4, "estimates": {1: object()}}, ALONE),
        ({"painted": True, "doing": "finetune"}, WHILE["finetune"]),
        ({"painted": True, "model": NETWORK}, USE),
        ({"painted": True, "model": NETWORK, "is_behind": True}, AGAIN),
        ({"painted": True, "model": CLASSIFIER, "is_behind": True}, ALONE),
        ({"painted": True, "model": CLASSIFIER, "rounds": [Round(NETWORK, 0, "", "", alone=WORSE)]}, OUTDONE),
    ],
)
def test_the_next_step_follows_from_what_there_is(state: Any, said: str) -> None:
    assert next_step(session(**state)).startswith(said)


def test_the_panel_follows_a_stroke(window: Any) -> None:
    w = window()
    label = w.panel.next_label
    assert label.text().startswith("Open an image")
    w.viewer.add_image(discs(), name="cells")
    assert label.text().startswith("Pre-train")
    w.session.live.mode = "live"
    w.strokes.paint((0, 20, 20), 2)
    w.wait(lambda: label.text() == BOTH)
    w.strokes.paint((0, 60, 60), 1)
    w.wait(lambda: label.text() == WHERE)
