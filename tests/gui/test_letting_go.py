"""What the user removes is gone from memory too."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np

import btunet

from .conftest import discs


def test_a_removed_image_and_all_that_lay_on_it_are_let_go(window: Any) -> None:
    w = window()
    layer = w.viewer.add_image(discs(), name="cells")
    session, plane = w.session, np.zeros((96, 96), np.uint8)
    w.annotate()
    session.keeper.save()
    session._show(layer, btunet.PredictedPlane(0, 0, plane, doubt=plane))
    session.tour.toggle_doubt()
    session.learned.show(w.viewer, layer, btunet.LearnedPlane(0, 0, np.zeros((96, 96, 3), np.uint8)))
    session.live.trail.renew([(layer, btunet.Spot(0, 0, 40, 40, 48, "why"))])
    session.live.doubts = [(layer, btunet.Spot(0, 0, 40, 40, 48, "why"))]
    session.tour.next_spot()
    session.tour.next_contradiction()
    gone = [weakref.ref(each) for each in (*w.viewer.layers, session.subject)]
    del layer
    for each in list(w.viewer.layers):
        w.viewer.layers.remove(each)
    del each
    w.qtbot.wait(600)  # longer than the keeper waits
    gc.collect()
    assert [found() for found in gone if found() is not None] == []
    assert session.live.trail.step(forward=False) is None
